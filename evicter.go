package ebb

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ebbdb/ebb/compaction"
	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/lsm"
	"github.com/ebbdb/ebb/wal"
)

// evicter makes what has a deadline absent before the deadline, to free space.
type evicter struct {
	pipeline  *pipeline
	reporter  *reporter // nil: expiries are not reported
	live      *lsm.Set
	counters  *counters
	compacter *worker
}

// evict makes everything absent that was written before and has a deadline up to horizon, in Unix ms. Keys without a
// deadline stay.
//
//  1. A record with its own sequence goes through the log, as any write. From here on the write may survive a crash.
//  2. The log is synced, and the record becomes visible: reads find no evicted entry, and nothing beneath one.
//  3. The manifest takes the eviction. Only from here on do flushes and compactions leave out what was evicted: so nothing is
//     missing from tables that a crash before 2 brings back. If this step fails, which is told as an event, the eviction has
//     happened all the same, and the flush of the memtable that holds the record takes the step.
func (v *evicter) evict(horizon int64) error {
	e := Evicted{UpTo: time.UnixMilli(horizon)}
	e.Entries, e.Bytes = v.evictable(horizon)
	t, err := beginRange(v.pipeline, v.reporter, claimNothing)
	if err != nil {
		return err
	}
	err = t.write(wal.Entry{Kind: wal.KindEvict, Deadline: horizon}, &params{sync: true, versionTo: &e.Version})
	if err != nil {
		return err
	}
	v.counters.evictions.Add(1)
	v.pipeline.health.events.emit(e)
	if err := v.live.Commit(&lsm.Edit{Evicted: kv.Evictions{{Seq: e.Version, Horizon: horizon}}}); err != nil {
		v.pipeline.health.events.backgroundError("evict", noSpace(err), 0)
	}
	v.compacter.request()
	return nil
}

// evictable returns how much in tables has a deadline up to horizon, has not expired and was not evicted: a lower bound.
func (v *evicter) evictable(horizon int64) (entries uint64, bytes int64) {
	now, version := v.pipeline.clock.Now(), v.live.View().Version
	for _, t := range version.Levels.All() {
		gone := max(now, t.Evicted(version.Evictions))
		for _, b := range t.Reader.Properties().Deadlines {
			if b.UpTo > gone && b.UpTo <= horizon {
				entries, bytes = entries+b.Entries, bytes+int64(b.Bytes)
			}
		}
	}
	return entries, bytes
}

// pinPatience is how long writers wait for iterators and snapshots that hold what they need. A loop over all keys is done by
// then as a rule, and who writes while it holds an iterator must not wait for itself.
const pinPatience = time.Second

// freer frees space in a bounded directory, and comes to a verdict when it cannot:
//
//   - What needs no room goes first: tables of which all has expired, was evicted or is deleted; and tables of which a part
//     has are rewritten.
//   - If newer entries hide more than is wanted, tables are compacted for them.
//   - Or an eviction takes what would expire first, up to a horizon that the histograms of tables tell.
//   - At last all is compacted that may free anything.
//
// A look ends with writers who go on, or are refused with ErrNoSpace. They are refused only if at one moment, at which nobody
// flushes or compacts, all is flushed, nothing is worth a compaction that there is room for, and no eviction frees anything.
// That holds until something has changed: see bound.refusal.
//
// If bytes of deleted files that somebody has open are all that is missing, nothing is evicted for them. Writers wait for
// pinPatience and are refused then.
type freer struct {
	bound     *bound
	pipeline  *pipeline
	flusher   *flusher
	compacter *compacter
	evicter   *evicter
	live      *lsm.Set
	manual    bool // looks are made by writers

	looking sync.Mutex // held by whoever looks; taken before compacter.compacting
	pinned  time.Time  // since when writers wait for pins alone; zero: they do not. Guarded by looking
	doubt   doubt      // guarded by looking
}

