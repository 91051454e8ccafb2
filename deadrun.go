package ebb

import (
	"slices"

	"github.com/ebbdb/ebb/internal/gap"
	"github.com/ebbdb/ebb/internal/kv"
)

// maxRest is how many entries a walk passes at most before it looks again for a known gap.
const maxRest = 64

// deadRun is the stretch without live entries that a cursor has passed since its last live entry, or since the move began:
// absent entries that the cursor has walked over, and gaps that it has jumped over.
type deadRun struct {
	gap.Run      // with slices of its own
	open    bool // false: there is no run
}

// begin makes r the empty run at an edge.
func (r *deadRun) begin(edge []byte, m gap.Moment) {
	r.Start, r.End = append(r.Start[:0], edge...), append(r.End[:0], edge...)
	r.Moment, r.Since, r.Dead, r.Hops, r.open = m, 0, 0, 0, true
}

// edge is where the run goes on: forward at its end, in reverse before its start.
func (r *deadRun) edge(reverse bool) []byte {
	if reverse {
		return r.Start
	}
	return r.End
}

// step adds an entry that is absent.
func (r *deadRun) step(e *kv.Entry, reverse bool) {
	if reverse {
		if r.Dead == 0 && r.Hops == 0 { // a key that is pushed behind all that were popped should not fall into the gap
			r.End = append(append(r.End[:0], e.Key...), 0)
		}
		r.Start = append(r.Start[:0], e.Key...)
	} else {
		r.End = append(append(r.End[:0], e.Key...), 0)
	}
	r.Dead++
	if e.Kind == kv.Put && kv.Expired(e.Deadline, r.Now) {
		r.Since = max(r.Since, e.Deadline)
	}
}

// jump adds the gaps that a jump to the key to has passed.
func (r *deadRun) jump(j gap.Jump, to []byte, reverse bool) {
	if reverse {
		r.Start = append(r.Start[:0], to...)
	} else {
		r.End = append(r.End[:0], to...)
	}
	r.Hops += j.Hops
	r.Since = max(r.Since, j.Since)
}

// rested reports whether it is time to look for a gap: soon after the run has begun, and then less and less often.
func (r *deadRun) rested() bool { return r.Dead&(r.Dead-1) == 0 || r.Dead%maxRest == 0 }

// pass goes over an entry that is absent, and over the gap behind it if one is known.
func (c *cursor) pass(e *kv.Entry) {
	r := &c.dead
	if e.Seq == ownSeq { // a transaction's own write: the key may be present for others
		c.endRun()
		c.openRun(e.Key)
		c.advance()
		return
	}
	if hidden, ok := c.hidden.Find(e.Key); ok {
		c.passHidden(e.Key, hidden)
		return
	}
	if !r.open {
		c.openRun(nil)
	}
	r.step(e, c.Reverse)
	if !r.rested() || !c.leap() {
		c.advance()
	}
}

// passHidden goes from a key over the rest of a range that the transaction has deleted, or up to a write of its own in the
// range. Others may see entries there: so the run ends, and the next begins where the cursor goes on.
func (c *cursor) passHidden(key []byte, r kv.KeyRange) {
	c.endRun()
	c.moves++
	if c.Reverse {
		to := r.Start
		if c.own != nil && c.own.SeekLT(key) && kv.Compare(c.own.Entry().Key, to) >= 0 {
			to = append(slices.Clip(c.own.Entry().Key), 0)
		}
		c.dead.begin(to, gap.Moment{Seq: c.seq, Now: c.now})
		c.on = kv.Compare(to, c.Lower) > 0 && c.merged.SeekLT(to)
		return
	}
	to := r.End
	if c.own != nil && c.own.SeekGE(key) && (to == nil || kv.Compare(c.own.Entry().Key, to) < 0) {
		to = c.own.Entry().Key
	}
	if to == nil {
		c.on = false
		return
	}
	c.dead.begin(to, gap.Moment{Seq: c.seq, Now: c.now})
	c.on = (len(c.Upper) == 0 || kv.Compare(to, c.Upper) < 0) && c.merged.SeekGE(to)
}

// openRun begins a run behind a key, or if the key is nil behind the last entry read ahead, or else where the move began.
func (c *cursor) openRun(behind []byte) {
	edge := c.edge
	if behind == nil && len(c.Entries) > 0 {
		behind = c.Entries[len(c.Entries)-1].Key
	}
	if behind != nil {
		edge = append(c.edge[:0], behind...)
		if !c.Reverse {
			edge = append(edge, 0)
		}
		c.edge = edge
	}
	c.dead.begin(edge, gap.Moment{Seq: c.seq, Now: c.now})
}

// endRun ends the run, and offers it to the view's gaps.
func (c *cursor) endRun() {
	if r := &c.dead; r.open {
		r.open = false
		c.view.Gaps.Offer(&r.Run)
	}
}

// leap moves merged behind the gap that the run has come to. It is false if no gap is known there. A transaction's own write
// in the gap ends the leap.
func (c *cursor) leap() bool {
	r := &c.dead
	at := r.edge(c.Reverse)
	if c.Reverse {
		if len(at) == 0 { // from the end
			return false
		}
		j := c.view.Gaps.Backward(at, r.Moment)
		if j.Hops == 0 {
			return false
		}
		to := j.To
		if c.own != nil && c.own.SeekLT(at) && kv.Compare(c.own.Entry().Key, to) >= 0 {
			to = append(append([]byte(nil), c.own.Entry().Key...), 0)
		}
		r.jump(j, to, true)
		c.on = kv.Compare(to, c.Lower) > 0 && c.merged.SeekLT(r.Start)
	} else {
		j := c.view.Gaps.Forward(at, r.Moment)
		if j.Hops == 0 {
			return false
		}
		to := j.To
		if c.own != nil && c.own.SeekGE(at) && kv.Compare(c.own.Entry().Key, to) < 0 {
			to = c.own.Entry().Key
		}
		r.jump(j, to, false)
		c.on = (len(c.Upper) == 0 || kv.Compare(to, c.Upper) < 0) && c.merged.SeekGE(r.End)
	}
	c.moves++
	return true
}
