package ebb

import (
	"github.com/ebbdb/ebb/internal/invariant"
	"github.com/ebbdb/ebb/internal/lsm"
	"github.com/ebbdb/ebb/internal/occ"
	"github.com/ebbdb/ebb/wal"
)

// turn is the right to write: its holder has the commit lock. A turn ends with write, put, leave, refuse or end, and is not
// used after that.
type turn struct {
	p      *pipeline
	number uint64 // value of mu.turns at its begin; set with invariants only
}

// end ends a turn in which nothing was written, or only entries that its caller does not wait for.
func (t turn) end() {
	if invariant.On {
		t.check()
		t.p.mu.turns++
	}
	t.p.mu.Unlock()
}

// mem returns the active memtable.
func (t turn) mem() *lsm.Mem {
	if invariant.On {
		t.check()
	}
	return t.p.mu.mem
}

// lastSeq returns the sequence of the newest write.
func (t turn) lastSeq() uint64 {
	if invariant.On {
		t.check()
	}
	return t.p.mu.lastSeq
}

// check checks that the turn has not ended.
func (t turn) check() { invariant.Check(t.number == t.p.mu.turns, "a turn is used after its end") }

// now returns the time of the turn's write: entries expire by it. The clock is read once in a turn.
func (t turn) now() int64 {
	if t.p.mu.now == 0 {
		t.p.mu.now = t.p.clock.Now()
	}
	return t.p.mu.now
}

// lastKey returns the last key that memtables or tables hold anything of, present or not; nil if they are empty. The caller
// must not change it.
func (t turn) lastKey() []byte {
	if invariant.On {
		t.check()
	}
	return t.p.live.View().LastKey()
}

// writers returns the writers that the database remembers.
func (t turn) writers() *writers { return &t.p.mu.writers }

// scratch returns an empty slice with room for a number in decimal digits. It is valid in the turn only.
func (t turn) scratch() []byte { return t.p.mu.number[:0] }

// userBytes returns the size of all keys and values that were put since Open.
func (t turn) userBytes() int64 { return t.p.mu.userBytes }

// lastWrites returns the newest operations.
func (t turn) lastWrites() *occ.LastWrites { return &t.p.trail.last }

// ahead returns the channel that is closed when the Update that has precedence gives it up; nil if none has it.
func (t turn) ahead() chan struct{} { return t.p.mu.ahead }

// letAhead makes other writes wait until c is closed. With a nil c later writes do not wait.
func (t turn) letAhead(c chan struct{}) { t.p.mu.ahead = c }

// logEnd returns the position behind the newest entry of the log.
func (t turn) logEnd() wal.Position { return t.p.log.End() }

// put writes a put, or a delete if the deadline of w has passed, and ends the turn.
func (t turn) put(key, value []byte, w *params) error {
	e := wal.Entry{Key: key, Value: value, Deadline: w.deadline}
	if w.past {
		e = wal.Entry{Kind: wal.KindDelete, Key: key}
	}
	return t.write(e, w)
}

// write makes a write and ends the turn.
//
//  1. The log takes the entry and gives its operations their sequences. From here the write survives the process.
//  2. The memtable takes the operations under these sequences. Reads do not see them yet.
//  3. The turn ends: the next write begins.
//  4. If the write is to be durable when it returns, the log is synced up to the entry. One sync serves all who wait.
//  5. The write, and all before it, become visible: see show.
//
// A crash before 1 loses the write, of which nobody was told. After 1 the next Open replays the part of the log that is on
// the disk: the write may be lost or not. After 4 the write is durable.
//
// Without 4, step 5 comes before 3.
func (t turn) write(e wal.Entry, w *params) error {
	p := t.p
	p.mu.entries[0] = e
	err := t.before(&p.mu.entries[0])
	var end wal.Position
	if err == nil {
		end, err = t.append(p.mu.entries[:])
	}
	p.mu.entries[0] = wal.Entry{} // the caller's slices are not ours to keep
	if err != nil {
		t.end()
		return err
	}
	seq := p.mu.lastSeq
	if !w.sync {
		p.show(seq)
	}
	t.wakeBackground()
	t.freezeIfFull()
	if invariant.On {
		t.checkWritten()
	}
	t.end()
	if w.sync {
		if err := p.showSynced(seq, end); err != nil {
			return err
		}
	}
	if w.versionTo != nil {
		*w.versionTo = seq
	}
	if w.foundTo != nil {
		*w.foundTo = w.found
	}
	if w.untilTo != nil {
		*w.untilTo = w.left()
	}
	return nil
}

// before writes the log entries that have to come before a write: a mark of the clock, and those of the observer.
func (t turn) before(e *wal.Entry) error {
	if invariant.On {
		t.check()
	}
	if b := t.p.bound; b != nil {
		if err := b.checkSize(e); err != nil {
			return err
		}
	}
	if err := t.p.marks.before(); err != nil {
		return err
	}
	if t.p.observer == nil {
		return nil
	}
	return t.p.observer.before(t, e)
}

