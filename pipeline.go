package ebb

import (
	"context"
	"runtime"
	"sync"
	"time"

	"github.com/ebbdb/ebb/internal/gap"
	"github.com/ebbdb/ebb/internal/invariant"
	"github.com/ebbdb/ebb/internal/known"
	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/lsm"
	"github.com/ebbdb/ebb/internal/manifest"
	"github.com/ebbdb/ebb/internal/occ"
	"github.com/ebbdb/ebb/internal/op"
	"github.com/ebbdb/ebb/memtable"
	"github.com/ebbdb/ebb/ttl"
	"github.com/ebbdb/ebb/wal"
)

// pipeline takes every write into the log and the memtable.
//
// The commit lock, mu, makes writes enter the log and the memtable in the same order. Code reaches what mu guards through a
// turn, and only begin and lock return turns.
//
// Reads see a prefix of the log: all writes up to live.Visible. While the database is open only the pipeline makes more
// visible: see show.
type pipeline struct {
	log          *wal.Log // nil in a read-only database
	clock        *ttl.Clock
	policy       SyncPolicy
	memtableSize int64
	live         *lsm.Set
	health       *health
	stall        *stall
	bound        *bound // nil: the directory may grow
	flusher      *worker
	sweeps       requests      // to the sweeper: a memtable has got its first deadline
	settles      requests      // to the settler: a write was made while it rested
	observer     writeObserver // nil: there is none
	dropBefore   func() int64  // of a host, which has no marks of the clock; nil: there is none

	precedences chan struct{} // holds an element while an Update has precedence, or is about to take it
	marks       clockMarks    // guarded by mu
	snapshots   openSnapshots
	trail       trail // guarded by mu, except calls of last.Want and last.Unwant, and known

	mu struct {
		sync.Mutex
		mem       *lsm.Mem // the active memtable, that of the newest view
		lastSeq   uint64
		writers   writers
		ahead     chan struct{} // closed when the Update that has precedence gives it up; nil: none has it
		now       int64         // the time of the write under way, for expiry, Unix ms; 0: the clock was not read yet
		sweeping  bool          // the sweeper was told that mem has deadlines
		settling  bool          // the settler does not rest
		entries   [1]wal.Entry  // scratch
		number    [20]byte      // scratch: room for a number in decimal digits
		userBytes int64         // size of the keys and values put since Open
		turns     uint64        // begins and ends of turns; counted with invariants only
	}
}

// writeObserver sees every write, in the turn of the write.
type writeObserver interface {
	// before is called before a write is made, and may append to the log itself. An error prevents the write.
	before(t turn, e *wal.Entry) error
	// applied is called once an entry of the log is in the memtable.
	applied(t turn, e *wal.Entry)
	// dropNow returns the time by which a version must have expired to be dropped. It is at most now.
	dropNow(now int64) int64
}

// start makes the pipeline ready for writes. They follow the entries that the log has, all of which are visible.
func (p *pipeline) start(log *wal.Log, clock *ttl.Clock, w writers) {
	p.log, p.clock, p.marks.log, p.marks.clock = log, clock, log, clock
	t := p.lock()
	defer t.end()
	v := p.live.View()
	p.mu.mem, p.mu.lastSeq, p.mu.writers, p.trail.gaps = v.Mem, log.NextSeq()-1, w, v.Gaps
	p.mu.writers.past.visible, p.mu.writers.past.snapshots = p.live.Visible, &p.snapshots
	p.marks.off = p.dropBefore != nil
	p.marks.wanted = v.HasDeadlines()
}

// begin returns a turn for a write. It waits while writers are stalled for the background, and while an Update has
// precedence.
func (p *pipeline) begin() (turn, error) { return p.beginAhead(nil, claimRoom) }

// beginFor is begin for a write that claims c of a bounded directory.
func (p *pipeline) beginFor(c claim) (turn, error) { return p.beginAhead(nil, c) }

// beginAhead is beginFor for an Update that may have precedence. While the Update has precedence, mu.ahead is own.
func (p *pipeline) beginAhead(own chan struct{}, c claim) (turn, error) {
	for {
		if p.stall.pressure.Load() != 0 {
			if err := p.stall.throttle(c); err != nil {
				return turn{}, err
			}
		}
		t := p.lock()
		if ahead := p.mu.ahead; ahead != nil && ahead != own {
			t.end()
			<-ahead
			t = p.lock()
		}
		if err := p.health.refusal(); err != nil {
			t.end()
			return turn{}, err
		}
		if p.bound == nil || p.bound.admits(c) {
			return t, nil
		}
		p.stall.update() // of all who have waited for this turn, one has taken the last room
		t.end()
	}
}