// loop looks when it is asked to, until Close.
func (f *freer) loop() {
	for {
		select {
		case <-f.pipeline.health.work.Done():
			return
		case <-f.bound.requests:
			f.look()
		}
	}
}

// look frees space if little is left, and comes to a verdict.
func (f *freer) look() {
	f.looking.Lock()
	defer f.looking.Unlock()
	f.free()
	v := f.live.View()
	if over := f.bound.over(v); over > -f.bound.margin() {
		f.bound.askAbove.Store(over + f.bound.largest/2) // what could be freed was
	} else {
		f.bound.askAbove.Store(-f.bound.margin())
	}
	if !f.bound.closed(v) {
		f.bound.verdict.Store(nil)
		f.pinned = time.Time{}
	}
	f.bound.update()
}

// free frees space: some, if little is left, and if writers are stopped all there is before they are refused.
func (f *freer) free() {
	f.live.AwaitReleases()
	if !f.bound.closed(f.live.View()) {
		_ = f.freeSome(0) // a failure is told, or found again, by who is stopped for it
		return
	}
	for more := f.bound.largest; f.pipeline.health.refusal() == nil; more = min(2*more, f.bound.max) {
		for _, step := range []func(int64) error{f.flush, f.freeSome, f.freeAll} {
			if err := step(more); err != nil {
				f.refuse(err)
				return
			}
			if !f.bound.closed(f.live.View()) {
				return
			}
		}
		if f.settled() {
			return
		}
	}
}

// flush makes tables of all memtables: the log goes with them, and only what is in tables is compacted.
func (f *freer) flush(int64) error {
	ctx := f.pipeline.health.work
	err := f.flusher.flushUntil(ctx)
	if err != nil {
		return err
	}
	t := f.pipeline.lock()
	if !t.mem().Empty() && f.pipeline.health.refusal() == nil {
		err = t.freeze()
	}
	t.end()
	if err == nil {
		err = f.flusher.flushUntil(ctx)
	}
	f.live.AwaitReleases()
	return err
}

// freeSome drops and rewrites what is of no use and, if that is not enough, evicts. It wants a margin, and more.
func (f *freer) freeSome(more int64) error {
	for {
		if err := f.compact(false); err != nil {
			return err
		}
		over := f.bound.overLive(f.live.View())
		want := over + 2*f.bound.margin() + more
		if over <= -f.bound.margin() {
			return nil
		}
		if hidden := f.live.View().Version.Levels.Hidden().Size; hidden >= want && f.doubt.believes() {
			if err := f.compact(true); err != nil {
				return err
			}
			if freed := over - f.bound.overLive(f.live.View()); f.doubt.learn(freed >= want/2) {
				continue
			}
		}
		horizon := f.horizon(want)
		if horizon == 0 {
			return nil
		}
		if err := f.evicter.evict(horizon); err != nil {
			return err
		}
	}
}

// freeAll compacts all that may free anything.
func (f *freer) freeAll(int64) error { return f.compact(true) }

// doubt is whether to believe the estimate of what is hidden, which for keys that are new is wrong.
type doubt struct{ skip, next int }

// believes reports whether to try.
func (d *doubt) believes() bool {
	if d.skip > 0 {
		d.skip--
		return false
	}
	return true
}

// learn notes whether the estimate was right, and returns that.
func (d *doubt) learn(right bool) bool {
	if right {
		d.next = 0
		return true
	}
	d.next = min(2*d.next+1, 64)
	d.skip = d.next
	return false
}

// compact carries out what frees space: all that may, or what surely does.
func (f *freer) compact(all bool) error {
	c := f.compacter
	c.compacting.Lock()
	err := c.runPlans(c.health.work, f.picker(all))
	c.compacting.Unlock()
	f.live.AwaitReleases()
	return err
}

func (f *freer) picker(all bool) picker {
	return func(l *compaction.Levels, now int64, how compaction.Config) *compaction.Plan {
		how.Bound.Tight, how.Bound.Full = true, all
		if all {
			how.Bound.Room = f.bound.room()
		}
		return compaction.PickFree(l, now, how)
	}
}

