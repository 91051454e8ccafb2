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
	db    *DB
	done  chan struct{} // closed at the end
	timer *time.Timer
}

// takePrecedence waits until no other Update has precedence, and returns it; nil if it cannot be had.
func (db *DB) takePrecedence() *precedence {
	timer := time.NewTimer(precedenceWait)
	defer timer.Stop()
	select {
	case db.precedences <- struct{}{}:
	case <-timer.C:
		return nil
	case <-db.health.work.Done():
		return nil
	}
	t := &precedence{db: db, done: make(chan struct{})}
	db.commit.Lock()
	defer db.commit.Unlock()
	db.commit.precedence = t
	t.timer = time.AfterFunc(precedenceLength, t.end)
	return t
}

// end lets the others go on. A second end does nothing.
func (t *precedence) end() {
	t.db.commit.Lock()
	defer t.db.commit.Unlock()
	t.endLocked()
}

func (t *precedence) endLocked() {
	if t == nil || t.db.commit.precedence != t {
		return
	}
	t.db.commit.precedence = nil
	t.timer.Stop()
	close(t.done)
	<-t.db.precedences
}

// begin is DB.begin as of the newest write. It is false if precedence has ended.
func (t *precedence) begin() (s *txnState, ok bool, err error) {
	if t == nil {
		return nil, false, nil
	}
	db := t.db
	db.commit.Lock()
	defer db.commit.Unlock()
	if db.commit.precedence != t {
		return nil, false, nil
	}
	v, seq, err := pin(&db.live)
	if err != nil {
		return nil, true, err
	}
	return db.newTxn(v, max(seq, db.commit.lastSeq), false), true, nil
}

// awaitPrecedenceLocked waits until no other Update has precedence. It frees the commit lock meanwhile.
func (db *DB) awaitPrecedenceLocked(own *precedence) {
	if t := db.commit.precedence; t != nil && t != own {
		db.commit.Unlock()
		<-t.done
		db.commit.Lock()
	}
}