// lock returns a turn without asking whether the database takes writes. It is for turns that make no write of a user.
func (p *pipeline) lock() turn {
	p.mu.Lock()
	p.mu.now = 0
	if !invariant.On {
		return turn{p: p}
	}
	p.mu.turns++
	return turn{p, p.mu.turns}
}

// showSynced syncs the log up to a position, then makes everything up to a sequence visible. The write of seq ends at the
// position or before.
func (p *pipeline) showSynced(seq uint64, end wal.Position) error {
	if err := p.log.SyncTo(end); err != nil {
		return closedLog(err)
	}
	p.show(seq)
	return nil
}

// show makes everything up to a sequence visible. Its callers ensure two things, so that what a read sees is complete, and
// as durable as its writer has asked for:
//
//   - All writes up to seq are in the memtables: the caller has had a turn since, or has one.
//   - The log is durable up to seq, unless the writer of seq, or the policy, asks for less. In that case writes before seq
//     that still wait for the disk become visible too.
//
// The order of calls does not matter: the visible sequence only grows.
func (p *pipeline) show(seq uint64) {
	p.live.Show(seq)
}

// await returns when everything up to a sequence is visible. The write of seq ends at a position in the log or before.
//
// The writer of seq is about to show it, or waits for the disk. For a writer that waits, await syncs the log and shows seq
// as the writer would. await has had a turn by then: so all writes up to seq are in the memtables.
func (p *pipeline) await(seq uint64, end wal.Position) error {
	const patience = 100 // a writer that does not sync needs less than a microsecond from the log to show
	for range patience {
		if p.live.Visible() >= seq {
			return nil
		}
		runtime.Gosched()
	}
	p.waitForTurn()
	if p.live.Visible() >= seq {
		return nil
	}
	return p.showSynced(seq, end)
}

// waitForTurn returns when the turn under way, if there is one, has ended.
func (p *pipeline) waitForTurn() { p.lock().end() }

// dropNow returns the time by which an entry must have expired for flushes and compactions to drop it.
//
// Load the view before the call: a newer view may have entries that expired before this time and were not reported.
func (p *pipeline) dropNow() int64 {
	now := p.clock.Now()
	if p.dropBefore != nil {
		now = min(now, p.dropBefore())
	}
	if p.observer == nil {
		return now
	}
	return p.observer.dropNow(now)
}

// tickClock makes a mark of the clock if one is due. It returns how long to wait for the next mark; 0: until something has a
// deadline.
func (p *pipeline) tickClock() time.Duration {
	t := p.lock()
	defer t.end()
	p.marks.wanted = !p.health.closed.Load() && p.live.View().HasDeadlines()
	return p.marks.tick()
}

// markClock makes a mark of the clock now.
func (p *pipeline) markClock() error {
	t := p.lock()
	defer t.end()
	return p.marks.mark(p.clock.Now())
}

// applyEntry applies an entry of the log to a memtable. If the entry is a batch of a writer, w gets the new state of the
// writer. r, if not nil, notes the operations.
func applyEntry(e *wal.Entry, m *lsm.Mem, w *writers, r *trail, clock *ttl.Clock) error {
	var ops op.Ops
	if err := ops.Decode(e); err != nil {
		return err
	}
	if ops.Len() > 1 && !ops.Ranges() { // those look at what is there: see offerRange
		m.BeginBatch(ops.Len())
		defer m.EndBatch()
	}
	for ops.Next() {
		o := &ops.Op
		if err := m.Apply(o); err != nil {
			return err
		}
		if r != nil {
			r.note(m, o)
		}
	}
	if b, ok := ops.Writer(); ok {
		s := writerState{b.Sequence, e.LastSeq(), clock.Now()}
		m.SetWriter(manifest.Writer{ID: b.ID, Sequence: s.sequence, Version: s.version, Used: s.used})
		w.set(b.ID, s)
	}
	return nil
}

// beginLoad marks that a key is loaded from now on, and returns the sequence of the last write before. That write is visible
// when it returns, unless the log has failed: then nothing that is loaded is stored.
func (p *pipeline) beginLoad(key []byte) (known.Mark, uint64) {
	t := p.lock()
	seq := t.lastSeq()
	m := p.trail.known.Begin(key, seq)
	_ = t.leave(&params{})
	return m, seq
}

// unchanged reports whether the key of a load was not written to since it began, and as of which sequence that is so.
func (p *pipeline) unchanged(m known.Mark) (seq uint64, ok bool) {
	t := p.lock()
	defer t.end()
	return t.lastSeq(), p.trail.known.Unchanged(m)
}

