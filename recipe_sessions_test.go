package ebb_test

import (
	"crypto/rand"
	"fmt"
	"time"

	"github.com/ebbdb/ebb"
	"github.com/ebbdb/ebb/codec"
)

// sessions are those of users who have logged in. One ends when it is told to, or has not been used for a while.
type sessions struct {
	byID *ebb.Typed[string, session]
	idle time.Duration
}

type session struct {
	User    string    `json:"user"`
	Started time.Time `json:"started"`
}

func (s *sessions) start(user string, now time.Time) (id string, err error) {
	id = rand.Text()
	return id, s.byID.Put(id, session{user, now}, ebb.IfAbsent, ebb.TTL(s.idle))
}

// use returns a session and begins its idle time anew. If there is none any more it is ebb.ErrNotFound. After a
// power cut it may have been used a moment less, which is not worth waiting for the disk.
func (s *sessions) use(id string) (session, error) { return s.byID.GetTouch(id, s.idle, ebb.NoSync) }

func (s *sessions) end(id string) error { return s.byID.Delete(id) }

// Sessions that live for half an hour after their last use.
func Example_sessions() {
	clock := newTestClock(noon)
	db := openMemory(&ebb.Options{Clock: clock.Now})
	defer db.Close()
	byID := ebb.NewTyped(db, []byte("session/"), codec.String(), codec.JSON[session]())
	s := sessions{byID: byID, idle: 30 * time.Minute}

	id, err := s.start("alice", clock.Now())
	must(err)
	for _, pause := range []time.Duration{20 * time.Minute, 29 * time.Minute, 30 * time.Minute} {
		clock.Advance(pause)
		session, err := s.use(id)
		fmt.Printf("after %v: %q %v\n", pause, session.User, err)
	}

	id, err = s.start("bob", clock.Now())
	must(err)
	must(s.end(id))
	_, err = s.use(id)
	fmt.Println("after the end:", err)
	// Output:
	// after 20m0s: "alice" <nil>
	// after 29m0s: "alice" <nil>
	// after 30m0s: "" ebb: not found
	// after the end: ebb: not found
}
