package cluster

import (
	"context"
	"encoding/binary"
	"errors"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// lead does what a leader has to do, while this node is one.
//
// When it becomes one it first has an entry of its own term applied. From there on the node knows which entries are committed,
// and has applied them: it serves reads. Then, as often as Config.Tick, it looks whether something is due, and lets time pass
// in the log if so and if no write does it.
func (db *DB) lead() {
	ticker := time.NewTicker(db.config.Tick)
	defer ticker.Stop()
	var l leading
	var told notedReports
	for {
		select {
		case <-db.ctx.Done():
			return
		case <-db.raft.LeaderCh():
		case <-ticker.C:
		}
		db.forwards.lead(db.leader())
		told.look(db)
		if db.raft.State() != raft.Leader {
			db.ready.Store(0)
			db.calls.refuse(&NotLeaderError{})
			continue
		}
		if term := db.raft.CurrentTerm(); term != db.ready.Load() {
			db.ready.Store(0)
			db.beginTerm(term)
			l = leading{}
		}
		if db.ready.Load() != 0 {
			l.look(db)
		}
	}
}

// beginTerm has the first entry of a term applied.
func (db *DB) beginTerm(term uint64) {
	ctx, cancel := context.WithTimeout(db.ctx, 10*db.config.Heartbeat)
	defer cancel()
	db.agreeOnTime(ctx)
	if _, err := db.proposeHere(ctx, appendHeader(nil, &header{kind: kindTick})); err != nil {
		return // the next look tries again, if this node still leads
	}
	if db.machine.term.Load() == term && db.raft.CurrentTerm() == term {
		db.ready.Store(term)
	}
}

// leading is when a leader has last done what it does now and then.
type leading struct{ agreed, swept time.Time }

const (
	agreeEvery = time.Second
	sweepEvery = time.Minute
)

// look does what there is to do.
func (l *leading) look(db *DB) {
	now := time.Now()
	if now.Sub(l.agreed) >= agreeEvery {
		l.agreed = now
		db.work.Go(func() { db.agreeOnTime(db.ctx) })
	}
	if now.Sub(l.swept) >= sweepEvery {
		l.swept = now
		db.work.Go(db.expireSessions)
	}
	ctx, cancel := context.WithTimeout(db.ctx, db.config.Heartbeat)
	defer cancel()
	if db.machine.reports.Load() != db.config.Options.ExpiryEvents {
		_, _ = db.proposeHere(ctx, reportEntry(db.config.Options.ExpiryEvents)) // the next look tries again
	}
	if now := db.clock.now(); db.overdue(now) || db.machine.unreported(now) {
		_ = db.tick(ctx)
	}
}

// reportEntry returns an entry that begins or ends reporting what expires.
func reportEntry(on bool) []byte {
	body := byte(0)
	if on {
		body = 1
	}
	return append(appendHeader(nil, &header{kind: kindReport}), body)
}

// notedReports is since when the log has not said what Options.ExpiryEvents of the node does, and whether that was told.
type notedReports struct {
	since time.Time
	told  bool
}

// look tells the logger of the node, once, that its options are not those of the leader, which has had the time to say so.
func (n *notedReports) look(db *DB) {
	want := db.config.Options.ExpiryEvents
	switch {
	case want == db.machine.reports.Load():
		*n = notedReports{}
	case n.since.IsZero() || db.machine.term.Load() != db.raft.CurrentTerm():
		n.since = time.Now()
	case !n.told && time.Since(n.since) > agreeEvery:
		n.told = true
		db.log.Warn("Options.ExpiryEvents is not what the leader has, which counts", "node", db.config.ID, "here", want)
	}
}

// tick lets time pass in the log. The node leads.
func (db *DB) tick(ctx context.Context) error {
	_, err := db.proposeHere(ctx, appendHeader(nil, &header{kind: kindTick}))
	return err
}

// expireSessions has sessions forgotten that were idle for Config.SessionIdle.
func (db *DB) expireSessions() {
	ctx, cancel := context.WithTimeout(db.ctx, db.config.CallTimeout)
	defer cancel()
	entry := appendHeader(nil, &header{kind: kindExpireSessions})
	idle := max(db.config.SessionIdle.Milliseconds(), 1)
	_, _ = db.proposeHere(ctx, binary.LittleEndian.AppendUint64(entry, uint64(idle)))
}

// wall returns the wall clock, Unix ms.
func (db *DB) wall() int64 {
	if clock := db.config.Options.Clock; clock != nil {
		return clock().UnixMilli()
	}
	return time.Now().UnixMilli()
}

// agreeOnTime asks the voters what time it is, and moves the clock of stamps on to what a majority has come to.
func (db *DB) agreeOnTime(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, db.config.Heartbeat/2)
	defer cancel()
	var walls []int64
	voters := 0
	for a := range db.askVoters(ctx, &voters) {
		walls = append(walls, a.wall)
		if wall, ok := agreed(walls, voters); ok {
			db.clock.advance(wall)
		}
	}
}

