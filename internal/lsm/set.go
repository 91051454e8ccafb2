package lsm

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ebbdb/ebb/compaction"
	"github.com/ebbdb/ebb/internal/dir"
	"github.com/ebbdb/ebb/internal/epoch"
	"github.com/ebbdb/ebb/internal/gap"
	"github.com/ebbdb/ebb/internal/invariant"
	"github.com/ebbdb/ebb/internal/manifest"
	"github.com/ebbdb/ebb/internal/table"
	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/wal"
)

// Config holds what a Set takes from its database. All fields but Cache are needed.
type Config struct {
	FS       vfs.FS
	Dir      dir.Dir // of the database, absolute
	ReadOnly bool    // tables are neither made nor removed; Commit is not called

	MemtableSize int64           // the size of a full memtable, in bytes
	Bounded      bool            // the directory has a bound: there are no runs, see compaction.Config.Bound
	TableSize    int64           // at which a compaction begins the next table
	BuildMemory  int64           // of the keys of a table that is built
	Compression  wal.Compression // of the last level
	Cache        *table.Cache    // of blocks; may be nil
	GapMemory    int64           // for the known gaps, in bytes
	SortedMemory int64           // for a sorted view of tables, in bytes; while one is built there are two
	WorthGap     int             // so many dead entries in a row make a gap

	Closed  *atomic.Bool        // reads are refused
	Failure func() error        // the reason why nothing may be committed any more, or nil
	Fail    func(error) error   // nothing may be committed from now on; returns what Failure will
	Report  func(string, error) // a task of the background has failed, and nobody waits for it
	Workers *sync.WaitGroup     // counts background goroutines and checkpoints, all of which end before Close
	Changed func(v *View)       // the tables have changed; called without locks
	Compact func()              // reads may have paid for a compaction; called by readers, returns at once
	Sort    func()              // scans have paid for a sorted view; called by readers, returns at once
	Clock   func() int64        // how far time has come, for the manifest: Unix ms
	Anchor  func() wal.Anchor   // how far the log has come, for the manifest
	Now     func() time.Time    // monotonic, to tell how long a replaced version has been held
}

// Set holds the live memtables and tables of a database. Init readies a Set, which must not be copied. Its methods may be
// called from any goroutine, unless a method says otherwise.
type Set struct {
	config   Config
	database [16]byte // the id that all files carry; set with the first published view
	rent     Rent
	epoch    epoch.Epoch
	view     atomic.Pointer[View]
	visible  atomic.Uint64 // operations up to this sequence are visible
	recent   recent        // for whoever freezes
	releases releases

	storing sync.Mutex     // held, over I/O, to store a manifest and to replace the version: one Commit at a time
	closing sync.WaitGroup // tables that are closed outside of locks
	mu      struct {       // held for memory alone, in storing or by itself
		sync.Mutex
		// +checklocks:Mutex
		state manifest.State // as last committed; its Tables are those of the view
		// +checklocks:Mutex
		refs map[*compaction.Table]int
		// +checklocks:Mutex
		linking int // checkpoints under way: while there are any, an open table keeps its name
	}
	replace struct { // its lock is held to replace view
		sync.Mutex
		// +checklocks:Mutex
		replaced replaced
	}
}

// Init readies a set that has no view yet: Loader.Publish gives it one. Until then only NewLoader and Close may be called.
func (s *Set) Init(c Config) {
	s.config = c
	s.rent.memtableSize, s.rent.request, s.rent.sort, s.rent.levels = c.MemtableSize, c.Compact, c.Sort, c.Bounded
	s.rent.budget.Store(math.MaxInt64 / 4) // what is there was not rewritten in this life
	s.releases.ended.L = &s.releases.mu
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.refs = make(map[*compaction.Table]int)
}

// View returns the newest view. Whoever reads its tables has to call Enter before, or to pin the view.
func (s *Set) View() *View { return s.view.Load() }

// Visible returns the sequence up to which operations are visible. In a read-only database each view has a sequence of its
// own.
func (s *Set) Visible() uint64 { return s.visible.Load() }

// Show makes all operations up to a sequence visible, unless they are already.
func (s *Set) Show(seq uint64) {
	for {
		old := s.visible.Load()
		if old >= seq || s.visible.CompareAndSwap(old, seq) {
			return
		}
	}
}

// Ticket is a read that has begun.
type Ticket = epoch.Ticket

// Enter begins a read of a view that the caller has pinned, or that it loads after Enter. ok is false once the database is
// closed; otherwise Exit has to end the read, soon: Close and whoever lets go of tables wait for it. The shard may be any
// number; it spreads the load.
func (s *Set) Enter(shard uint32) (t Ticket, ok bool) {
	t = s.epoch.Enter(shard)
	if s.config.Closed.Load() {
		s.epoch.Exit(t)
		return 0, false
	}
	return t, true
}