// append takes steps 1 and 2 of write for one entry. It returns the position behind the entry in the log.
//
// Step 2 cannot fail for an entry that was checked before. If it does, log and memtable differ, and the database takes no
// more writes.
func (t turn) append(entries []wal.Entry) (end wal.Position, err error) {
	p, e := t.p, &entries[0]
	if end, err = p.log.Write(entries); err != nil {
		return end, err
	}
	m, before := p.mu.mem, p.mu.mem.PutBytes()
	if err := applyEntry(e, m, &p.mu.writers, &p.trail, p.clock); err != nil {
		return end, p.health.fail(err)
	}
	p.mu.userBytes += m.PutBytes() - before
	if p.observer != nil {
		p.observer.applied(t, e)
	}
	p.mu.lastSeq = e.LastSeq()
	if p.bound != nil {
		p.bound.wrote()
	}
	return end, nil
}

// wakeBackground wakes the sweeper and the clock marks for the first deadline in a memtable, and the settler for the first
// write since it rested.
func (t turn) wakeBackground() {
	c := &t.p.mu
	if !c.sweeping && c.mem.Deadlines.Entries() > 0 {
		c.sweeping = true
		t.p.sweeps.request()
		t.p.marks.want()
	}
	if !c.settling {
		c.settling = true
		t.p.settles.request()
	}
}

// restSettler notes whether the settler rests until the next write.
func (t turn) restSettler(rest bool) { t.p.mu.settling = !rest }

// leave ends a turn without a write. The caller's answer ("condition failed", "not found") may rest on a write that is not
// durable and not visible yet. If w asks for durability, the caller relies on the answer as on a write of its own: so leave
// waits for the disk as write does. Otherwise leave makes that write visible, unless the log has failed.
func (t turn) leave(w *params) error {
	if invariant.On {
		t.check()
	}
	p := t.p
	seq := p.mu.lastSeq
	if w.sync {
		end := p.log.End()
		t.end()
		return p.showSynced(seq, end)
	}
	defer t.end()
	if p.live.Visible() >= seq {
		return nil
	}
	if err := p.log.Err(); err != nil {
		return closedLog(err)
	}
	p.show(seq)
	return nil
}

// refuse is leave for a write that is refused with err. It returns err, or the error of leave: then err is not to be relied
// on.
func (t turn) refuse(err error, w *params) error {
	if syncErr := t.leave(w); syncErr != nil {
		return syncErr
	}
	return err
}

// freezeIfFull replaces a full memtable, unless too many wait for their flush already.
func (t turn) freezeIfFull() {
	p := t.p
	if p.mu.mem.Size() < p.memtableSize {
		return
	}
	if p.live.View().Full(p.memtableSize) {
		p.stall.update()
		return
	}
	// The write that filled the memtable is done, even if freeze fails. The next write reports a full disk or a failed log,
	// and the log has emitted an event.
	_ = t.freeze()
}

// freeze begins a new memtable and a new log segment, and hands the old memtable to the flusher. It waits for no disk:
// writes in the old memtable that wait to be synced stay invisible until a writer syncs the log, or the flush does.
func (t turn) freeze() error {
	if invariant.On {
		t.check()
	}
	p := t.p
	if err := p.log.Rotate(); err != nil {
		return err
	}
	end := p.log.End()
	next := lsm.NewMem(p.mu.mem.Hint(), end.Segment, p.clock.Now())
	p.live.Freeze(next, p.mu.lastSeq, end)
	p.mu.mem, p.mu.sweeping = next, false
	p.stall.update()
	p.flusher.request()
	return nil
}

// skipTo makes the log go on after a sequence, in a segment whose header is durable. It returns the memtable for later
// writes. The active memtable must be empty.
func (t turn) skipTo(seq uint64) (*lsm.Mem, error) {
	p := t.p
	if err := p.log.SkipTo(seq + 1); err != nil {
		return nil, err
	}
	if err := p.log.SyncTo(p.log.End()); err != nil {
		return nil, err
	}
	return lsm.NewMem(p.mu.mem.Hint(), p.log.End().Segment, p.clock.Now()), nil
}

// resume makes writes go on after seq, the sequence of an Ingest. m is the memtable of skipTo, which the view has as its
// active one by now.
func (t turn) resume(seq uint64, m *lsm.Mem) {
	p := t.p
	p.mu.mem, p.mu.sweeping, p.mu.lastSeq, p.trail.gaps = m, false, seq, p.live.View().Gaps
	p.trail.known.Forget(seq)
	p.marks.want()
	p.show(seq)
}

// checkWritten checks that the sequences of the log, of the active memtable and of reads fit together.
func (t turn) checkWritten() {
	t.check()
	p, c := t.p, &t.p.mu
	next := p.log.NextSeq()
	invariant.Check(next == c.lastSeq+1, "the log goes on with %d, the last write is %d", next, c.lastSeq)
	visible, newest := p.live.Visible(), c.mem.Stats().MaxSeq
	invariant.Check(visible <= c.lastSeq, "reads see up to %d, the last write is %d", visible, c.lastSeq)
	invariant.Check(newest <= c.lastSeq, "the memtable has %d, the last write is %d", newest, c.lastSeq)
	invariant.Check(c.mem == p.live.View().Mem, "the active memtable is not that of the view")
}
