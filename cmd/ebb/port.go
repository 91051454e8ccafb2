package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/ebbdb/ebb"
)

func portCommands() []command {
	return []command{
		{"export", "[FILE]", "write all keys as JSON, one object a line, to FILE or to standard output", 0, 1, database, exportJSON, aboutJSON},
		{"import", "[FILE]", "put what export has written, from FILE or from standard input", 0, 1, database | writes | creates, plain(importJSON),
			aboutJSON + "\nA line that is wrong ends the import with its number; the lines before it stay."},
	}
}

const aboutJSON = `
A line has "key" and "value", or "key64" and "value64" in base64 where they are not UTF-8, and "deadline" in Unix
milliseconds if there is one. A line with "ttl_ms" and without a deadline expires that long after its import.`

// record is a line of an export.
type record struct {
	Key      *string  `json:"key,omitempty"`
	Key64    []byte   `json:"key64,omitempty"`
	Value    *string  `json:"value,omitempty"`
	Value64  *[]byte  `json:"value64,omitempty"`
	Deadline int64    `json:"deadline,omitempty"`
	TTL      *float64 `json:"ttl_ms,omitempty"`
	Version  uint64   `json:"version,omitempty"` // written by scan; the import has its own
}

// exportJSON writes entries as lines of JSON.
func exportJSON(flags *flag.FlagSet) action {
	options := rangeFlags(flags)
	return func(ctx context.Context, s *session, args []string) error {
		if len(args) == 0 {
			return s.exportTo(ctx, s.out, options(nil), false)
		}
		return writeFileWhole(args[0], func(w io.Writer) error {
			out := newPrinter(w, true)
			return errors.Join(s.exportTo(ctx, out, options(nil), true), out.Flush())
		})
	}
}

// exportTo writes a range to out.
func (s *session) exportTo(ctx context.Context, out *printer, o *ebb.IterOptions, tell bool) error {
	bar := s.progress(-1, "exporting")
	defer bar.Finish()
	n := 0
	err := s.each(ctx, o, func(e ebb.Entry, _ *ebb.Snapshot) error {
		n++
		bar.Add(len(e.Key) + len(e.Value))
		fields := []field{{"key", e.Key}, {"value", e.Value}}
		if e.Deadline != 0 {
			fields = append(fields, field{"deadline", e.Deadline})
		}
		return out.object(fields)
	})
	if err != nil || !tell {
		return err
	}
	return s.out.line(fmt.Sprintf("exported %d keys", n), field{"exported", n})
}

// importJSON puts the lines of an export.
func importJSON(ctx context.Context, s *session, args []string) error {
	in, total := s.input(ctx), int64(-1)
	if len(args) > 0 {
		f, err := os.Open(args[0])
		if err != nil {
			return err
		}
		defer f.Close()
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			total = info.Size()
		}
		in = f
	} else if s.many() {
		return &usageError{errors.New("the file is missing"), nil}
	}
	return s.write(func(db *ebb.DB) error {
		bar := s.progress(total, "importing")
		defer bar.Finish()
		l := loader{db: db}
		err := l.lines(ctx, bufio.NewReaderSize(&progressReader{in, bar}, 1<<20))
		if err == nil {
			err = l.apply()
		}
		if err == nil {
			err = db.Flush() // tables are synced, which makes up for the batches that were not
		}
		bar.Finish()
		if err != nil {
			return fmt.Errorf("stopped after %d keys: %w", l.written, err)
		}
		return s.out.line(fmt.Sprintf("imported %d keys", l.written), field{"imported", l.written})
	})
}

// loader writes many entries in batches.
type loader struct {
	db      *ebb.DB
	batch   ebb.Batch
	pending int // bytes in batch
	written int
}

func (l *loader) lines(ctx context.Context, in *bufio.Reader) error {
	for n := 1; ; n++ {
		line, err := in.ReadBytes('\n')
		if err != nil && err != io.EOF {
			return err
		}
		if len(bytes.TrimSpace(line)) > 0 {
			if lerr := l.line(line); lerr != nil {
				return errors.Join(fmt.Errorf("line %d: %w", n, lerr), l.apply())
			}
		}
		if err == io.EOF {
			return nil
		}
		if ctx.Err() != nil {
			return errors.Join(context.Cause(ctx), l.apply())
		}
	}
}

func (l *loader) line(line []byte) error {
	var r record
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&r); err != nil {
		return err
	}
	if rest, _ := io.ReadAll(dec.Buffered()); len(bytes.TrimSpace(rest)) > 0 {
		return errors.New("something follows the object")
	}
	if (r.Key == nil) == (r.Key64 == nil) || (r.Value == nil) == (r.Value64 == nil) {
		return errors.New(`it needs one of "key" and "key64", and one of "value" and "value64"`)
	}
	key, value := r.Key64, []byte(nil)
	if r.Key != nil {
		key = []byte(*r.Key)
	}
	if r.Value != nil {
		value = []byte(*r.Value)
	} else {
		value = *r.Value64
	}
	switch {
	case r.Deadline != 0:
		return l.put(key, value, ebb.ExpireAt(time.UnixMilli(r.Deadline)))
	case r.TTL != nil:
		return l.put(key, value, ebb.TTL(time.Duration(*r.TTL*float64(time.Millisecond))))
	}
	return l.put(key, value)
}

// put adds an entry to the batch, or writes it by itself if it is too large to share one.
func (l *loader) put(key, value []byte, opts ...ebb.WriteOption) error {
	if l.pending > 0 && l.pending+len(key)+len(value) > batchSize {
		if err := l.apply(); err != nil {
			return err
		}
	}
	if err := l.batch.Put(key, value, opts...); err != nil {
		return err
	}
	l.pending += len(key) + len(value)
	return nil
}

// apply writes the batch.
func (l *loader) apply() error {
	if err := l.db.Apply(&l.batch, ebb.NoSync); err != nil {
		return err
	}
	l.written += l.batch.Len()
	l.batch.Reset()
	l.pending = 0
	return nil
}
