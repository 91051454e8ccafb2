package ebb

import (
	"errors"
	"fmt"
	"time"
)

const (
	// maxAttempts of an Update; with the pauses between, they take a quarter of a second.
	maxAttempts = 32
	firstPause  = 20 * time.Microsecond // on average, and twice as long each time,
	lastPause   = 10 * time.Millisecond // up to this
)

// Update calls fn with a transaction and commits what it has written, all at once, if fn returns nil. Otherwise nothing is
// written and it returns the error of fn. Of the options it takes VersionTo, Sync and NoSync.
//
// Transactions are serializable: those that commit have the effect of having run one after another, and alone. No lock is
// held while fn runs. Instead, what it has read is checked when it commits: the keys that it got, those that were absent
// among them, and the ranges that it scanned. If another write has changed any of that, or anything of it has expired in
// the meantime, then nothing is written and fn is called again with a new transaction, so it should do nothing else that
// must not be done twice.
//
// An Update that has lost several times makes other writes wait while it tries once more, so that it wins; but for no longer
// than 10 ms. So a short transaction is not starved, however many write what it reads. A longer one may lose again, and
// after 32 attempts, or some more, Update gives up with ErrConflict. So it does with a transaction that lasts while others
// fill four memtables.
//
// A transaction that writes nothing cannot conflict. Its size is limited as that of a batch is, to MaxBatchSize; it is held
// in memory.
func (db *DB) Update(fn func(*Txn) error, opts ...WriteOption) error {
	p, err := evaluate(opts, 0, db.clock, db.opts.Sync)
	if err != nil {
		return err
	}
	if db.opts.ReadOnly && !db.health.closed.Load() {
		return ErrReadOnly
	}
	pause := firstPause
	for n := 1; n <= maxAttempts; n++ {
		if n%precedenceEvery == 0 {
			err = db.attemptFirst(fn, &p)
		} else {
			_, err = db.attempt(fn, &p, nil)
		}
		if err != errConflict {
			return err
		}
		db.opts.sys.sleep(time.Duration(db.opts.sys.random() % uint64(2*pause)))
		pause = min(2*pause, lastPause)
	}
	return fmt.Errorf("%w: given up after %d attempts", ErrConflict, maxAttempts)
}

// attemptFirst attempts with precedence, as long as it lasts: writes that had waited for another's may still come between.
func (db *DB) attemptFirst(fn func(*Txn) error, p *params) error {
	a := db.pipeline.takePrecedence()
	if a != nil {
		defer a.end()
	}
	for {
		first, err := db.attempt(fn, p, a)
		if err != errConflict || !first {
			return err
		}
	}
}

// errConflict is that of one attempt. It is not the caller's, whose fn may well return an ErrConflict of another database.
var errConflict = errors.New("ebb: conflict")

// attempt is one attempt, with precedence a if that is not nil and has not ended when it begins.
func (db *DB) attempt(fn func(*Txn) error, p *params, a *precedence) (first bool, err error) {
	s, first, err := db.beginFirst(a)
	if !first {
		s, err = db.begin(false)
	}
	if err != nil {
		return first, err
	}
	tx := Txn{s}
	defer tx.end()
	err = fn(&tx)
	switch {
	case err == nil && s.writes.Len() > 0:
		err = s.commit(p, a, first)
	case first: // what it has read may be on no disk yet
		t := db.pipeline.lock()
		a.endIn(t)
		err = t.refuse(err, p)
	}
	return first, err
}

// beginFirst is DB.begin as of the newest write. It is false if precedence has ended.
func (db *DB) beginFirst(a *precedence) (s *txnState, ok bool, err error) {
	t, ok := a.turn()
	if !ok {
		return nil, false, nil
	}
	defer t.end()
	v, seq, err := pin(&db.live)
	if err != nil {
		return nil, true, err
	}
	return db.newTxn(v, max(seq, t.lastSeq()), false), true, nil
}

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
