package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/ebbdb/ebb"
)

// session is what commands work in: one of them, or all that a user types. It is for one goroutine.
type session struct {
	globals
	dir     string
	db      *ebb.DB // nil until the first command that needs it
	opened  opened  // of db
	notices notices
	owner   error // who has the database, if the session can only read because of that
	stdin   io.Reader
	out     *printer
	stderr  io.Writer

	interactive bool // a person is typing
	piped       bool // commands come from a pipe
	timing      bool
	jsonErrors  bool // the command was asked for JSON
	owning      bool // the command needs the database for itself, though it does not write
	current     *command

	batch     *ebb.Batch               // what begin has begun; nil outside
	snapshots map[string]*ebb.Snapshot // by name
	using     string                   // the snapshot that is read; empty: the database as it is now
}

func newSession(g globals, stdin io.Reader, stdout, stderr io.Writer) *session {
	return &session{
		globals: g, stdin: stdin, out: newPrinter(stdout, g.json), stderr: stderr, timing: g.time,
		snapshots: make(map[string]*ebb.Snapshot),
	}
}

// many reports whether there is more than one command to come.
func (s *session) many() bool { return s.interactive || s.piped }

// input returns standard input, until ctx is done.
func (s *session) input(ctx context.Context) io.Reader { return &inputReader{ctx: ctx, r: s.stdin} }

// open returns the database, opened. A command that only reads changes nothing and takes no lock, so it works beside an
// owner. A mistyped name must not make a database: only some commands do, and -create.
func (s *session) open() (*ebb.DB, error) {
	if s.db != nil {
		return s.db, nil
	}
	if !s.create && (s.many() || !s.current.has(creates)) {
		if err := checkExists(s.dir); err != nil {
			return nil, err
		}
	}
	only := s.readOnly || !s.many() && !s.create && !s.owning && !s.current.has(writes)
	db, err := s.openAs(only)
	if s.many() && errors.Is(err, ebb.ErrLocked) {
		s.owner = err
		fmt.Fprintf(s.stderr, "%v\nreading only, what was written up to now; 'refresh' shows what was since\n", err)
		db, err = s.openAs(true)
	}
	if err != nil {
		return nil, err
	}
	s.db = db
	return db, nil
}

// opened says how a database was opened, and what was found.
type opened struct {
	readOnly bool
	found    ebb.Recovered
}

func (s *session) openAs(readOnly bool) (*ebb.DB, error) {
	found := make(chan ebb.Recovered, 1)
	db, err := ebb.Open(s.dir, &ebb.Options{
		ReadOnly: readOnly, ExpiryEvents: s.expiries && !readOnly, Memory: memoryBudget, Sync: s.syncPolicy(),
		Logger: s.notices.logger(),
		OnEvent: func(e ebb.Event) {
			if r, ok := e.(ebb.Recovered); ok { // each Open tells it once
				found <- r
			}
		},
	})
	if err == nil {
		s.opened = opened{readOnly, <-found}
	}
	return db, err
}

// checkExists refuses a directory that holds nothing.
func checkExists(dir string) error {
	entries, err := os.ReadDir(dir)
	if err == nil && len(entries) == 0 {
		err = fmt.Errorf("open %s: %w: the directory is empty", dir, ebb.ErrNotDatabase)
	}
	return err
}

// read calls do with what reads see: the snapshot in use, or the database as it is now.
func (s *session) read(do func(*ebb.Snapshot) error) error {
	if s.using != "" {
		return do(s.snapshots[s.using])
	}
	db, err := s.open()
	if err != nil {
		return err
	}
	now, err := db.Snapshot()
	if err != nil {
		return err
	}
	defer now.Close()
	return do(now)
}

// write calls do with the database. It refuses while the session looks at the past, where the effect would not show, and
// inside a batch what a batch cannot hold.
func (s *session) write(do func(*ebb.DB) error) error {
	if s.batch != nil {
		return fmt.Errorf("%s does not go into a batch: commit or discard it first", s.current.name)
	}
	if s.using != "" {
		return fmt.Errorf("snapshot %s is in use, which nothing can write to: 'use now' first", s.using)
	}
	db, err := s.open()
	if err != nil {
		return err
	}
	if s.owner != nil {
		return fmt.Errorf("this session only reads: %w", s.owner)
	}
	return do(db)
}

// close lets go of the database. What a batch holds that was not committed is lost, which is an error.
func (s *session) close() error {
	for _, snapshot := range s.snapshots {
		snapshot.Close()
	}
	clear(s.snapshots)
	s.using = ""
	var err error
	if s.batch != nil && s.batch.Len() > 0 {
		err = fmt.Errorf("a batch of %s was not committed and is discarded", plural(s.batch.Len(), "operation"))
	}
	s.batch = nil
	if s.db == nil {
		return err
	}
	if closed := s.db.Close(); closed != nil {
		err = errors.Join(err, fmt.Errorf("close %s: %w", s.dir, closed))
	}
	s.db = nil
	return err
}

// remaining returns what is left at now until a deadline, in words; empty if there is none.
func remaining(deadline int64, now time.Time) string {
	if deadline == 0 {
		return ""
	}
	return coarse(time.UnixMilli(deadline).Sub(now))
}

// coarse drops the digits of a duration that nobody reads.
func coarse(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%.1f days", d.Hours()/24)
	case d >= time.Hour:
		return d.Round(time.Second).String()
	case d >= time.Second:
		return d.Round(100 * time.Millisecond).String()
	case d >= time.Millisecond:
		return d.Round(100 * time.Microsecond).String()
	}
	return d.String()
}
