// Command sessions keeps who has logged in: a session lives as long as it is used, across restarts, and all those of one user
// end at once.
package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/ebbdb/ebb"
	"github.com/ebbdb/ebb/codec"
)

// Session is what is known of somebody who has logged in.
type Session struct {
	Agent string `json:"agent"` // the browser
}

// Sessions are kept by user and token.
type Sessions struct {
	keys   codec.PairKey[string, string]
	byUser *ebb.Typed[codec.Pair[string, string], Session]
	idle   time.Duration // how long a session lives after its last use
}

// NewSessions returns the sessions of a database.
func NewSessions(db *ebb.DB, idle time.Duration) *Sessions {
	keys := codec.PairOf(codec.String(), codec.String())
	return &Sessions{
		keys:   keys,
		byUser: ebb.NewTyped(db, []byte("session/"), keys, codec.JSON[Session]()),
		idle:   idle,
	}
}

// Start begins a session and returns its token.
func (s *Sessions) Start(user, agent string) (token string, err error) {
	token = rand.Text()
	return token, s.byUser.Put(codec.MakePair(user, token), Session{agent}, ebb.TTL(s.idle))
}

// Use returns a session and lets it live on. One that was idle for too long, or has ended, is ebb.ErrNotFound. A power cut may
// take the last uses, which is not worth waiting for the disk.
func (s *Sessions) Use(user, token string) (Session, error) {
	return s.byUser.GetTouch(codec.MakePair(user, token), s.idle, ebb.NoSync)
}

// End ends a session and returns it.
func (s *Sessions) End(user, token string) (Session, error) {
	return s.byUser.Take(codec.MakePair(user, token))
}

// EndAll ends all sessions of a user.
func (s *Sessions) EndAll(user string) error {
	return s.byUser.DeleteRange(s.byUser.Within(s.keys.First(user)))
}

// List returns the browsers in which a user is logged in.
func (s *Sessions) List(user string) (agents []string, err error) {
	for e, err := range s.byUser.Range(s.byUser.Within(s.keys.First(user))) {
		if err != nil {
			return nil, err
		}
		agents = append(agents, e.Value.Agent)
	}
	return agents, nil
}

func main() {
	dir, err := os.MkdirTemp("", "ebb-sessions-")
	if err != nil {
		log.Fatal(err)
	}
	if err := errors.Join(run(dir), os.RemoveAll(dir)); err != nil {
		log.Fatal(err)
	}
}

func run(dir string) error {
	db, err := ebb.Open(dir, nil)
	if err != nil {
		return err
	}
	defer db.Close()
	s := NewSessions(db, 500*time.Millisecond) // so that there is something to see; half an hour is usual
	token, err := s.Start("alice", "Firefox on a laptop")
	if err != nil {
		return err
	}
	if _, err := s.Start("alice", "Safari on a phone"); err != nil {
		return err
	}
	agents, err := s.List("alice")
	if err != nil {
		return err
	}
	fmt.Printf("alice is logged in with %q\n", agents)
	for range 4 { // the laptop is used, the phone is not
		time.Sleep(150 * time.Millisecond)
		if _, err := s.Use("alice", token); err != nil {
			return err
		}
	}
	if agents, err = s.List("alice"); err != nil {
		return err
	}
	fmt.Printf("and a little later with %q\n", agents)
	if err := s.EndAll("alice"); err != nil {
		return err
	}
	_, err = s.Use("alice", token)
	fmt.Println("after the password has changed:", err)
	return nil
}
