package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/ebbdb/ebb"
)

// syncWhen says when writes are on the disk: see the flag -sync.
type syncWhen string

const (
	syncGrouped syncWhen = ""       // those of a pipe as they come together, any other when it has returned
	syncAlways  syncWhen = "always" // when it has returned
	syncNever   syncWhen = "never"  // all when the database is closed
)

// Set implements flag.Value.
func (w *syncWhen) Set(s string) error {
	if *w = syncWhen(s); *w != syncAlways && *w != syncNever {
		return errors.New("it is always or never")
	}
	return nil
}

// String implements flag.Value.
func (w *syncWhen) String() string { return string(*w) }

// syncPolicy returns the policy that the session's database is opened with. Close syncs whatever that is.
func (s *session) syncPolicy() ebb.SyncPolicy {
	if s.sync == syncNever || s.sync == syncGrouped && s.piped {
		return ebb.SyncNever
	}
	return ebb.SyncAlways
}

// groupWriter writes what a pipe answers. What was written before an answer is on the disk when somebody can read that.
type groupWriter struct {
	s *session
	w io.Writer
}

func (g groupWriter) Write(p []byte) (int, error) {
	if err := g.s.syncGroup(); err != nil {
		return 0, err
	}
	return g.w.Write(p)
}

// syncGroup syncs the writes of a pipe that are not.
func (s *session) syncGroup() error {
	if s.db == nil || s.opened.readOnly || !s.piped || s.sync != syncGrouped {
		return nil
	}
	return s.db.Sync()
}

// pipe runs the lines of standard input, up to the first that fails. The answer no is no failure, but the last one is the
// exit code if nothing worse happens.
//
// Lines that are there together are a group: their writes share one sync, before the first of their answers can be read
// and before the pipe is asked for more.
func (s *session) pipe(ctx context.Context) (int, error) {
	code := exitOK
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt)
	defer stop()
	s.out.Reset(groupWriter{s, s.out.to})
	const chunk = 64 << 10 // of lines that are a group
	in := bufio.NewReaderSize(s.input(ctx), chunk)
	for n := 1; ; n++ {
		if err := s.endGroup(in); err != nil {
			return code, err
		}
		line, err := in.ReadString('\n')
		if err != nil && err != io.EOF {
			return code, err
		}
		end := err == io.EOF
		err = s.runLine(ctx, line)
		switch {
		case errors.Is(err, errExit):
			return code, s.out.Flush()
		case exitCode(err) == exitNo:
			code = exitNo
			if err := s.out.Flush(); err != nil { // in order
				return code, err
			}
			fmt.Fprintf(s.stderr, "line %d: %v\n", n, err)
		case err != nil && !brokenPipe(err):
			return code, errors.Join(fmt.Errorf("line %d: %w", n, err), s.out.Flush())
		case err != nil:
			return code, err
		}
		if end {
			return code, s.out.Flush()
		}
		if ctx.Err() != nil {
			return code, context.Cause(ctx)
		}
	}
}

// endGroup ends a group of lines if there is no whole one to read without waiting.
func (s *session) endGroup(in *bufio.Reader) error {
	if next, _ := in.Peek(in.Buffered()); bytes.IndexByte(next, '\n') >= 0 {
		return nil
	}
	if err := s.syncGroup(); err != nil {
		return err
	}
	return s.out.Flush()
}
