package ebb

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/ebbdb/ebb/compaction"
	"github.com/ebbdb/ebb/internal/lsm"
	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/wal"
)

// bound is how large the directory may become: see Options.MaxDisk.
//
// What the directory takes at a time is what its files have, and what is promised of the rest: each memtable is to become a
// table before its part of the log can go, and a compaction writes its outputs before its inputs can go. Of the rest headroom
// is kept for compactions. Writers may have what is left then. Where nothing is left they are stopped, and a freer looks what
// can be freed. When it has looked, they go on or are refused. It is asked to look when little is left, too, which stops nobody.
//
// Files that have lost their names and are still open count, as the disk has them: a table that a compaction has replaced is
// there until the last iterator or snapshot is closed that was made before, a segment of the log until a watcher has read it.
type bound struct {
	requests // for a look
	disk     *vfs.Counted
	max      int64
	headroom int64 // kept for compactions
	reserve  int64 // of headroom, for writes that free space
	largest  int64 // the largest write, in bytes: a memtable
	target   int64 // at which a compaction begins the next table
	tables   int   // that stop writers when level 0 has so many
	live     *lsm.Set
	clock    func() int64 // Unix ms
	sys      *system
	stopped  func() bool   // writers are stopped for the bound
	update   func()        // stops writers or lets them go on, as closed says; those who wait look again
	look     func()        // has the freer look now
	closing  func() error  // why no write is taken at all, or nil
	refused  *atomic.Int64 // counts writes

	running, written atomic.Int64  // of the compaction under way: bytes that it needs, and those it has written
	changes          atomic.Uint64 // counts what may make a verdict wrong
	askAbove         atomic.Int64  // a look is asked for where over is more
	verdict          atomic.Pointer[refusal]
}

// refusal is the verdict that there is no room.
type refusal struct {
	err     error     // nil: writers wait for who has deleted files open
	changes uint64    // of bound: before the last look that led to it
	until   int64     // Unix ms, when more will have expired; 0: never
	again   time.Time // for a failure of what frees space: when to try again. Zero: it is none
}

// holds reports whether it is still right.
func (r *refusal) holds(b *bound) bool {
	return r.changes == b.changes.Load() && (r.until == 0 || b.clock() < r.until) &&
		(r.again.IsZero() || b.sys.now().Before(r.again))
}

// claim says what a write may take of a bounded directory.
type claim uint8

const (
	claimRoom    claim = iota // what is left for writers
	claimReserve              // a part of the headroom, too: what deletes must be possible when nothing else is
	claimNothing              // it does not ask: the background frees space by it
)

// claimOf returns the claim of a write that only deletes, or does more.
func claimOf(deletes bool) claim {
	if deletes {
		return claimReserve
	}
	return claimRoom
}

// newBound returns the bound of a database that is about to be opened in a directory; nil if it has none.
func newBound(o *Options, dir string) *bound {
	if o.MaxDisk == 0 || o.ReadOnly {
		return nil
	}
	b := &bound{requests: newRequests(), max: o.MaxDisk, reserve: o.memtableSize * 3 / 2, largest: o.memtableSize,
		target:   o.tableSize,
		headroom: (o.MaxDisk - o.RetainLog) / headroomShare}
	b.askAbove.Store(-b.margin())
	b.disk = vfs.NewCounted(o.fs, dir, b.changed)
	return b
}

// margin is how much is left for writers when a look is asked for.
func (b *bound) margin() int64 { return 2 * b.largest }

// over returns by how much the directory, with what is promised, exceeds what writers may have.
func (b *bound) over(v *lsm.View) int64 {
	all, _ := b.disk.Bytes()
	return all - b.written.Load() + memory(v) + max(b.running.Load(), b.headroom) - b.max
}

// overLive is over without what nobody can free but those who have it open.
func (b *bound) overLive(v *lsm.View) int64 {
	_, held := b.disk.Bytes()
	return b.over(v) - held
}

// memory returns how large the tables become that memtables are made into: no larger than these.
func memory(v *lsm.View) int64 {
	n := v.Mem.Size() + compaction.TableCost
	for _, m := range v.Frozen {
		n += m.Size() + compaction.TableCost
	}
	return n
}

// closed reports whether writers have to stop. Level 0 may have as many tables as stop them anyway, and no room to compact it.
func (b *bound) closed(v *lsm.View) bool {
	return b.over(v) > 0 || len(v.Version.Levels[0]) >= b.tables
}

// admits reports whether there is room for a write.
func (b *bound) admits(c claim) bool {
	switch v := b.live.View(); c {
	case claimRoom:
		return !b.closed(v)
	case claimReserve:
		return b.over(v) <= b.reserve
	}
	return true
}

// checkSize refuses a write that is too large whatever is freed.
func (b *bound) checkSize(e *wal.Entry) error {
	if n := int64(len(e.Key) + len(e.Value)); n > b.largest {
		return fmt.Errorf("%w: a write of %d bytes, with MaxDisk %d the limit is %d", ErrNoSpace, n, b.max, b.largest)
	}
	return nil
}

// wrote takes note of a write, in its turn.
func (b *bound) wrote() {
	over := b.over(b.live.View())
	switch {
	case over <= 0:
	case b.stopped():
		b.changed() // it may have deleted something
	default:
		b.update()
	}
	if ask := b.askAbove.Load(); over > ask && b.askAbove.CompareAndSwap(ask, over+b.largest/2) {
		b.request()
	}
}

// changed notes that a verdict may be wrong now. It may be called under any lock.
func (b *bound) changed() {
	b.changes.Add(1)
	if b.stopped() {
		b.request()
	}
}

// refusal returns why a writer is refused. It is nil as long as that is not sure: then a look is under way, asked for, or will
// be in a while.
func (b *bound) refusal() error {
	r := b.verdict.Load()
	if r != nil && r.holds(b) {
		if r.err != nil {
			b.refused.Add(1)
		}
		return r.err
	}
	b.request()
	return nil
}

// freeNow looks in the writer that needs room, for a database without background goroutines.
func (b *bound) freeNow(c claim) error {
	if b.admits(c) {
		return nil
	}
	if err := b.refusal(); err != nil {
		return err
	}
	b.look()
	if b.admits(c) {
		return nil
	}
	if r := b.verdict.Load(); r != nil {
		b.refused.Add(1)
		return r.err
	}
	return b.closing()
}

// room returns how many bytes are neither used nor promised.
func (b *bound) room() int64 {
	all, _ := b.disk.Bytes()
	return b.max - all - memory(b.live.View())
}

// compactions returns what a compaction has to know. It leaves writers as much as it can beside the headroom.
func (b *bound) compactions() *compaction.Bound {
	if b == nil {
		return nil
	}
	room := b.room()
	return &compaction.Bound{Room: min(room, max(room-b.headroom, b.headroom)), Table: b.headroom * 3 / 8,
		Target: b.target}
}

// begin notes that a compaction begins. It returns where its outputs go.
func (b *bound) begin(p *compaction.Plan, out compaction.Output) compaction.Output {
	b.running.Store(p.Need(&compaction.Bound{Target: b.target}))
	out.FS = vfs.Metered(out.FS, func(n int64) error {
		b.written.Add(n)
		return nil
	})
	return out
}

// end notes that the compaction has ended.
func (b *bound) end() {
	b.written.Store(0)
	b.running.Store(0)
	b.update()
}
