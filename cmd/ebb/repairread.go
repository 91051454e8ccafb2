package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/ebbdb/ebb"
	"github.com/ebbdb/ebb/internal/dir"
	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/manifest"
	"github.com/ebbdb/ebb/internal/op"
	"github.com/ebbdb/ebb/internal/table"
	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/wal"
)

// read opens the tables and reads the log.
func (r *salvage) read(ctx context.Context) error {
	var live map[string]bool // nil: all
	first, end := uint32(0), wal.Position{}
	state, err := manifest.Load(vfs.OS, r.src)
	switch {
	case err == nil:
		live, first, end = make(map[string]bool), state.FirstSegment, state.Log.Position
		for _, t := range state.Tables {
			live[dir.TableName(t.File)] = true
		}
		r.database, r.now, r.evictions = &state.Database, max(r.now, state.Clock), state.Evictions
	case errors.Is(err, ebb.ErrVersion):
		return err // what is there is no damage: the release that wrote it reads it
	default:
		if err := errors.Join(r.lose(dir.Dir(r.src).Manifest(), err), r.assume(withoutManifest)); err != nil {
			return err
		}
	}
	if err := r.readTables(live); err != nil {
		return err
	}
	if err := r.readLog(ctx, first, end); err != nil {
		return err
	}
	slices.SortStableFunc(r.log, newerFirst)
	r.ranges = kv.NewRangeDeletes(r.deletes)
	return nil
}

// withoutManifest is what repair goes by if there is no manifest.
const withoutManifest = "every table and every log segment counts, as nothing tells which of them are obsolete: what was " +
	"deleted, overwritten or has expired may be back if a newer file is missing, and what was evicted if it has not expired"

// readTables opens the live tables.
func (r *salvage) readTables(live map[string]bool) error {
	tables := dir.Dir(r.src).Tables()
	names, err := filesIn(tables, dir.TableSuffix)
	if err != nil {
		if err := r.lose(tables, err); err != nil {
			return err
		}
	}
	for _, name := range names {
		if live != nil && !live[name] {
			continue // what a crash has left of a flush or a compaction
		}
		delete(live, name)
		if err := r.openTable(filepath.Join(tables, name)); err != nil {
			return err
		}
	}
	for name := range live {
		if err := r.lose(filepath.Join(tables, name), fs.ErrNotExist); err != nil {
			return err
		}
	}
	return nil
}

func (r *salvage) openTable(name string) error {
	t, err := table.OpenSalvage(vfs.OS, name)
	if errors.Is(err, ebb.ErrVersion) {
		return err
	}
	if err != nil {
		return r.lose(name, err)
	}
	if !r.belongs(t.ID().Database) {
		return errors.Join(r.lose(name, table.ErrForeign), t.Close())
	}
	r.tables = append(r.tables, t)
	r.deletes = append(r.deletes, t.RangeDeletes...)
	for _, problem := range t.Problems {
		if err := r.lose(name, problem); err != nil {
			return err
		}
	}
	return nil
}

// belongs reports whether a file of this database belongs to the one that is saved.
func (r *salvage) belongs(id [16]byte) bool {
	if r.database == nil {
		r.database = &id
	}
	return *r.database == id
}

// filesIn returns the names in a directory with a suffix, sorted.
func filesIn(dir, suffix string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	var names []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), suffix) {
			names = append(names, e.Name())
		}
	}
	return names, err
}

