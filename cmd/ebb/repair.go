package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/ebbdb/ebb"
	"github.com/ebbdb/ebb/internal/dir"
	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/op"
	"github.com/ebbdb/ebb/internal/table"
	"github.com/ebbdb/ebb/internal/vfs"
)

func repairCommand() command {
	return command{"repair", "DIR NEWDIR", "save what can be read of a damaged database into a new one", 2, 2, tool, plain(repair), `
DIR is only read, and nobody may write to it meanwhile. NEWDIR must be empty or absent. Every file, and every stretch of
one, that could not be read is listed; then the exit code is 1. What was lost with them may have been newer values or
deletes, so that older values can be back. What the manifest says is obsolete is not read. If the manifest is not whole,
every table and log segment counts; that is told, and the exit code is 1 even if all of them can be read. Versions start
anew, and writers of idempotent batches are forgotten.`}
}

// repair saves what can be read.
//
//  1. The manifest tells which tables and segments are live: only they are data. Without it all of them count, which is told.
//  2. The log is read into memory: segment after segment, each as far as it goes.
//  3. Tables and log are merged by key. Of each key the newest sequence wins, unless a range delete is newer.
//  4. What is a value, has not expired and was not evicted is put into the new database, which is synced by its flush.
//
// Nothing of the source is opened for writing; a crash leaves it as it was, and a new directory that is to be deleted.
func repair(ctx context.Context, s *session, args []string) error {
	src, dest := args[0], args[1]
	if err := checkRepair(src, dest); err != nil {
		return err
	}
	r := &salvage{src: src, out: s.out, now: time.Now().UnixMilli(), bar: s.progress(-1, "saving")}
	defer r.bar.Finish()
	defer r.close()
	if err := r.read(ctx); err != nil {
		return err
	}
	db, err := ebb.Open(dest, nil)
	if err != nil {
		return err
	}
	l := loader{db: db}
	if err = r.save(ctx, &l); err == nil {
		err = l.apply()
	}
	if err == nil {
		err = db.Flush()
	}
	if err = errors.Join(err, db.Close()); err != nil {
		return fmt.Errorf("stopped after %d keys; %s is not complete: %w", l.written, dest, err)
	}
	r.bar.Finish()
	err = s.out.line(fmt.Sprintf("saved %d keys of %d tables and %d log segments; %d have expired", l.written, len(r.tables),
		r.segments, r.expired), field{"saved", l.written}, field{"tables", len(r.tables)}, field{"segments", r.segments},
		field{"expired", r.expired},
		field{"lost", r.lost})
	if err == nil && r.lost > 0 {
		err = fmt.Errorf("%d places could not be read; they are listed", r.lost)
	}
	return err
}

// checkRepair refuses a source that is no database and a target that holds something.
func checkRepair(src, dest string) error {
	if err := checkExists(src); err != nil {
		return err
	}
	if err := dir.CheckTarget(vfs.OS, dest); err != nil {
		return err
	}
	return checkSource(dest, src)
}

// salvage reads a damaged database.
type salvage struct {
	src string
	out *printer
	bar bar
	now int64 // Unix ms

	tables    []*table.Salvage
	segments  int
	log       []kv.Entry       // in the order of the log, then sorted
	ops       op.Ops           // scratch
	deletes   []kv.RangeDelete // of tables and log
	ranges    *kv.RangeDeletes
	evictions kv.Evictions // of manifest and log
	database  *[16]byte    // the one whose files count; nil until the first is known

	lost    int
	expired int
}

func (r *salvage) close() {
	for _, t := range r.tables {
		t.Close()
	}
}

// lose tells of something that cannot be saved.
func (r *salvage) lose(name string, err error) error {
	r.lost++
	var lost *table.Lost
	fields := []field{{"file", name}, {"error", err}}
	text := fmt.Sprintf("lost: %s: %v", name, err)
	if errors.As(err, &lost) {
		fields = append(fields, field{"from", lost.From}, field{"to", lost.To})
	}
	return r.out.line(text, fields...)
}

// assume tells what repair goes by where it cannot know.
func (r *salvage) assume(text string) error {
	return r.out.line("assumed: "+text, field{"assumed", text})
}

// save merges everything and puts what lives into the new database.
func (r *salvage) save(ctx context.Context, l *loader) error {
	var m merge
	defer m.stop()
	for _, t := range r.tables {
		if err := m.add(r.tableEntries(t)); err != nil {
			return err
		}
	}
	if err := m.add(r.logEntries()); err != nil {
		return err
	}
	var last []byte
	for len(m) > 0 {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		e := m[0].entry
		if last == nil || !bytes.Equal(last, e.Key) {
			last = append(last[:0], e.Key...)
			if err := r.put(l, &e); err != nil {
				return err
			}
		}
		if err := m.advance(); err != nil {
			return err
		}
	}
	return nil
}

// put puts the newest entry of a key if it lives.
func (r *salvage) put(l *loader, e *kv.Entry) error {
	r.bar.Add(len(e.Key) + len(e.Value))
	if e.Kind == kv.Delete || r.ranges.Seq(e.Key, ^uint64(0)) > e.Seq {
		return nil
	}
	if kv.Expired(e.Deadline, r.now) || r.evictions.Cover(e, ^uint64(0)) {
		r.expired++
		return nil
	}
	if e.Deadline == 0 {
		return l.put(e.Key, e.Value)
	}
	return l.put(e.Key, e.Value, ebb.ExpireAt(time.UnixMilli(e.Deadline)))
}

// tableEntries yields the entries of a table and tells of its stretches that cannot be read.
func (r *salvage) tableEntries(t *table.Salvage) iter.Seq2[kv.Entry, error] {
	return func(yield func(kv.Entry, error) bool) {
		for e, err := range t.Entries() {
			if err != nil {
				if err := r.lose(t.Name(), err); err != nil {
					yield(kv.Entry{}, err)
					return
				}
				continue
			}
			if !yield(*e, nil) {
				return
			}
		}
	}
}

func (r *salvage) logEntries() iter.Seq2[kv.Entry, error] {
	return func(yield func(kv.Entry, error) bool) {
		for _, e := range r.log {
			if !yield(e, nil) {
				return
			}
		}
	}
}
