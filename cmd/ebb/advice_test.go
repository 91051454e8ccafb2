package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ebbdb/ebb"
)

// What can be done about an error follows it, in lines that fit.
func TestAdvice(t *testing.T) {
	missing, empty := filepath.Join(t.TempDir(), "missing"), t.TempDir()
	for _, c := range []struct {
		command, dir string
		err          error
		want         string // begins so; empty: nothing
	}{
		{"get", "a b", ebb.ErrCorrupt, "'ebb repair \"a b\" NEWDIR' saves"},
		{"restore", "", ebb.ErrCorrupt, ""},
		{"dump", "", ebb.ErrCorrupt, ""},
		{"import", "db", ebb.ErrCorrupt, ""},
		{"backup", "db", ebb.ErrLogTrimmed, "take a full backup"},
		{"watch", "db", ebb.ErrLogTrimmed, "'scan' shows"},
		{"put", "db", ebb.ErrNoSpace, "make room"},
		{"put", "db", ebb.ErrFailed, "end what has"},
		{"get", "db", ebb.ErrVersion, "a newer ebb"},
		{"put", "db", ebb.ErrLocked, "only one process"},
		{"get", missing, fs.ErrNotExist, "'ebb -create " + missing},
		{"get", empty, ebb.ErrNotDatabase, "'ebb -create " + empty},
		{"put", missing, fs.ErrNotExist, ""},
		{"backup", empty, fs.ErrNotExist, ""},
		{"get", "db", errors.New("else"), ""},
	} {
		var stderr strings.Builder
		s := newSession(globals{}, nil, io.Discard, &stderr)
		s.dir, s.current = c.dir, find(c.command)
		err := fmt.Errorf("wrapped: %w", c.err)
		if got := s.advice(err); !strings.HasPrefix(got, c.want) || c.want == "" && got != "" {
			t.Errorf("%s, %v: %q", c.command, c.err, got)
		}
		s.fail(c.command, err)
		if fits(t, stderr.String()); strings.Count(stderr.String(), "wrapped: ") != 1 {
			t.Error(stderr.String())
		}
	}
	runArgs("get", missing, "k", "-json").want(t, exitFailed, "", `"advice":"'ebb -create `)
}

// What the database logs is shown when the command has ended, but for what its error says.
func TestNotices(t *testing.T) {
	var n notices
	log := n.logger().With("dir", "/data/db")
	tell := func() {
		log.Info("nothing")
		log.Warn("disk is full", slog.Int("times", 1))
		log.Error("table damaged", slog.Any("err", errors.New("this one")))
	}
	for _, c := range []struct {
		said error
		want string
	}{
		{nil, "level=WARN msg=\"disk is full\" times=1\nlevel=ERROR msg=\"table damaged\" err=\"this one\"\n"},
		{errors.New("get: this one: and more"), "level=WARN msg=\"disk is full\" times=1\n"},
		{errors.New("another"), "level=WARN msg=\"disk is full\" times=1\nlevel=ERROR msg=\"table damaged\" err=\"this one\"\n"},
	} {
		tell()
		var shown strings.Builder
		n.show(&shown, c.said)
		if n.show(&shown, nil); shown.String() != c.want {
			t.Errorf("%v: %s", c.said, shown.String())
		}
	}
}