// readLog reads the segments from the first that is live. The log has come to end at least.
func (r *salvage) readLog(ctx context.Context, first uint32, end wal.Position) error {
	log := dir.Dir(r.src).Log()
	names, err := filesIn(log, wal.SegmentSuffix)
	if err != nil {
		return r.lose(log, err)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) })
	names = slices.DeleteFunc(names, func(name string) bool { return isObsolete(name, first) })
	if firstName := wal.SegmentName(first); first > 0 && !slices.Contains(names, firstName) {
		if err := r.lose(filepath.Join(log, firstName), fs.ErrNotExist); err != nil {
			return err
		}
	}
	var last *wal.Salvaged
	var lastErr error
	for _, name := range names {
		name = filepath.Join(log, name)
		s, err := r.readSegment(ctx, name, first)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if errors.Is(err, ebb.ErrVersion) {
			return err
		}
		if errors.Is(err, wal.ErrUnused) && last != nil {
			continue // what follows it, if anything does, continues nothing
		}
		if err != nil {
			if err := r.lose(name, describeLoss(&s, err)); err != nil {
				return err
			}
		}
		if last != nil && s.Segment > first && !s.Follows(last) {
			if err := r.lose(name, errors.New("what it continues is not what is left of the segment before")); err != nil {
				return err
			}
		}
		last, lastErr = &s, err
		r.segments++
	}
	if last == nil || lastErr != nil || !last.Before(end) {
		return nil // or it is told already
	}
	return r.lose(log, fmt.Errorf("the log ends in segment %d at %d: it had come to %d, %d", last.Segment, last.Read,
		end.Segment, end.Offset))
}

// isObsolete reports whether a file is named as a segment before the first that is live. Such a segment is kept for watchers
// and increments only: all of it is in tables, and what has been compacted away there it would bring back.
func isObsolete(name string, first uint32) bool {
	number, err := strconv.ParseUint(strings.TrimSuffix(name, wal.SegmentSuffix), 10, 32)
	return err == nil && uint32(number) < first
}

// readSegment reads one segment, and takes nothing of one that belongs to another database, or that is obsolete, whatever it
// is named.
func (r *salvage) readSegment(ctx context.Context, name string, first uint32) (wal.Salvaged, error) {
	entries, deletes, evictions, now := len(r.log), len(r.deletes), r.evictions, r.now
	s, err := wal.Salvage(vfs.OS, name, func(e *wal.Entry) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := r.entry(e); err != nil { // its sequences are known, so what follows can be read
			return r.lose(fmt.Sprintf("%s, offset %d", name, e.Pos.Offset), err)
		}
		return nil
	})
	if s.Segment == 0 {
		return s, err
	}
	if foreign := !r.belongs(s.ID); foreign || s.Segment < first {
		r.log, r.deletes, r.evictions, r.now = r.log[:entries], r.deletes[:deletes], evictions, now
		err = wal.ErrForeign
		if !foreign {
			err = fmt.Errorf("it is segment %d, which is obsolete", s.Segment)
		}
	}
	return s, err
}

// describeLoss adds to the error of a segment what it means.
func describeLoss(s *wal.Salvaged, err error) error {
	if s.Lost == 0 {
		return err
	}
	return fmt.Errorf("bytes %d to %d, or the end that a crash has torn: %w", s.Read, s.Read+s.Lost, err)
}

// entry takes the operations of an entry of the log: all, or none if one cannot be read.
func (r *salvage) entry(e *wal.Entry) error {
	if e.Kind == wal.KindClock {
		r.now = max(r.now, e.Time)
		return nil
	}
	if err := r.ops.Decode(e); err != nil {
		return err
	}
	for r.ops.Next() {
		switch o := &r.ops.Op; o.Kind {
		case op.Put:
			r.keep(kv.Entry{Key: o.Key, Value: o.Value, Seq: o.Seq, Deadline: o.Deadline})
		case op.Delete, op.Expired:
			r.keep(kv.Entry{Key: o.Key, Seq: o.Seq, Kind: kv.Delete})
		case op.DeleteRange:
			r.deletes = append(r.deletes, kv.RangeDelete{Start: bytes.Clone(o.Key), End: bytes.Clone(o.End), Seq: o.Seq})
		case op.Evict:
			r.evictions = r.evictions.With(kv.Evictions{{Seq: o.Seq, Horizon: o.Deadline}})
		default:
			return op.Unknown(o.Kind)
		}
	}
	return nil
}

// keep keeps a copy of an entry of the log.
func (r *salvage) keep(e kv.Entry) {
	e.Key, e.Value = bytes.Clone(e.Key), bytes.Clone(e.Value)
	r.log = append(r.log, e)
}
