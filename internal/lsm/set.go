package lsm

import (
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

// Config is what a Set needs of its database. All fields are needed, but for Cache and those that are named so.
type Config struct {
	FS       vfs.FS
	Dir      dir.Dir // of the database, absolute
	ReadOnly bool    // tables are neither made nor removed; Commit is not called

	MemtableSize int64           // the size of a full memtable, in bytes
	TableSize    int64           // at which a compaction begins the next table
	BuildMemory  int64           // of the keys of a table that is built
	Compression  wal.Compression // of the last level
	Cache        *table.Cache    // of blocks; may be nil
	GapMemory    int64           // of what is known of gaps, in bytes
	WorthGap     int             // so many dead entries in a row make a gap

	Closed  *atomic.Bool        // reads are refused
	Failure func() error        // why nothing may be committed any more, or nil
	Fail    func(error) error   // nothing may be committed from now on; returns what Failure will
	Report  func(string, error) // a task of the background has failed, and nobody waits for it
	Workers *sync.WaitGroup     // counts what runs in the background and checkpoints: ended before Close
	Changed func(v *View)       // the tables have changed; called without locks
	Compact func()              // reads may have paid for a compaction; called by readers, returns at once
	Clock   func() int64        // how far time has come, for the manifest: Unix ms
	Anchor  func() wal.Anchor   // how far the log has come, for the manifest
	Now     func() time.Time    // monotonic, to say for how long something is held
}

// Set is what of a database is live. Init readies one; it must not be copied. Its methods may be called from any goroutine, but
// where it says otherwise.
type Set struct {
	config   Config
	database [16]byte // the id that all files carry; of the first view that was published
	rent     Rent
	epoch    epoch.Epoch
	view     atomic.Pointer[View]
	visible  atomic.Uint64 // reads see operations up to this sequence
	recent   recent        // for whoever freezes

	mu struct {
		sync.Mutex
		// +checklocks:Mutex
		state manifest.State // as last committed; its Tables are those of the view
		// +checklocks:Mutex
		refs map[*compaction.Table]int
		// +checklocks:Mutex
		linking int // checkpoints under way: while there are any, a table keeps its name as long as it is open
	}
	replace struct { // held to replace view
		sync.Mutex
		// +checklocks:Mutex
		replaced replaced
	}
}

// Init readies a set that has no view yet: Loader.Publish gives it one. Until then only NewLoader and Close may be called.
func (s *Set) Init(c Config) {
	s.config = c
	s.rent.memtableSize, s.rent.request = c.MemtableSize, c.Compact
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.refs = make(map[*compaction.Table]int)
}

// View returns the newest view. Whoever reads its tables has to enter before, or to pin it.
func (s *Set) View() *View { return s.view.Load() }

// Visible returns the sequence up to which reads see. In a read-only database each view has its own.
func (s *Set) Visible() uint64 { return s.visible.Load() }

// Show lets reads see everything up to a sequence, if they do not yet.
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

// Enter begins a read of what the caller has pinned, or of a view that it loads after. It is false once the database is closed;
// otherwise Exit has to end it, soon: Close and whoever lets go of tables wait for it. The shard may be any number; it spreads
// the load.
func (s *Set) Enter(shard uint32) (t Ticket, ok bool) {
	t = s.epoch.Enter(shard)
	if s.config.Closed.Load() {
		s.epoch.Exit(t)
		return 0, false
	}
	return t, true
}

// EnterNewest is Enter for a read of the newest view, as of the sequence up to which reads see.
//
// The view is loaded first and the sequence after: then everything in the view's tables can be seen. The other way round a
// flush could come between, and a table has of each key the newest version only.
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

// seqIn returns the sequence up to which reads of a view see. That of a read-only database never changes, and says itself.
func (s *Set) seqIn(v *View) uint64 {
	if v.Log != nil {
		return v.Log.NextSeq - 1
	}
	return s.visible.Load()
}

// Pin returns a view, whose tables stay open until Unpin, and a sequence as of which it is whole: no operation up to it is
// missing, and the tables hold none after it. It is false once the database is closed.
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

// WholeAt returns a sequence as of which a view is whole. It is false if the view has been replaced since the caller has loaded
// it: then the sequence may count what only a newer memtable has.
func (s *Set) WholeAt(v *View) (seq uint64, ok bool) {
	seq = s.seqIn(v)
	if s.view.Load() != v {
		return 0, false
	}
	return max(seq, v.Version.LastSeq), true // of an Ingest the tables are in the view first
}

// Unpin gives a pinned view back. Nobody reads it by this reference any more.
func (s *Set) Unpin(v *View) { s.unref(v.Version) }

// UnpinShared is Unpin for a reference by which others may be reading, each between Enter and Exit. If the version is still
// live, whoever replaces it waits for them; otherwise UnpinShared does, as the tables may go with this reference.
func (s *Set) UnpinShared(v *View) {
	if s.view.Load().Version != v.Version {
		s.epoch.Wait()
	}
	s.unref(v.Version)
}

// Freeze makes next the active memtable. The one that was waits to be flushed: lastSeq is that of its newest entry, and logEnd
// is behind its entries in the log. One goroutine at a time calls it; reads see nothing of either that they do not see yet.
func (s *Set) Freeze(next *Mem, lastSeq uint64, logEnd wal.Position) {
	old := s.view.Load().Mem
	old.LastSeq, old.LogEnd = lastSeq, logEnd
	s.recent.push(old, next)
	s.setView(func(v *View, _ *replaced) {
		v.Frozen = append([]*Mem{old}, v.Frozen...)
		v.Mem = next
	})
}

// setView replaces parts of the view, and notes what is replaced besides memtables.
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

// appliedSeq returns the sequence of the newest put that has been applied, or one after it. The memtable tells of a put
// before it is cut out of the gaps, a frozen one where it ends, and what was in one before that is shown before it leaves
// the view.
func (s *Set) appliedSeq() uint64 {
	v := s.view.Load()
	seq := max(s.visible.Load(), v.Mem.Stats().MaxSeq)
	for _, m := range v.Frozen {
		seq = max(seq, m.LastSeq)
	}
	return seq
}

// newGaps returns an empty set of gaps, for views that hold what was applied up to a sequence.
func (s *Set) newGaps(applied func() uint64) *gap.Set {
	return gap.NewSet(s.config.GapMemory, s.config.WorthGap, applied)
}

// Rent returns what reads have paid.
func (s *Set) Rent() *Rent { return &s.rent }

// Manifest returns the manifest as it was last committed. Its lists are not the caller's to change.
func (s *Set) Manifest() manifest.State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.state
}