// voterState is what a voter answers to methodTime.
type voterState struct {
	term uint64
	wall int64
}

// state returns what this node answers.
func (db *DB) voterState() voterState { return voterState{db.raft.CurrentTerm(), db.wall()} }

func (v voterState) append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint64(b, v.term)
	return binary.LittleEndian.AppendUint64(b, uint64(v.wall))
}

// askVoters asks all voters for their state. It stores how many there are, and yields the answers as they come, this node's
// first, until all are there or ctx is done.
func (db *DB) askVoters(ctx context.Context, voters *int) func(yield func(voterState) bool) {
	return func(yield func(voterState) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		var others []raft.Server
		mine := false
		for _, s := range db.servers() {
			switch {
			case s.Suffrage != raft.Voter:
			case string(s.ID) == db.config.ID:
				mine = true
			default:
				others = append(others, s)
			}
		}
		*voters = len(others)
		answers := make(chan voterState, len(others))
		for _, s := range others {
			go func() {
				out, err := db.peers.get(string(s.ID), string(s.Address)).call(ctx, methodTime)
				if err != nil || len(out) != 16 {
					answers <- voterState{}
					return
				}
				answers <- voterState{binary.LittleEndian.Uint64(out), int64(binary.LittleEndian.Uint64(out[8:]))}
			}()
		}
		if mine {
			*voters++
			if !yield(db.voterState()) {
				return
			}
		}
		for range others {
			select {
			case a := <-answers:
				if a != (voterState{}) && !yield(a) {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}
}

// confirmer finds out whether this node still leads. Those who ask while others wait for an answer share the next one.
//
// A majority of voters has to say, after the question was asked, that its term is the one in which the node leads: then no
// other node was elected before the question, as whoever votes for it has a later term. (raft's VerifyLeader counts the answer
// to a heartbeat that was sent before it was called: a node that was paused finds that answer when it wakes up, and would
// believe that it leads.)
type confirmer struct {
	db *DB
	mu struct {
		sync.Mutex
		running bool
		next    *confirmation // for who asks now; nil: nobody waits for the one after that under way
	}
}

type confirmation struct {
	done chan struct{}
	err  error
}

var errNotConfirmed = errors.New("no majority says that this node leads")

// leads returns nil if this node leads in a term, at some moment since the call.
func (c *confirmer) leads(ctx context.Context, term uint64) error {
	c.mu.Lock()
	if c.mu.next == nil {
		c.mu.next = &confirmation{done: make(chan struct{})}
	}
	n := c.mu.next
	if !c.mu.running {
		c.mu.running = true
		c.db.work.Go(c.run)
	}
	c.mu.Unlock()
	select {
	case <-n.done:
	case <-ctx.Done():
		return ctx.Err()
	}
	if n.err == nil && c.db.raft.CurrentTerm() != term {
		return errNotConfirmed
	}
	return n.err
}

// run answers until nobody waits.
func (c *confirmer) run() {
	for {
		c.mu.Lock()
		n := c.mu.next
		c.mu.next = nil
		if n == nil {
			c.mu.running = false
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
		n.err = c.ask()
		close(n.done)
	}
}

func (c *confirmer) ask() error {
	db := c.db
	ctx, cancel := context.WithTimeout(db.ctx, db.config.Heartbeat)
	defer cancel()
	term := db.ready.Load()
	if term == 0 || db.raft.State() != raft.Leader {
		return errNotConfirmed
	}
	votes, voters := 0, 0
	for a := range db.askVoters(ctx, &voters) {
		if a.term == term {
			votes++
		}
		if votes > voters/2 {
			return nil
		}
	}
	return errNotConfirmed
}
