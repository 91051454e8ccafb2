package ebb

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/wal"
)

// fakeClock is a time that stands still until it is moved.
type fakeClock struct{ now atomic.Int64 } // Unix ns

func newFakeClock() *fakeClock {
	c := &fakeClock{}
	c.now.Store(time.UnixMilli(1_700_000_000_000).UnixNano())
	return c
}

// newClockAt returns another clock that shows a time in Unix ms.
func newClockAt(ms int64) *fakeClock {
	c := &fakeClock{}
	c.now.Store(ms * int64(time.Millisecond))
	return c
}

func (c *fakeClock) Now() time.Time { return time.Unix(0, c.now.Load()) }

func (c *fakeClock) ms() int64 { return c.Now().UnixMilli() }

func (c *fakeClock) add(d time.Duration) { c.now.Add(int64(d)) }

// tinyOptions makes every path short: memtables, tables and log segments of a few entries.
func tinyOptions(fs vfs.FS, clock *fakeClock) *Options {
	return &Options{fs: fs, Clock: clock.Now, memtableSize: 8 << 10, tableSize: 4 << 10, segmentSize: 4 << 10, worthGap: 2,
		replayBatch: 512}
}

// manualOptions is tinyOptions with nothing in the background, and under a policy.
func manualOptions(fs vfs.FS, clock *fakeClock, policy SyncPolicy) *Options {
	o := tinyOptions(fs, clock)
	o.manual, o.Sync = true, policy
	return o
}

// readOnlyOptions are those of others, without what only writes use.
func readOnlyOptions(o *Options) *Options {
	c := *o
	c.ReadOnly, c.Sync, c.SyncEvery, c.Compression, c.ExpiryEvents, c.RetainLog = true, SyncAlways, 0, CompressionNone, false, 0
	return &c
}