// EnterNewest is Enter for a read of the newest view, as of the visible sequence.
//
// The view is loaded first and the sequence after: then every entry in the view's tables is visible. The other way round a
// flush could come between, and a table has only the newest version of each key, which may be newer than the sequence.
func (s *Set) EnterNewest(shard uint32) (t Ticket, v *View, seq uint64, ok bool) {
	t = s.epoch.Enter(shard)
	if s.config.Closed.Load() {
		s.epoch.Exit(t)
		return 0, nil, 0, false
	}
	v = s.view.Load()
	return t, v, s.seqIn(v), true
}

// Closed reports whether the database is closed: nobody enters any more.
func (s *Set) Closed() bool { return s.config.Closed.Load() }

// Exit ends a read.
func (s *Set) Exit(t Ticket) { s.epoch.Exit(t) }

// Wait returns when all reads have ended that began before the call.
func (s *Set) Wait() { s.epoch.Wait() }

// Probe is for tests: see epoch.Probe.
func (s *Set) Probe() epoch.Probe { return s.epoch.Probe() }

// seqIn returns the sequence up to which operations are visible to reads of a view. In a read-only database a view's
// sequence never changes: it is the last one of the view's log.
func (s *Set) seqIn(v *View) uint64 {
	if v.Log != nil {
		return v.Log.NextSeq - 1
	}
	return s.visible.Load()
}

// Pin returns a view, whose tables stay open until Unpin, and a sequence as of which the view is complete: no operation up
// to the sequence is missing, and the tables hold none after it. ok is false once the database is closed.
func (s *Set) Pin() (v *View, seq uint64, ok bool) {
	t, ok := s.Enter(0)
	if !ok {
		return nil, 0, false
	}
	defer s.epoch.Exit(t)
	for !s.config.Closed.Load() {
		v := s.view.Load()
		if seq, ok := s.WholeAt(v); ok {
			v.Version.pin()
			return v, seq, true
		}
	}
	return nil, 0, false
}

// WholeAt returns a sequence as of which a view is complete. ok is false if the view has been replaced since the caller has
// loaded it: then the sequence may count operations that only a newer memtable has.
func (s *Set) WholeAt(v *View) (seq uint64, ok bool) {
	seq = s.seqIn(v)
	if s.view.Load() != v {
		return 0, false
	}
	return max(seq, v.Version.LastSeq), true // the tables of an Ingest are in the view before they are visible
}

// Unpin gives a pinned view back. No read by this pin is under way.
func (s *Set) Unpin(v *View) { s.unref(v.Version) }

// UnpinShared is Unpin for a pin by which reads may be under way, each between Enter and Exit. If the version is still live,
// Commit or Publish will wait for these reads before the tables are closed; if not, UnpinShared waits, as the tables may go
// with this pin.
func (s *Set) UnpinShared(v *View) {
	if s.view.Load().Version != v.Version {
		s.epoch.Wait()
	}
	s.unref(v.Version)
}

// Freeze makes next the active memtable. The one before becomes frozen, to be flushed: lastSeq is the sequence of its newest
// entry, and logEnd the position in the log behind its entries. One goroutine at a time calls Freeze. Freeze makes nothing
// visible.
func (s *Set) Freeze(next *Mem, lastSeq uint64, logEnd wal.Position) {
	old := s.view.Load().Mem
	old.LastSeq, old.LogEnd = lastSeq, logEnd
	s.recent.push(old, next)
	s.setView(func(v *View, _ *replaced) {
		v.Frozen = append([]*Mem{old}, v.Frozen...)
		v.Mem = next
	})
}

// setView replaces the view by a changed copy, and notes the memtables that leave it. change notes the version it replaces.
func (s *Set) setView(change func(*View, *replaced)) {
	s.replace.Lock()
	defer s.replace.Unlock()
	old := s.view.Load()
	v := *old
	change(&v, &s.replace.replaced)
	s.replace.replaced.memtables.add(old, &v)
	if invariant.On {
		v.check()
	}
	s.view.Store(&v)
}

// appliedSeq returns the sequence of the newest put that has been applied, or a later one. The active memtable counts a put
// before the put is cut out of the gaps, a frozen memtable has its last sequence, and the entries of a flushed one have
// become visible before it left the view.
func (s *Set) appliedSeq() uint64 {
	v := s.view.Load()
	seq := max(s.visible.Load(), v.Mem.Stats().MaxSeq)
	for _, m := range v.Frozen {
		seq = max(seq, m.LastSeq)
	}
	return seq
}

// newGaps returns an empty set of gaps. applied returns the sequence up to which operations have been applied to the view.
func (s *Set) newGaps(applied func() uint64) *gap.Set {
	return gap.NewSet(s.config.GapMemory, s.config.WorthGap, applied)
}

// Rent returns the rent that reads pay into.
func (s *Set) Rent() *Rent { return &s.rent }

// Manifest returns the manifest as it was last committed. Its lists are not the caller's to change.
func (s *Set) Manifest() manifest.State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.state
}
