package ebb

import (
	"errors"
	"fmt"
	"runtime"
	"time"
)

const (
	// An Update makes maxAttempts. With the pauses between them they take a quarter of a second.
	maxAttempts = 32
	// The first pause is firstPause on average. Each pause is twice as long as the one before, up to lastPause.
	firstPause = 20 * time.Microsecond
	lastPause  = 10 * time.Millisecond
)

// Update calls fn with a transaction and, if fn returns nil, commits the transaction's writes, all at once. If fn returns an
// error, nothing is written and Update returns the error. Of the options Update takes VersionTo, Sync and NoSync.
//
// Transactions are serializable: those that commit have the effect of having run one after another, and alone. No lock is
// held while fn runs. Instead the commit checks what the transaction has read: the keys that it got, absent ones among them,
// and the ranges that it scanned. If another write has changed any of these, or an entry of these has expired in the
// meantime, the transaction conflicts: nothing is written, and fn is called again with a new transaction. So fn should do
// nothing else that must not be done twice.
//
// An Update that has conflicted several times makes other writes wait while it tries once more, so that it commits; but for
// no longer than 10 ms. So a short transaction is not starved, however many writers change what it reads. A longer one may
// conflict again, and after 32 attempts, or some more, Update gives up with ErrConflict. It also gives up on a transaction
// that lasts while other writes fill four memtables.
//
// A transaction that writes nothing cannot conflict. The writes of a transaction are held in memory. Their size is limited
// to MaxBatchSize, as that of a batch is.
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
	return fmt.Errorf("%w: given up after %d attempts, as %s", ErrConflict, maxAttempts, conflict(p.changed))
}

// attemptFirst makes attempts with precedence, until one does not conflict or precedence has ended. An attempt with
// precedence may still conflict: with a write that had waited for the end of an earlier precedence.
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

// Begin returns a transaction, which only reads unless it is writable. It is for who cannot use a function, as View and Update
// do: an adapter to another interface, or a transaction that spans several calls. Commit or Discard ends it. Until then it
// pins memory and files. One that is forgotten is told as TransactionLeaked once the garbage collector has found it.
//
//	tx, err := db.Begin(true)
//	if err != nil {
//		return err
//	}
//	defer tx.Discard() // does nothing after Commit
//	...
//	return tx.Commit()
func (db *DB) Begin(writable bool) (*Txn, error) {
	if writable && db.opts.ReadOnly && !db.health.closed.Load() {
		return nil, ErrReadOnly
	}
	s, err := db.begin(!writable)
	if err != nil {
		return nil, err
	}
	tx := &Txn{s}
	b := &begun{live: &db.live, view: s.view, health: &db.health, at: db.opts.sys.now(), writable: writable}
	runtime.Callers(2, b.caller[:])
	s.begun, s.leak = b, runtime.AddCleanup(tx, (*begun).leaked, b)
	return tx, nil
}

// Commit makes the writes of a transaction of Begin, all at once, and ends the transaction, whatever it returns. ErrConflict
// says that what the transaction has read has changed or expired since: nothing was written, and it may be tried again from
// Begin on. A transaction that has written nothing cannot conflict. Of the options Commit takes VersionTo, Sync and NoSync.
//
// View and Update commit by themselves: there Commit is ErrTxnManaged, and does nothing.
func (tx *Txn) Commit(opts ...WriteOption) error {
	s := tx.s
	if s == nil {
		return ErrTxnDone
	}
	if s.begun == nil {
		return ErrTxnManaged
	}
	defer tx.Discard()
	p, err := evaluate(opts, 0, s.db.clock, s.db.opts.Sync)
	if err != nil {
		return err
	}
	if s.db.health.closed.Load() {
		return ErrClosed
	}
	if !s.wrote() {
		return nil
	}
	if err := s.commit(&p, nil, false); err != errConflict {
		return err
	}
	return fmt.Errorf("%w: %s", ErrConflict, conflict(s.reads.Changed()))
}

// conflict says why a transaction conflicts: for a key that it has read, or for something else if key is empty.
func conflict(key []byte) string {
	if len(key) == 0 {
		return "what the transaction has read has changed or expired"
	}
	return quoted(key) + " has changed"
}

// Discard ends a transaction without writing anything. After Commit or Discard it does nothing. In the function of an Update
// it makes Update return ErrTxnDone, unless the function returns an error of its own.
func (tx *Txn) Discard() {
	s := tx.s
	if s == nil {
		return
	}
	if s.begun != nil {
		s.leak.Stop()
	}
	tx.end()
	runtime.KeepAlive(tx)
}

// errConflict is the error of one attempt that conflicts. It is not ErrConflict: the caller's fn may return that, of another
// database.
var errConflict = errors.New("ebb: conflict")

// attempt makes one attempt. first is whether it began with precedence: a was not nil and had not ended.
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
	if tx.s == nil && err == nil {
		err = ErrTxnDone // fn has discarded it
	}
	switch {
	case err == nil && s.wrote():
		if err = s.commit(p, a, first); err == errConflict {
			p.changed = append(p.changed[:0], s.reads.Changed()...)
		}
	case first: // the answer may rest on writes that are not durable yet
		t := db.pipeline.lock()
		a.endIn(t)
		err = t.refuse(err, p)
	}
	return first, err
}

// beginFirst is DB.begin as of the newest write, visible or not. ok is false if a is nil or has ended.
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
	// Of the attempts of an Update each precedenceEvery-th is made with precedence.
	precedenceEvery = 4
	// precedenceLength is how long precedence lasts at most, while other writes wait. A short transaction takes some 20 us.
	precedenceLength = 10 * time.Millisecond
	// precedenceWait is how long an Update waits for another to give precedence up. It waits in vain only if its caller has
	// precedence.
	precedenceWait = 250 * time.Millisecond
)

// precedence is the right of one Update to go before all other writes: they wait until the Update has committed, so that it
// does not conflict. Without precedence a transaction on a key that many write starves, as newcomers have read newer
// versions.
//
// A transaction with precedence reads the newest writes, durable and visible or not: no new write comes before its own. So
// many such transactions can follow one another between two syncs. Nobody learns what the transaction has read before that
// is durable: see DB.attempt.
//
// The function of the Update may itself write to the database, or take long. So precedence ends after precedenceLength in
// any case. A write waits for one precedence to end and not for the next: a row of them does not hold a write up.
type precedence struct {
	p     *pipeline
	over  chan struct{} // closed at its end
	timer *time.Timer
}

// takePrecedence waits until no other Update has precedence, and takes it. It returns nil after precedenceWait, or on Close.
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

// end lets other writes go on. A second end does nothing.
func (a *precedence) end() {
	t := a.p.lock()
	defer t.end()
	a.endIn(t)
}

// endIn is end for a caller that has a turn. a may be nil.
func (a *precedence) endIn(t turn) {
	if a == nil || t.ahead() != a.over {
		return
	}
	t.letAhead(nil)
	a.timer.Stop()
	close(a.over)
	<-a.p.precedences
}

// turn returns a turn, in which all is as the last write has left it. It is false if a is nil or has ended.
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

// own returns what pipeline.beginAhead has to know of an Update that may have precedence. a may be nil.
func (a *precedence) own() chan struct{} {
	if a == nil {
		return nil
	}
	return a.over
}
