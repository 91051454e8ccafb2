package ebb

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"pgregory.net/rapid"

	"github.com/ebbdb/ebb/compaction"
	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// driver drives a database through a random history. Every state machine is one, and adds what it holds the database against.
type driver struct {
	fs    *vfstest.Mem
	clock *fakeClock
	opts  *Options
	db    *DB

	memory bool // the database has no directory: it is not reopened

	key   func(*rapid.T) string // draws a key
	wrote func(...Change)       // is told what a write did that has just returned, but for its sequences
}

// newDriver returns a driver of a database that is not open yet.
func newDriver(t *rapid.T, options func(*vfstest.Mem, *fakeClock) *Options) driver {
	d := driver{fs: vfstest.NewMem(), clock: newFakeClock()}
	d.opts = options(d.fs, d.clock)
	d.opts.Sync = rapid.SampledFrom([]SyncPolicy{SyncAlways, SyncNever}).Draw(t, "policy")
	return d
}

func (d *driver) open(t *rapid.T) {
	var err error
	if d.memory {
		d.db, err = OpenMemory(d.opts)
	} else {
		d.db, err = Open("db", d.opts)
	}
	d.must(t, err)
}

// close closes the database, so that the next open finds what it has left; or what a kill of the process would have, which
// it reports.
func (d *driver) close(t *rapid.T) (kill bool) {
	kill = rapid.Bool().Draw(t, "kill")
	killed := d.fs.Clone()
	d.must(t, d.db.Close())
	if kill {
		d.fs, d.opts.fs = killed, killed
	}
	return kill
}

