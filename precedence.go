package ebb

import "time"

const (
	// precedenceEvery is how often an Update loses before it takes precedence, and again if that was too short.
	precedenceEvery = 4
	// precedenceLength is how long other writes wait for it at most. A short transaction takes some 20 us.
	precedenceLength = 10 * time.Millisecond
	// precedenceWait is how long an Update waits for another to give it up. It waits in vain only if its caller has it.
	precedenceWait = 250 * time.Millisecond
)

// precedence is that of one Update over all other writes: they wait until it has committed, so that it wins. Without it a
// transaction on a key that many write starves, as what newcomers have read is newer than what it has.
//
// A transaction with precedence reads the newest there is, whether that is on the disk already or not: nothing new comes
// before it, so many can follow one another between two syncs. Nobody is told what it has read before the disk has that: see
// DB.attempt.
//
// Its function may itself write to the database, or take long. So precedence ends after precedenceLength in any case,
// and a write waits for one to end and not for the next: writes are not held up by a row of them.
type precedence struct {
	p     *pipeline
	over  chan struct{} // closed at its end
	timer *time.Timer
}

// takePrecedence waits until no other Update has precedence, and returns it; nil if it cannot be had.
func (p *pipeline) takePrecedence() *precedence {
	timer := time.NewTimer(precedenceWait)
	defer timer.Stop()
	select {
	case p.precedences <- struct{}{}:
	case <-timer.C:
		return nil
	case <-p.health.work.Done():
		return nil
	}
	a := &precedence{p: p, over: make(chan struct{})}
	t := p.lock()
	defer t.end()
	t.letAhead(a.over)
	a.timer = time.AfterFunc(precedenceLength, a.end)
	return a
}

// end lets the others go on. A second end does nothing.
func (a *precedence) end() {
	t := a.p.lock()
	defer t.end()
	a.endIn(t)
}

// endIn is end in a turn.
func (a *precedence) endIn(t turn) {
	if a == nil || t.ahead() != a.over {
		return
	}
	t.letAhead(nil)
	a.timer.Stop()
	close(a.over)
	<-a.p.precedences
}

// turn returns a turn in which all is as the last write has left it. It is false if precedence has ended.
func (a *precedence) turn() (turn, bool) {
	if a == nil {
		return turn{}, false
	}
	t := a.p.lock()
	if t.ahead() != a.over {
		t.end()
		return turn{}, false
	}
	return t, true
}

// begin is pipeline.begin for an Update that may have precedence.
func (a *precedence) begin(p *pipeline) (turn, error) {
	if a == nil {
		return p.begin()
	}
	return p.beginAhead(a.over)
}
