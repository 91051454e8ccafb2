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
	"math"
	"os"
	"time"
	"unicode/utf8"

	"github.com/ebbdb/ebb"
)

func portCommands() []command {
	return []command{
		{"export", "[FILE]", "write all keys as JSON, one object a line, to FILE or to standard output", 0, 1, database, exportJSON,
			aboutJSON + aboutDash},
		{"import", "[FILE]", "put what export has written, from FILE or from standard input", 0, 1, database | writes | creates,
			plain(importJSON),
			aboutJSON + aboutValues + aboutDash},
	}
}

const aboutJSON = `
A line has "key" and "value", or "key64" and "value64" in base64 where they are not UTF-8, and "deadline" in Unix
milliseconds if there is one. A line with "ttl_ms" and without a deadline expires that long after its import.`

const aboutValues = `
A "value" that is no string is stored as its JSON text. A line that is wrong ends the import with its number; the lines
before it stay.`

const aboutDash = `
FILE may be - for standard input or output.`

// record is a line of an export.
type record struct {
	Key      *string         `json:"key,omitempty"`
	Key64    []byte          `json:"key64,omitempty"`
	Value    json.RawMessage `json:"value,omitempty"`
	Value64  *[]byte         `json:"value64,omitempty"`
	Deadline int64           `json:"deadline,omitempty"`
	TTL      *float64        `json:"ttl_ms,omitempty"`
	Version  uint64          `json:"version,omitempty"` // written by scan; the import has its own
}

// exportJSON writes entries as lines of JSON.
func exportJSON(flags *flag.FlagSet) action {
	options := rangeFlags(flags)
	return func(ctx context.Context, s *session, args []string) error {
		if len(args) == 0 || args[0] == dash {
			return s.exportTo(ctx, s.out, options(nil), false)
		}
		return target{name: args[0], write: func(w io.Writer) error {
			out := newPrinter(w, true)
			return errors.Join(s.exportTo(ctx, out, options(nil), true), out.Flush())
		}}.put()
	}
}

// exportTo writes a range to out.
func (s *session) exportTo(ctx context.Context, out *printer, o *ebb.IterOptions, tell bool) error {
	bar := bar(noBar{})
	if !isTerminal(out.to) { // where the lines show how far it is
		bar = s.progress(-1, "exporting")
	}
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
	return s.out.line("exported "+plural(n, "key"), field{"exported", n})
}

// importJSON puts the lines of an export.
func importJSON(ctx context.Context, s *session, args []string) error {
	in, total := s.input(ctx), int64(-1)
	if len(args) > 0 && args[0] != dash {
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
			return fmt.Errorf("stopped after %s: %w", plural(l.written, "key"), err)
		}
		return s.out.line("imported "+plural(l.written, "key"), field{"imported", l.written})
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
	if !utf8.Valid(line) {
		return errors.New(`it is no UTF-8: bytes that are not go into "key64" and "value64"`)
	}
	var r record
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&r); err != nil {
		return err
	}
	if rest, _ := io.ReadAll(dec.Buffered()); len(bytes.TrimSpace(rest)) > 0 {
		return errors.New("something follows the object")
	}
	if string(r.Value) == "null" {
		r.Value = nil
	}
	if (r.Key == nil) == (r.Key64 == nil) || (r.Value == nil) == (r.Value64 == nil) {
		return errors.New(`it needs one of "key" and "key64", and one of "value" and "value64"`)
	}
	key, value, err := r.bytes()
	if err != nil {
		return err
	}
	if bytes.Contains(line, []byte(`\u`)) && replaced(line, key, value) {
		return errors.New(`it has half a surrogate pair, which is no text: bytes go into "key64" and "value64"`)
	}
	switch {
	case r.Deadline != 0:
		return l.put(key, value, ebb.ExpireAt(time.UnixMilli(r.Deadline)))
	case r.TTL != nil:
		return l.put(key, value, ebb.TTL(milliseconds(*r.TTL)))
	}
	return l.put(key, value)
}

// bytes returns key and value as they are stored.
func (r *record) bytes() (key, value []byte, err error) {
	key = r.Key64
	if r.Key != nil {
		key = []byte(*r.Key)
	}
	switch {
	case r.Value64 != nil:
		return key, *r.Value64, nil
	case r.Value[0] == '"':
		var s string
		err = json.Unmarshal(r.Value, &s)
		return key, []byte(s), err
	}
	return key, r.Value, nil
}

// replaced reports whether the decoder has put a replacement character in place of an escape that is none. A line that
// spells one out is believed to mean it.
func replaced(line []byte, texts ...[]byte) bool {
	const mark = "\uFFFD"
	for _, t := range texts {
		if bytes.Contains(t, []byte(mark)) {
			return !bytes.Contains(line, []byte(mark)) && !bytes.Contains(bytes.ToLower(line), []byte(`\ufffd`))
		}
	}
	return false
}

// milliseconds returns a duration, the longest or the shortest there is for what is beyond.
func milliseconds(ms float64) time.Duration {
	switch ns := ms * float64(time.Millisecond); {
	case ns >= math.MaxInt64:
		return math.MaxInt64
	case ns <= math.MinInt64:
		return math.MinInt64
	default:
		return time.Duration(ns)
	}
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