// keepAbsent keeps for others that a load has found its key to be nowhere, from now until a time, in Unix ms, unless the key was
// written to since it began.
func (p *pipeline) keepAbsent(m known.Mark, err error, now, until int64) (seq uint64, ok bool) {
	t := p.lock()
	defer t.end()
	seq = t.lastSeq()
	return seq, p.trail.known.Keep(m, seq, err, now, until)
}

// trail keeps what the memtable does not tell of the newest operations: last, for the conflict checks of transactions that
// have scanned, gaps, for scans over dead entries, and known, for loads.
type trail struct {
	last  occ.LastWrites
	gaps  *gap.Set          // the gaps of the view
	known *known.Set        // keys that are being loaded, and those that a load has found to be nowhere
	scout memtable.Iterator // used by offerRange
}

// note notes an operation that m has taken. The operation is not visible yet: so a put is cut out of the gaps before a scan
// can skip it.
func (r *trail) note(m *lsm.Mem, o *op.Op) {
	r.last.Note(o.Seq, o.Key, o.End)
	switch o.Kind {
	case op.Put:
		r.gaps.Cut(o.Key)
		r.known.Touch(o.Key)
	case op.Delete:
		r.known.Touch(o.Key)
	case op.DeleteRange:
		r.offerRange(m, o)
		r.known.TouchRange(o.Key, o.End, o.Seq)
	}
}

// offerRange makes a gap of the range of a range delete, if m has many entries in it. A scan skips the covered entries of
// other sources with a seek (see cursor.advance), but cannot tell which entries of m are older than the delete. Where nobody has
// walked m yet, nothing is sorted for it in a turn: the first scan makes the gap.
func (r *trail) offerRange(m *lsm.Mem, o *op.Op) {
	worth := r.gaps.Worth()
	if m.Len() < worth || !m.InOrder() {
		return
	}
	it := &r.scout
	it.Reset(m.Memtable, o.Seq)
	n := 0
	for ok := it.SeekGE(o.Key); ok && n < worth && kv.Compare(it.Entry().Key, o.End) < 0; ok = it.Next() {
		n++
	}
	it.Close()
	if n == worth {
		r.gaps.Offer(&gap.Run{Start: o.Key, End: o.End, Moment: gap.Moment{Seq: o.Seq}, Dead: gap.RangeDead})
	}
}

// clockEvery is how far time passes, in ms, between marks of the clock.
const clockEvery = 1000

// clockMarks makes marks of the clock: entries of the log that hold the time. Open lets time run on from the last mark. So a
// clock that is set back across a crash brings back nothing that had expired before the mark.
//
// While anything has a deadline, the last mark is never more than clockEvery old when a write is made: the write makes a new
// mark first. While nothing is written a timer makes the marks.
type clockMarks struct {
	log   *wal.Log
	clock *ttl.Clock
	wake  requests // wanted has become true
	off   bool     // time comes from a host: none is made

	// Guarded by the commit lock. The callers of all methods but loop hold it.
	found   int64 // the latest mark that Open or Refresh has found, Unix ms
	last    int64 // the time of the last mark, Unix ms; 0: no mark since Open
	wanted  bool  // something has a deadline, or had at the last tick
	entries [1]wal.Entry
}

// want notes that something has a deadline.
func (m *clockMarks) want() {
	if !m.wanted {
		m.wanted = true
		m.wake.request()
	}
}

// before makes a mark before a write, if one is due. If the mark fails, the write is not to be made: the log would refuse
// the write too.
func (m *clockMarks) before() error {
	if !m.wanted {
		return nil
	}
	if now := m.clock.Now(); now-m.last >= clockEvery {
		return m.mark(now)
	}
	return nil
}

// mark makes a mark of the time now.
func (m *clockMarks) mark(now int64) error {
	if m.off {
		m.last = now
		return nil
	}
	m.entries[0] = wal.Entry{Kind: wal.KindClock, Time: now}
	if _, err := m.log.Write(m.entries[:]); err != nil {
		return err
	}
	m.last = now
	return nil
}

// tick makes a mark if one is due. It returns how long to wait for the next mark; 0: until something has a deadline.
func (m *clockMarks) tick() time.Duration {
	if !m.wanted {
		return 0
	}
	if err := m.before(); err != nil {
		return clockEvery * time.Millisecond // the log has emitted an event
	}
	return max(ttl.Remaining(m.last+clockEvery, m.clock.Now()), time.Millisecond)
}

// loop calls tick for the marks that no write makes, until ctx is done.
func (m *clockMarks) loop(ctx context.Context, tick func() time.Duration) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-m.wake:
		}
		if wait := tick(); wait > 0 {
			timer.Reset(wait)
		} else {
			timer.Stop()
		}
	}
}
