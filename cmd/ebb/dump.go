package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math"
	"path/filepath"
	"strings"
	"time"

	"github.com/ebbdb/ebb"
	"github.com/ebbdb/ebb/internal/dir"
	"github.com/ebbdb/ebb/internal/manifest"
	"github.com/ebbdb/ebb/internal/op"
	"github.com/ebbdb/ebb/internal/snapfile"
	"github.com/ebbdb/ebb/internal/table"
	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/wal"
)

func dumpCommand() command {
	return command{"dump", "FILE", "show a file of a database record by record", 1, 1, tool, dump,
		"FILE is a log segment, a table, a manifest or a snapshot file. Nothing is changed, " +
			"and no lock is needed; of a segment that is being\n" +
			"written, the end may be missing. It stops where the bytes are no record, and says where that is."}
}

// describer tells what the records of one kind of file are.
type describer func(*wal.Record) (wal.Description, error)

// dump shows the records of a file, each with its offset and size.
func dump(flags *flag.FlagSet) action {
	full := flags.Bool("full", false, "show values whole, however long")
	brief := flags.Bool("brief", false, "leave out the entries of blocks and batches")
	return func(ctx context.Context, s *session, args []string) error {
		data, closeFile, err := mapFile(args[0])
		if err != nil {
			return err
		}
		defer closeFile()
		d := dumper{out: s.out, name: args[0], most: shownValue, brief: *brief}
		if *full || s.out.json {
			d.most = math.MaxInt
		}
		var derr error
		if fault := vfs.Guard(func() { derr = d.file(ctx, data) }); fault != nil {
			return fmt.Errorf("%s: %w", args[0], fault)
		}
		return derr
	}
}

// mapFile returns the content of a file. Reading it may fault: see vfs.Guard.
func mapFile(name string) ([]byte, func() error, error) {
	f, err := vfs.OS.Open(name)
	if err != nil {
		return nil, nil, err
	}
	data, err := f.Map()
	if errors.Is(err, vfs.ErrNotSupported) {
		var size int64
		if size, err = f.Size(); err == nil {
			data = make([]byte, size)
			_, err = f.ReadAt(data, 0)
		}
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("read %s: %w", name, err), f.Close())
	}
	return data, f.Close, nil
}

// dumper shows one file.
type dumper struct {
	out   *printer
	name  string
	most  int // bytes of a value that are shown
	brief bool
}

// file shows all of the file that is records.
func (d *dumper) file(ctx context.Context, data []byte) error {
	describe := describerOf(d.name, data)
	for off := 0; off < len(data); {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		rec, n, err := wal.DecodeRecord(data[off:])
		if n == 0 {
			return d.rest(data, off, err)
		}
		what := wal.Description{What: "record"}
		if err == nil {
			what, err = describe(&rec)
		}
		if errors.Is(err, ebb.ErrVersion) {
			return fmt.Errorf("%s: %w", d.name, err)
		}
		if perr := d.record(off, n, rec.Compression, what, err); perr != nil {
			return perr
		}
		off += n
	}
	return nil
}

// rest tells what is behind the last record: room, or what is no record.
func (d *dumper) rest(data []byte, off int, err error) error {
	rest := data[off:]
	zeros := len(rest) - len(trimZeros(rest))
	if zeros == len(rest) {
		return d.record(off, zeros, wal.CompressionNone, wal.Description{What: "zeros"}, nil)
	}
	return fmt.Errorf("%s: no record at offset %d, %d bytes before the end: %w", d.name, off, len(rest), err)
}

// trimZeros returns b without the zeros at its end.
func trimZeros(b []byte) []byte {
	n := len(b)
	for n > 0 && b[n-1] == 0 {
		n--
	}
	return b[:n]
}

// describerOf finds out what a file is, by its first record and, if that does not tell, by its name.
func describerOf(name string, data []byte) describer {
	segment, tbl := new(wal.Describer), new(table.Describer)
	rec, _, err := wal.DecodeStored(data)
	if err == nil && len(rec.Key) == 0 {
		if _, err := new(table.Describer).Describe(&rec); err == nil {
			return tbl.Describe
		}
		// Before the manifest's, which has no magic.
		if _, err := snapfile.Describe(&rec); err == nil || errors.Is(err, ebb.ErrVersion) {
			return snapfile.Describe
		}
		if _, err := manifest.Describe(&rec); err == nil {
			return manifest.Describe
		}
		if _, err := new(wal.Describer).Describe(&rec); err == nil {
			return segment.Describe
		}
	}
	switch {
	case strings.HasSuffix(name, dir.TableSuffix):
		return tbl.Describe
	case filepath.Base(name) == manifest.Name:
		return manifest.Describe
	}
	return segment.Describe
}

