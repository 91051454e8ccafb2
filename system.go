package ebb

import (
	crand "crypto/rand"
	"math/rand/v2"
	"time"
)

// system is what a database takes from the process around it, beside files and the wall clock. No other file of the package
// asks for the time or for chance, so that a test can decide both.
type system struct {
	now    func() time.Time // with a monotonic reading: for durations and pauses, never for deadlines
	sleep  func(time.Duration)
	random func() uint64  // for what only has to be spread
	secret func(b []byte) // fills b, for what nobody may guess or meet twice
}

// withDefaults returns a copy with every field set.
func (s system) withDefaults() system {
	if s.now == nil {
		s.now = time.Now //permit:time.Now the way in for time
	}
	if s.sleep == nil {
		s.sleep = time.Sleep //permit:time.Sleep the way in for pauses
	}
	if s.random == nil {
		s.random = rand.Uint64 //permit:rand.Uint64 the way in for chance
	}
	if s.secret == nil {
		s.secret = func(b []byte) { crand.Read(b) } //permit:crand.Read the way in for ids; it never fails
	}
	return s
}

// since returns how long ago a moment was that now has told.
func (s *system) since(start time.Time) time.Duration { return s.now().Sub(start) }