// horizon returns the least deadline up to which an eviction frees so many bytes of tables, or the last one if that frees
// anything; 0 if it does not.
func (f *freer) horizon(want int64) int64 {
	v, now := f.live.View().Version, f.pipeline.dropNow()
	how := f.compacter.compaction()
	how.Bound.Tight = true
	var deadlines []int64
	for _, t := range v.Levels.All() {
		for _, d := range t.Reader.Properties().Deadlines {
			if d.UpTo > max(now, t.Evicted(v.Evictions)) {
				deadlines = append(deadlines, d.UpTo)
			}
		}
	}
	slices.Sort(deadlines)
	freed := v.Levels.Freed(0, now, how)
	i, _ := slices.BinarySearchFunc(deadlines, want, func(d, want int64) int {
		if v.Levels.Freed(d, now, how)-freed < want {
			return -1
		}
		return 1
	})
	if i < len(deadlines) {
		return deadlines[i]
	}
	if i > 0 && v.Levels.Freed(deadlines[i-1], now, how) > freed {
		return deadlines[i-1]
	}
	return 0
}

// settled comes to a verdict if at one moment nothing is under way and nothing can be freed. It is false if something can.
func (f *freer) settled() bool {
	changes := f.bound.changes.Load()
	c := f.compacter
	c.compacting.Lock()
	defer c.compacting.Unlock()
	f.flusher.flushing.Lock()
	defer f.flusher.flushing.Unlock()
	f.live.AwaitReleases()
	v := f.live.View()
	switch {
	case !f.bound.closed(v):
		return true
	case len(v.Frozen) > 0 || !v.Mem.Empty():
		return false
	case f.picker(true)(&v.Version.Levels, f.pipeline.dropNow(), c.compaction()) != nil:
		return false
	}
	all, held := f.bound.disk.Bytes()
	why := "to evict what has a deadline frees none of it"
	if held > 0 && f.bound.overLive(v) <= 0 {
		if f.waitsForPins() {
			f.decide(refusal{changes: changes})
			return true
		}
		why = fmt.Sprintf("%d of them are of deleted files that iterators, snapshots or watchers have open", held)
	} else if f.bound.over(v) > 0 && f.horizon(1) != 0 {
		return false
	}
	err := fmt.Errorf("%w: MaxDisk is %d bytes, %d are in use, and %s", ErrNoSpace, f.bound.max, all, why)
	f.decide(refusal{err: err, changes: changes})
	return true
}

// waitsForPins reports whether writers are to wait for who has deleted files open.
func (f *freer) waitsForPins() bool {
	sys := f.pipeline.health.sys
	if f.manual {
		return false // it may be the writer
	}
	if f.pinned.IsZero() {
		f.pinned = sys.now()
		time.AfterFunc(pinPatience+pinPatience/10, f.bound.request)
	}
	return sys.since(f.pinned) < pinPatience
}

// refuse makes a failure of what frees space the verdict.
func (f *freer) refuse(err error) {
	if f.pipeline.health.work.Err() == nil {
		r := refusal{err: noSpace(err), changes: f.bound.changes.Load(), again: f.pipeline.health.sys.now()}
		if !f.manual {
			r.again = r.again.Add(retryFirst)
		}
		f.decide(r)
	}
}

// decide makes r the verdict.
func (f *freer) decide(r refusal) {
	now := f.pipeline.clock.Now()
	for _, t := range f.live.View().Version.Levels.All() {
		if next := t.Reader.Properties().NextExpiry(now); next != 0 && (r.until == 0 || next < r.until) {
			r.until = next
		}
	}
	if f.bound.verdict.Store(&r); r.err == nil {
		return
	}
	if !errors.Is(r.err, ErrNoSpace) {
		f.pipeline.health.events.backgroundError("free space", r.err, retryFirst)
		return
	}
	f.evicter.counters.noSpace.Add(1)
	f.pipeline.health.events.emit(DiskFull{r.err})
}
