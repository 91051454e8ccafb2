package ebb

import "time"

const (
	// turnEvery is how often an Update loses before it takes a turn, and again if that was too short.
	turnEvery = 4
	// turnLength is how long others wait for a turn at most. It takes a short transaction some 20 us.
	turnLength = 10 * time.Millisecond
	// turnWait is how long an Update waits for its turn. It ends so only if its caller is in a turn itself.
	turnWait = 250 * time.Millisecond
)

// turn is the precedence of one Update over all other writes: they wait until it has committed, so that it wins. Without it
// a transaction on a key that many write starves, as what newcomers have read is newer than what it has.
//
// In its turn a transaction reads the newest there is, whether that is on the disk already or not: nothing new comes before
// it, so many can follow one another between two syncs. Nobody is told what it has read before the disk has that: see
// DB.attempt.
//
// Its function may itself write to the database, or take long. So a turn ends after turnLength in any case, and a write
// waits for one turn and not for the next: writes are not held up by a row of turns.
type turn struct {
	db    *DB
	done  chan struct{} // closed at the end
	timer *time.Timer
}

// takeTurn waits for a turn, of which there is one at a time. It returns nil if there is none to be had.
func (db *DB) takeTurn() *turn {
	timer := time.NewTimer(turnWait)
	defer timer.Stop()
	select {
	case db.turns <- struct{}{}:
	case <-timer.C:
		return nil
	case <-db.work.Done():
		return nil
	}
	t := &turn{db: db, done: make(chan struct{})}
	db.commit.Lock()
	defer db.commit.Unlock()
	db.commit.turn = t
	t.timer = time.AfterFunc(turnLength, t.end)
	return t
}

// end lets the others go on. A second end does nothing.
func (t *turn) end() {
	t.db.commit.Lock()
	defer t.db.commit.Unlock()
	t.endLocked()
}

func (t *turn) endLocked() {
	if t == nil || t.db.commit.turn != t {
		return
	}
	t.db.commit.turn = nil
	t.timer.Stop()
	close(t.done)
	<-t.db.turns
}

// begin is DB.begin as of the newest write. It is false if the turn is over.
func (t *turn) begin() (s *txnState, ok bool, err error) {
	if t == nil {
		return nil, false, nil
	}
	db := t.db
	db.commit.Lock()
	defer db.commit.Unlock()
	if db.commit.turn != t {
		return nil, false, nil
	}
	v, seq, err := db.pinView()
	if err != nil {
		return nil, true, err
	}
	return db.newTxn(v, max(seq, db.commit.lastSeq), false), true, nil
}

// awaitTurnLocked waits for the turn that another has, if there is one. It frees the commit lock meanwhile.
func (db *DB) awaitTurnLocked(own *turn) {
	if t := db.commit.turn; t != nil && t != own {
		db.commit.Unlock()
		<-t.done
		db.commit.Lock()
	}
}