// openTest opens a database that is closed with the test, if the test has not done so.
func openTest(t *testing.T, o *Options) *DB {
	t.Helper()
	db, err := Open("db", o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// lastSeq returns the sequence of the newest write.
func lastSeq(db *DB) uint64 {
	t := db.pipeline.lock()
	defer t.end()
	return t.lastSeq()
}

// freeze freezes the active memtable.
func freeze(db *DB) error {
	t := db.pipeline.lock()
	defer t.end()
	return t.freeze()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// has reports whether a key has a value.
func (c content) has(t *testing.T, key, value string) {
	t.Helper()
	if got, err := c.Get([]byte(key)); err != nil || string(got) != value {
		t.Errorf("%s is %.20q, %v, want %.20q", key, got, err, value)
	}
}

// lacks holds that a key is absent for every way to read it.
func (c content) lacks(t *testing.T, key string) {
	t.Helper()
	if got, err := c.Get([]byte(key)); !errors.Is(err, ErrNotFound) {
		t.Errorf("%s is %.20q, %v, want it absent", key, got, err)
	}
	if has, err := c.Has([]byte(key)); has || err != nil {
		t.Errorf("has %s: %v, %v", key, has, err)
	}
	for e, err := range c.Range(&IterOptions{Start: []byte(key), Limit: 1}) {
		if err != nil || string(e.Key) == key {
			t.Errorf("a scan shows %s: %v", e.Key, err)
		}
	}
}

// content is what a DB shows.
type content struct{ *DB }

// step is one thing that a script does.
type step struct {
	name  string
	run   func(*DB) error
	apply func(*model) // nil if it changes nothing that reads see
	ops   uint64       // sequences that it takes
	syncs bool         // whether all that was written is on the disk when it has run, whatever the policy
}

// writeStep is a step that changes something.
func writeStep(name string, run func(*DB) error, apply func(*model), ops uint64) step {
	return step{name: name, run: run, apply: apply, ops: ops}
}

func putStep(key, value string, deadline int64) step {
	return writeStep("put "+key, func(db *DB) error {
		return db.Put([]byte(key), []byte(value), ExpireAt(deadlineTime(deadline)))
	}, func(m *model) { m.entries[key] = modelEntry{value, deadline} }, 1)
}

// deadlineTime makes 0 the zero time, which is no deadline.
func deadlineTime(deadline int64) time.Time {
	if deadline == 0 {
		return time.Time{}
	}
	return time.UnixMilli(deadline)
}

func deleteStep(key string) step {
	return writeStep("delete "+key, func(db *DB) error { return db.Delete([]byte(key)) },
		func(m *model) { delete(m.entries, key) }, 1)
}

// deleteRangeStep deletes from start to end, or to the end of all keys if end is empty.
func deleteRangeStep(start, end string) step {
	bound := []byte(end)
	if end == "" {
		bound = nil
	}
	return writeStep("delete range", func(db *DB) error { return db.DeleteRange([]byte(start), bound) },
		func(m *model) {
			for k := range m.entries {
				if start <= k && (k < end || end == "") {
					delete(m.entries, k)
				}
			}
		}, 1)
}

// evictStep evicts what has a deadline up to horizon.
func evictStep(horizon int64) step {
	return writeStep("evict", func(db *DB) error { return db.evicter.evict(horizon) },
		func(m *model) { m.change(Change{Kind: ChangeEvict, Deadline: horizon}) }, 1)
}

// batchStep puts value under all keys but the last, which it deletes.
func batchStep(value string, deadline int64, keys ...string) step {
	last := len(keys) - 1
	return writeStep("batch", func(db *DB) error {
		var b Batch
		for _, k := range keys[:last] {
			if err := b.Put([]byte(k), []byte(value), ExpireAt(deadlineTime(deadline))); err != nil {
				return err
			}
		}
		return errors.Join(b.Delete([]byte(keys[last])), db.Apply(&b))
	}, func(m *model) {
		for _, k := range keys[:last] {
			m.entries[k] = modelEntry{value, deadline}
		}
		delete(m.entries, keys[last])
	}, uint64(len(keys)))
}

// replaceStep is a batch that deletes the keys from start to end, or to the end of all keys if end is empty, and puts two there.
func replaceStep(start, end, value string) step {
	del, first, second := deleteRangeStep(start, end), putStep(start, value, 0), putStep(start+start, value, 0)
	return writeStep("replace", func(db *DB) error {
		bound := []byte(end)
		if end == "" {
			bound = nil
		}
		var b Batch
		return errors.Join(b.Put([]byte(start), []byte("never seen")), b.DeleteRange([]byte(start), bound),
			b.Put([]byte(start), []byte(value)), b.Put([]byte(start+start), []byte(value)), db.Apply(&b))
	}, func(m *model) {
		del.apply(m)
		first.apply(m)
		second.apply(m)
	}, 4)
}

// lifeWriter is the writer of lifeScript. Its last batch is the value of the key that it writes.
const lifeWriter = 3

// writerStep applies the next batch of lifeWriter twice.
func writerStep() step {
	return writeStep("batch of a writer", func(db *DB) error {
		next := int32(0)
		if last, err := db.WriterSequence(lifeWriter); err == nil {
			next = last + 1
		}
		if err := applyAs(db, lifeWriter, next, "writer", fmt.Sprint(next)); err != nil {
			return err
		}
		return applyAs(db, lifeWriter, next, "writer", "repeated")
	}, func(m *model) {
		next := 0
		if last, ok := m.entries["writer"]; ok {
			next, _ = strconv.Atoi(last.value)
			next++
		}
		m.entries["writer"] = modelEntry{strconv.Itoa(next), 0}
	}, 1)
}

// writerIs holds that the database knows of lifeWriter what the model does.
func (m *model) writerIs(db *DB) error {
	want, known := m.entries["writer"]
	got, err := db.WriterSequence(lifeWriter)
	if known && (err != nil || fmt.Sprint(got) != want.value) || !known && !errors.Is(err, ErrNotFound) {
		return fmt.Errorf("the last batch of the writer is %d, %v, want %q", got, err, want.value)
	}
	return nil
}

// addStep adds one to a counter.
func addStep(key string, deadline int64) step {
	return writeStep("add "+key, func(db *DB) error {
		_, err := db.Add([]byte(key), 1, ExpireAt(deadlineTime(deadline)))
		return err
	}, func(m *model) {
		old, ok := m.live(key, m.clock.ms())
		if !ok {
			old = modelEntry{"0", deadline}
		}
		n, _ := strconv.Atoi(old.value)
		m.entries[key] = modelEntry{strconv.Itoa(n + 1), old.deadline}
	}, 1)
}

// appendStep appends the value of one key to that of another, in a transaction.
func appendStep(to, from string) step {
	return writeStep("append", func(db *DB) error {
		return db.Update(func(tx *Txn) error {
			value, err := tx.Get([]byte(to))
			if err != nil && err != ErrNotFound {
				return err
			}
			if value, err = tx.AppendGet(value, []byte(from)); err != nil && err != ErrNotFound {
				return err
			}
			return errors.Join(tx.Put([]byte(to), value), tx.Delete([]byte(from)))
		})
	}, func(m *model) {
		now := m.clock.ms()
		a, _ := m.live(to, now)
		b, _ := m.live(from, now)
		m.entries[to] = modelEntry{a.value + b.value, 0}
		delete(m.entries, from)
	}, 2)
}

func otherStep(name string, run func(*DB) error) step { return step{name: name, run: run} }

func syncingStep(name string, run func(*DB) error) step {
	return step{name: name, run: run, syncs: true}
}

var (
	flushStep   = syncingStep("flush", (*DB).Flush)
	syncStep    = syncingStep("sync", (*DB).Sync)
	compactStep = syncingStep("compact", func(db *DB) error { return db.Compact(context.Background()) })
)

// sweepStep moves the clock and sweeps.
func sweepStep(clock *fakeClock, d time.Duration) step {
	return otherStep("sweep", func(db *DB) error {
		clock.add(d)
		db.sweep()
		return nil
	})
}

// lifeScript is a life of a database that has everything in it: each kind of write, evictions, deadlines that pass, memtables
// that fill up, flushes, compactions, and the sweeper.
func lifeScript(clock *fakeClock) []step {
	start := clock.ms()
	large := strings.Repeat("large", 1900) // fills a memtable by itself
	return []step{
		putStep("a", "1", 0), putStep("b", "1", 0), putStep("k", "old", 0),
		batchStep("batch1", 0, "c", "d", "e", "a"),
		addStep("n", start+3000), writerStep(), syncStep, flushStep,
		appendStep("c", "d"), addStep("n", start+3000), writerStep(),
		putStep("k", "new", start+500), putStep("t", "short", start+700), deleteStep("b"),
		batchStep("batch2", start+5000, "c", "f", "g", "nothing"),
		sweepStep(clock, 100*time.Millisecond), flushStep,
		putStep("l", large, 0), putStep("m", "after", 0),
		sweepStep(clock, 1500*time.Millisecond), // k and t expire
		putStep("b", "again", start+60_000), deleteRangeStep("c", "e"), flushStep,
		putStep("d", "late", 0), writerStep(), syncStep, compactStep,
		putStep("k", "third", start+2500), putStep("past", "never", start-1), flushStep,
		sweepStep(clock, 2*time.Second), // k expires once more
		batchStep("batch3", 0, "x", "y", "z", "d"), deleteRangeStep("a", "c"), compactStep,
		replaceStep("y", "z", "4"), replaceStep("zz", "", "5"),
		sweepStep(clock, 4*time.Second), // f and g expire
		putStep("v1", "old", 0), putStep("v2", "1", start+50_000), flushStep,
		putStep("v1", "new", start+15_000), putStep("v3", "1", start+18_000), putStep("v4", "1", start+60_000), flushStep,
		putStep("v5", "1", start+19_000), evictStep(start + 20_000), putStep("v3", "again", start+19_000), flushStep,
		evictStep(start + 50_000), compactStep,
		addStep("n", 0), writerStep(), appendStep("x", "y"), putStep("end", "1", 0), putStep("y", "2", start+9000), flushStep, putStep("z", "3", 0),
	}
}

// files returns the names in a directory of a file system, with the directory.
func files(t *testing.T, fs vfs.FS, dir string) []string {
	t.Helper()
	names, err := fs.ReadDir(dir)
	must(t, err)
	for i, name := range names {
		names[i] = path.Join(dir, name)
	}
	return names
}

// reopenAndWrite writes to a database that has been opened after a mishap, flushes, closes, opens it again, and holds it
// against the model each time. It closes db.
func reopenAndWrite(db *DB, o *Options, m *model) error {
	again := putStep("written after", "w", 0)
	if err := again.run(db); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	again.apply(m)
	if err := db.Flush(); err != nil {
		return fmt.Errorf("flush: %w", err)
	}
	if err := m.compare(db, db.clock.Now()); err != nil {
		return fmt.Errorf("after a flush: %w", err)
	}
	if err := db.Close(); err != nil {
		return fmt.Errorf("close: %w", err)
	}
	db, err := Open("db", o)
	if err != nil {
		return fmt.Errorf("open again: %w", err)
	}
	defer db.Close()
	if err := m.compare(db, db.clock.Now()); err != nil {
		return fmt.Errorf("opened again: %w", err)
	}
	return nil
}

// newerVersion returns a snapshot file whose header says that a later version wrote it.
func newerVersion(t *testing.T, data []byte) []byte {
	t.Helper()
	rec, n, err := wal.DecodeRecord(data)
	must(t, err)
	value := append([]byte(nil), rec.Value...)
	value[1]++
	out, err := wal.AppendRecord(nil, &wal.Record{Value: value})
	must(t, err)
	return append(out, data[n:]...)
}

// sweep does what the background does for deadlines, in a database without one.
func (db *DB) sweep() (next int64) {
	if db.opts.manual {
		_ = db.reporter.catchUp() // what fails is tried again
		db.pipeline.tickClock()
	}
	return db.sweeper.sweep()
}