func (d *driver) must(t *rapid.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (d *driver) now() int64 { return d.clock.ms() }

func (d *driver) value(t *rapid.T) string {
	n := rapid.SampledFrom([]int{0, 5, 60, 700}).Draw(t, "length")
	return string(bytes.Repeat([]byte{byte('a' + rapid.IntRange(0, 25).Draw(t, "value"))}, n))
}

// duration draws a TTL: of the past, none, or one that passes soon.
func (d *driver) duration(t *rapid.T) time.Duration {
	return time.Duration(rapid.IntRange(-1, 5000).Draw(t, "ms")) * time.Millisecond
}

// after returns the deadline that a TTL leads to.
func (d *driver) after(ttl time.Duration) int64 {
	if ttl == 0 {
		return 0
	}
	return d.now() + ttl.Milliseconds()
}

// deadline draws an option that sets a deadline, or none, and the deadline.
func (d *driver) deadline(t *rapid.T) (opts []WriteOption, deadline int64) {
	switch rapid.IntRange(0, 3).Draw(t, "ttl") {
	case 0:
		ttl := d.duration(t)
		return []WriteOption{TTL(ttl)}, d.after(ttl)
	case 1:
		at := d.now() + int64(rapid.IntRange(-10, 5000).Draw(t, "at"))
		return []WriteOption{ExpireAt(time.UnixMilli(at))}, at
	}
	return nil, 0
}

// put returns the change that a put is: one whose deadline has passed is a delete.
func (d *driver) put(key, value string, deadline int64) Change {
	if deadline != 0 && deadline <= d.now() {
		return Change{Kind: ChangeDelete, Key: []byte(key)}
	}
	return Change{Kind: ChangePut, Key: []byte(key), Value: []byte(value), Deadline: deadline}
}

func (d *driver) Put(t *rapid.T) {
	k, v := d.key(t), d.value(t)
	opts, deadline := d.deadline(t)
	d.must(t, d.db.Put([]byte(k), []byte(v), opts...))
	d.wrote(d.put(k, v, deadline))
}

func (d *driver) Delete(t *rapid.T) {
	k := d.key(t)
	d.must(t, d.db.Delete([]byte(k)))
	d.wrote(Change{Kind: ChangeDelete, Key: []byte(k)})
}

func (d *driver) DeleteRange(t *rapid.T) {
	start, end := []byte(d.key(t)), []byte(d.key(t))
	del := func() error { return d.db.DeleteRange(start, end) }
	switch rapid.IntRange(0, 3).Draw(t, "bounds") {
	case 0:
		end = nil
	case 1:
		start = start[:rapid.IntRange(0, len(start)).Draw(t, "length of the prefix")]
		end = PrefixEnd(start)
		del = func() error { return d.db.DeletePrefix(start) }
	}
	if end == nil {
		d.putLast(t)
	}
	d.must(t, del())
	for e, err := range d.db.Range(&IterOptions{Start: start, End: end}) {
		d.must(t, err)
		t.Fatalf("%q is left of %q to %q", e.Key, start, end)
	}
	switch {
	case end == nil:
		d.wrote(Change{Kind: ChangeDeleteRange, Key: start, End: keyAfter([]byte(lastKey))})
	case kv.Compare(start, end) < 0:
		d.wrote(Change{Kind: ChangeDeleteRange, Key: start, End: end})
	}
}

// lastKey is behind every key that is drawn.
const lastKey = "~"

// putLast puts the last key. So a range delete to the end has a known end: without it that depends on how much of what was
// deleted the background has dropped.
func (d *driver) putLast(t *rapid.T) {
	d.must(t, d.db.Put([]byte(lastKey), nil))
	d.wrote(Change{Kind: ChangePut, Key: []byte(lastKey)})
}

// maxBatch is how many changes a batch of a driver makes at most.
const maxBatch = 12

func (d *driver) Batch(t *rapid.T) {
	var b Batch
	var changes []Change
	for range rapid.IntRange(0, maxBatch/2).Draw(t, "operations") {
		changes = append(changes, d.operation(t, &b)...)
	}
	if rapid.IntRange(0, 3).Draw(t, "appended") == 0 {
		var whole Batch
		d.must(t, whole.Append(&b))
		b = whole
	}
	d.must(t, d.db.Apply(&b))
	if len(changes) > 0 {
		d.wrote(changes...)
	}
}

// operation adds an operation, or two, to a batch and returns what they do.
func (d *driver) operation(t *rapid.T, b *Batch) []Change {
	k := d.key(t)
	switch rapid.IntRange(0, 5).Draw(t, "kind") {
	case 0:
		d.must(t, b.Delete([]byte(k)))
		return []Change{{Kind: ChangeDelete, Key: []byte(k)}}
	case 1:
		end := d.key(t)
		d.must(t, b.DeleteRange([]byte(k), []byte(end)))
		if k >= end {
			return nil
		}
		return []Change{{Kind: ChangeDeleteRange, Key: []byte(k), End: []byte(end)}}
	case 2:
		if rapid.IntRange(0, 4).Draw(t, "to the end") > 0 {
			break
		}
		d.must(t, b.Put([]byte(lastKey), nil)) // as putLast does
		d.must(t, b.DeleteRange([]byte(k), nil))
		return []Change{{Kind: ChangePut, Key: []byte(lastKey)},
			{Kind: ChangeDeleteRange, Key: []byte(k), End: keyAfter([]byte(lastKey))}}
	}
	v := d.value(t)
	opts, deadline := d.deadline(t)
	d.must(t, b.Put([]byte(k), []byte(v), opts...))
	return []Change{d.put(k, v, deadline)}
}

// Evict evicts what has a deadline up to some horizon, of the past or soon.
func (d *driver) Evict(t *rapid.T) {
	horizon := d.now() + int64(rapid.IntRange(-100, 6000).Draw(t, "horizon"))
	d.must(t, d.db.evicter.evict(horizon))
	d.wrote(Change{Kind: ChangeEvict, Deadline: horizon})
}

func (d *driver) Flush(t *rapid.T) { d.must(t, d.db.Flush()) }

func (d *driver) Compact(t *rapid.T) { d.must(t, d.db.Compact(context.Background())) }

// CompactRange compacts a range, and holds that all of it is in the last level then, without tombstones.
func (d *driver) CompactRange(t *rapid.T) {
	start, end := []byte(d.key(t)), []byte(d.key(t))
	if rapid.Bool().Draw(t, "to the end") {
		end = nil
	}
	d.must(t, d.db.CompactRange(context.Background(), start, end))
	if isEmpty(start, end) {
		return
	}
	for level, table := range d.db.live.View().Version.Levels.All() {
		p := table.Reader.Properties()
		if table.Within(start, end) && (level < compaction.NumLevels-1 || p.Tombstones > 0 || len(p.RangeDeletes) > 0) {
			t.Fatalf("%q to %q: table %d of level %d is left, %q to %q, with %d tombstones, %d range deletes", start, end, table.File,
				level, p.Smallest, p.Largest, p.Tombstones, len(p.RangeDeletes))
		}
	}
}

func (d *driver) Verify(t *rapid.T) { d.must(t, d.db.Verify(context.Background())) }

// Pass lets time pass, and nobody looks.
func (d *driver) Pass(t *rapid.T) {
	d.clock.add(time.Duration(rapid.IntRange(1, 3000).Draw(t, "ms")) * time.Millisecond)
}

// Tick lets time pass, and sweeps.
func (d *driver) Tick(t *rapid.T) {
	d.Pass(t)
	d.db.sweep()
}

// numberedKeys draws one of 41 keys.
func numberedKeys(t *rapid.T) string {
	return fmt.Sprintf("key%02d", rapid.IntRange(0, 40).Draw(t, "key"))
}

// prefixedKeys draws one of 30 keys, of which some have a prefix in common.
func prefixedKeys(t *rapid.T) string {
	return fmt.Sprintf("%s%02d", rapid.SampledFrom([]string{"a", "b", "bb"}).Draw(t, "kind"), rapid.IntRange(0, 9).Draw(t, "key"))
}
