package main

import (
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// bar shows how far long work has come.
type bar interface {
	Add(n int) error
	Finish() error
}

// progress returns a bar for so many bytes, or with -1 for an unknown number of them. It shows on standard error if that is
// a terminal, and nowhere if not.
func (s *session) progress(total int64, what string) bar {
	if !isTerminal(s.stderr) {
		return noBar{}
	}
	return progressbar.NewOptions64(total, progressbar.OptionSetWriter(s.stderr), progressbar.OptionSetDescription(what),
		progressbar.OptionShowBytes(true), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish(),
		progressbar.OptionSetWidth(30),
		progressbar.OptionSetSpinnerChangeInterval(0)) // otherwise a goroutine of its own reads what Add writes
}

// noBar shows nothing.
type noBar struct{}

func (noBar) Add(int) error { return nil }
func (noBar) Finish() error { return nil }

// isTerminal reports whether a stream is one.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// progressReader counts what is read on a bar.
type progressReader struct {
	io.Reader
	bar bar
}

func (r *progressReader) Read(b []byte) (int, error) {
	n, err := r.Reader.Read(b)
	r.bar.Add(n)
	return n, err
}
