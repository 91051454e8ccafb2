package ebb

import (
	"context"
	"runtime"
	"sync"
	"time"

	"github.com/ebbdb/ebb/internal/gap"
	"github.com/ebbdb/ebb/internal/invariant"
	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/lsm"
	"github.com/ebbdb/ebb/internal/manifest"
	"github.com/ebbdb/ebb/internal/occ"
	"github.com/ebbdb/ebb/internal/op"
	"github.com/ebbdb/ebb/memtable"
	"github.com/ebbdb/ebb/ttl"
	"github.com/ebbdb/ebb/wal"
)

// pipeline is the way of every write into the log and the memtable.
//
// The commit lock, mu, makes the order of writes in the log that in the memtable. Code gets at what it guards through a turn,
// and only begin and lock return one.
//
// Reads see a prefix of the log, up to live.Visible. While the database is open only the pipeline lets them see more: see show.
type pipeline struct {
	log          *wal.Log // nil in a read-only database
	clock        *ttl.Clock
	policy       SyncPolicy
	memtableSize int64
	live         *lsm.Set
	health       *health
	stall        *stall
	flusher      *worker
	sweeps       requests      // the first deadline in a memtable
	settles      requests      // the first write since the settler rested
	observer     writeObserver // nil: there is none

	precedences chan struct{} // holds an element while an Update has precedence, or is about to
	marks       clockMarks    // guarded by mu
	trail       trail         // guarded by mu, but for Want and Unwant of last

	mu struct {
		sync.Mutex
		mem       *lsm.Mem // the active memtable, that of the newest view
		lastSeq   uint64
		writers   writers
		ahead     chan struct{} // closed when the Update that has precedence gives it up; nil: none has it
		now       int64         // by which the write under way tells what has expired, Unix ms; 0: the clock was not read
		sweeping  bool          // the sweeper knows that mem has deadlines
		settling  bool          // the settler does not rest
		entries   [1]wal.Entry  // scratch
		number    [20]byte      // scratch: room for a number in decimal digits
		userBytes int64         // of the keys and values of puts, since Open
		turns     uint64        // turns that have begun or ended; counted with invariants only
	}
}

// writeObserver sees every write, in a turn.
type writeObserver interface {
	// before is called before a write is made, and may append to the log itself. An error prevents the write.
	before(t turn, e *wal.Entry) error
	// applied is called when an entry of the log is in the memtable.
	applied(t turn, e *wal.Entry)
	// dropNow returns the time up to which what has expired may be dropped, at most now.
	dropNow(now int64) int64
}

// start makes the pipeline ready for writes that follow what the log has, of which reads see all.
func (p *pipeline) start(log *wal.Log, clock *ttl.Clock, w writers) {
	p.log, p.clock, p.marks.log, p.marks.clock = log, clock, log, clock
	t := p.lock()
	defer t.end()
	v := p.live.View()
	p.mu.mem, p.mu.lastSeq, p.mu.writers, p.trail.gaps = v.Mem, log.NextSeq()-1, w, v.Gaps
	p.marks.wanted = v.HasDeadlines()
}

// begin returns a turn to make a write. It waits while writers are held up for the background, and while an Update has
// precedence.
func (p *pipeline) begin() (turn, error) { return p.beginAhead(nil) }

