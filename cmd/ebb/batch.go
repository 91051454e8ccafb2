package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/ebbdb/ebb"
)

func batchCommands() []command {
	return []command{
		{"begin", "", "begin a batch: put and del wait for commit", 0, 0, sessions, plain(begin),
			"Reads do not see what the batch holds. Other writes are refused until commit or discard."},
		{"commit", "", "make all of the batch, or nothing of it", 0, 0, sessions, plain(commit), ""},
		{"discard", "", "forget the batch", 0, 0, sessions, plain(discard), ""},
	}
}

var errNoBatch = errors.New("there is no batch: begin one")

func begin(_ context.Context, s *session, _ []string) error {
	if s.batch != nil {
		return fmt.Errorf("there is a batch of %s already: commit or discard it", plural(s.batch.Len(), "operation"))
	}
	s.batch = new(ebb.Batch)
	return nil
}

// commit applies the batch. If that fails the batch stays, for another try.
func commit(_ context.Context, s *session, _ []string) error {
	b := s.batch
	if b == nil {
		return errNoBatch
	}
	s.batch = nil
	if err := s.write(func(db *ebb.DB) error { return db.Apply(b) }); err != nil {
		s.batch = b
		if failed := (*ebb.ConditionError)(nil); errors.As(err, &failed) {
			return held(string(failed.Key), err)
		}
		return err
	}
	return s.out.line("committed "+plural(b.Len(), "operation"), field{"committed", b.Len()})
}

func discard(_ context.Context, s *session, _ []string) error {
	if s.batch == nil {
		return errNoBatch
	}
	n := s.batch.Len()
	s.batch = nil
	return s.out.line("discarded "+plural(n, "operation"), field{"discarded", n})
}