// record shows one record.
func (d *dumper) record(off, size int, c wal.Compression, what wal.Description, bad error) error {
	fields := []field{{"offset", off}, {"size", size}, {"record", what.What}}
	if c != wal.CompressionNone {
		fields = append(fields, field{"compression", c.String()})
	}
	var rows []wal.Description
	rows = append(rows, what.Rows...)
	for _, a := range what.Fields {
		if entry, ok := a.Value.Any().(*wal.Entry); ok { // a batch in the log
			var ops op.Ops
			bad = errors.Join(bad, ops.Decode(entry))
			list, err := opRows(&ops)
			rows, bad = append(rows, list...), errors.Join(bad, err)
			if w, ok := ops.Writer(); ok {
				fields = append(fields, field{"writer", w.ID}, field{"writer_batch", w.Sequence})
			}
			continue
		}
		fields = append(fields, d.field(a))
	}
	if bad != nil {
		fields = append(fields, field{"error", bad})
	}
	if d.brief {
		rows = nil
	}
	if d.out.json {
		if len(rows) > 0 {
			fields = append(fields, field{"rows", d.rowObjects(rows)})
		}
		return d.out.object(fields)
	}
	if err := d.text(fmt.Sprintf("%d", off), fields[1:]); err != nil {
		return err
	}
	for _, r := range rows {
		if err := d.text("  ", d.rowFields(r)); err != nil {
			return err
		}
	}
	return nil
}

func (d *dumper) rowFields(r wal.Description) []field {
	fields := []field{{"record", r.What}}
	for _, a := range r.Fields {
		fields = append(fields, d.field(a))
	}
	return fields
}

// object is a list of fields inside of another.
type object []field

func (d *dumper) rowObjects(rows []wal.Description) []object {
	var list []object
	for _, r := range rows {
		list = append(list, d.rowFields(r))
	}
	return list
}

// MarshalJSON writes the fields in their order.
func (o object) MarshalJSON() ([]byte, error) { return encodeFields(o) }

// field makes a field of an attribute.
func (d *dumper) field(a slog.Attr) field {
	switch v := a.Value.Any().(type) {
	case []byte:
		if len(v) > d.most {
			return field{a.Key, quoteUpTo(v, d.most)}
		}
		return field{a.Key, v}
	case time.Time:
		return field{a.Key, v.UTC().Format("2006-01-02T15:04:05.000Z")}
	default:
		return field{a.Key, v}
	}
}

// text writes fields as a line: the name of the record, and the rest with theirs.
func (d *dumper) text(line string, fields []field) error {
	for _, f := range fields {
		if f.name == "record" || f.name == "size" {
			line += " " + f.text()
		} else {
			line += " " + f.name + "=" + f.text()
		}
	}
	_, err := fmt.Fprintln(d.out, line)
	return err
}

// opRows describes operations.
func opRows(ops *op.Ops) (rows []wal.Description, err error) {
	for ops.Next() {
		row, err := describeOp(&ops.Op)
		if err != nil {
			return rows, err
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func describeOp(o *op.Op) (wal.Description, error) {
	key := slog.Any("key", o.Key)
	switch o.Kind {
	case op.Put:
		fields := []slog.Attr{key, slog.Any("value", o.Value)}
		if o.Deadline != 0 {
			fields = append(fields, slog.Time("deadline", time.UnixMilli(o.Deadline)))
		}
		return wal.Description{What: "put", Fields: fields}, nil
	case op.Delete:
		return wal.Description{What: "delete", Fields: []slog.Attr{key}}, nil
	case op.DeleteRange:
		return wal.Description{What: "range delete", Fields: []slog.Attr{slog.Any("start", o.Key), slog.Any("end", o.End)}}, nil
	case op.Evict:
		return wal.Description{What: "evict", Fields: []slog.Attr{slog.Time("horizon", time.UnixMilli(o.Deadline))}}, nil
	case op.Expired:
		return wal.Description{What: "expiry", Fields: []slog.Attr{key, slog.Uint64("version", o.Version),
			slog.Time("deadline", time.UnixMilli(o.Deadline))}}, nil
	}
	return wal.Description{}, op.Unknown(o.Kind)
}