// beginAhead is begin for an Update that may have precedence: own is what mu.ahead is then.
func (p *pipeline) beginAhead(own chan struct{}) (turn, error) {
	if p.stall.pressure.Load() != 0 {
		if err := p.stall.throttle(); err != nil {
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
	return t, nil
}

// lock returns a turn without looking whether writes are taken. It is for what makes no write of a user.
func (p *pipeline) lock() turn {
	p.mu.Lock()
	p.mu.now = 0
	if !invariant.On {
		return turn{p: p}
	}
	p.mu.turns++
	return turn{p, p.mu.turns}
}

// showSynced syncs the log up to a position and lets reads see everything up to a sequence, whose write ends there or before.
func (p *pipeline) showSynced(seq uint64, end wal.Position) error {
	if err := p.log.SyncTo(end); err != nil {
		return closedLog(err)
	}
	p.show(seq)
	return nil
}

// show lets reads see everything up to a sequence. The callers hold two things, so that what a read sees is whole, and can be
// relied on as much as by its writer:
//
//   - All writes up to seq are in the memtables: the caller has had a turn since, or has it.
//   - The log is on the disk up to there, unless the writer of seq, or the policy, asks for less. Then writes before seq that
//     still wait for the disk are seen too.
//
// It does not matter who comes first: what reads see only grows.
func (p *pipeline) show(seq uint64) {
	p.live.Show(seq)
}

// await returns when reads see everything up to a sequence, whose write ends at a position in the log or before. The writer is
// about to show it, or waits for the disk: then await waits with it, and shows it as the writer would. Since then somebody else
// has had a turn: the write is in the memtable.
func (p *pipeline) await(seq uint64, end wal.Position) error {
	const patience = 100 // a writer needs less than a microsecond from the log to the end
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

// waitForTurn returns when the turn that somebody may have has ended.
func (p *pipeline) waitForTurn() { p.lock().end() }

// dropNow returns the time by which entries have expired for good, so that flushes and compactions may drop them.
//
// Load the view before: of what comes into a view later less may have been reported.
func (p *pipeline) dropNow() int64 {
	now := p.clock.Now()
	if p.observer == nil {
		return now
	}
	return p.observer.dropNow(now)
}

// tickClock makes a mark of the clock if it is time to, and returns how long to wait for the next; 0: until something has a
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

// applyEntry takes an entry of the log into a memtable, and what it says of a writer into w. r, if not nil, notes its
// operations.
func applyEntry(e *wal.Entry, m *lsm.Mem, w *writers, r *trail, clock *ttl.Clock) error {
	var ops op.Ops
	if err := ops.Decode(e); err != nil {
		return err
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

// trail is what is kept of the newest operations beside the memtable: for transactions that have scanned, and for scans over
// what is dead.
type trail struct {
	last  occ.LastWrites
	gaps  *gap.Set          // those of the view
	scout memtable.Iterator // of offerRange
}

// note notes an operation that m has taken. No read sees it yet: so a put is cut out of the gaps before a scan can pass it.
func (r *trail) note(m *lsm.Mem, o *op.Op) {
	r.last.Note(o.Seq, o.Key, o.End)
	switch o.Kind {
	case op.Put:
		r.gaps.Cut(o.Key)
	case op.DeleteRange:
		r.offerRange(m, o)
	}
}

// offerRange makes a gap of what a range delete covers, if m has many entries there. A scan passes what is in other sources
// with a seek (see cursor.advance), but cannot tell what of m is older than the delete.
func (r *trail) offerRange(m *lsm.Mem, o *op.Op) {
	worth := r.gaps.Worth()
	if m.Len() < worth {
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

// clockMarks notes in the log how far time has come. Open lets time run on from the last mark, so that a clock which is set
// back across a crash brings back nothing that had expired before it.
//
// While anything has a deadline, a mark is never more than clockEvery old when a write is made: the write makes a new one
// first. While nothing is written a timer makes them.
type clockMarks struct {
	log   *wal.Log
	clock *ttl.Clock
	wake  requests // wanted is new

	// Guarded by the commit lock, which the callers of the methods but loop hold.
	last    int64 // the time that was marked last; 0: none since Open
	wanted  bool  // something has a deadline, or had at the last tick
	entries [1]wal.Entry
}

// want says that something has a deadline.
func (m *clockMarks) want() {
	if !m.wanted {
		m.wanted = true
		m.wake.request()
	}
}

// before makes a mark before a write, if it is time to. If that fails the write is not to be made: the log would refuse it
// too.
func (m *clockMarks) before() error {
	if !m.wanted {
		return nil
	}
	if now := m.clock.Now(); now-m.last >= clockEvery {
		return m.mark(now)
	}
	return nil
}

// mark makes a mark.
func (m *clockMarks) mark(now int64) error {
	m.entries[0] = wal.Entry{Kind: wal.KindClock, Time: now}
	if _, err := m.log.Write(m.entries[:]); err != nil {
		return err
	}
	m.last = now
	return nil
}

// tick makes a mark if it is time to, and returns how long to wait for the next; 0: until something has a deadline.
func (m *clockMarks) tick() time.Duration {
	if !m.wanted {
		return 0
	}
	if err := m.before(); err != nil {
		return clockEvery * time.Millisecond // the log has told an event
	}
	return max(ttl.Remaining(m.last+clockEvery, m.clock.Now()), time.Millisecond)
}

// loop makes the marks that no write makes, by calls of tick, until ctx is done.
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
