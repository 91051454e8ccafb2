package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
	exitNo     = 3 // the answer is no: the key is absent, a condition does not hold
)

// noError is the answer no. Nothing has failed.
type noError struct{ reason string }

func (e *noError) Error() string { return e.reason }

// no returns a noError.
func no(format string, args ...any) error { return &noError{fmt.Sprintf(format, args...)} }

// globals are the flags before a command or a directory.
type globals struct {
	json, time, create, readOnly, expiries, version bool
	sync                                            syncWhen
}

func (g *globals) flags() *flag.FlagSet {
	flags := flag.NewFlagSet("ebb", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.BoolVar(&g.json, "json", false, "write JSON, one object a line")
	flags.BoolVar(&g.time, "time", false, "say how long each command took")
	flags.BoolVar(&g.create, "create", false, "make the database if there is none in DIR")
	flags.BoolVar(&g.readOnly, "readonly", false, "open DIR to read only, and change nothing of it")
	flags.BoolVar(&g.expiries, "expiries", false, "have watch report what expires, which costs: see Options.ExpiryEvents")
	flags.Var(&g.sync, "sync", "`when` a write is on the disk: always, when it has returned, or never,\n"+
		"which is at the end; by default that of a pipe with those that have\ncome together, any other when it has returned")
	flags.BoolVar(&g.version, "version", false, "say which ebb this is")
	return flags
}

// run runs what args ask for and returns the exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	var g globals
	flags := g.flags()
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		overview(stdout)
		return exitOK
	case err != nil:
		fmt.Fprintf(stderr, "ebb: %v\n", err)
		overview(stderr)
		return exitUsage
	case g.create && g.readOnly:
		fmt.Fprintln(stderr, "ebb: -create and -readonly exclude each other")
		return exitUsage
	case g.version:
		return newSession(g, stdin, stdout, stderr).runOnce(ctx, find("version"), nil, afterDir)
	case flags.NArg() == 0:
		overview(stderr)
		return exitUsage
	}
	s := newSession(g, stdin, stdout, stderr)
	args = flags.Args()
	if c := find(args[0]); c != nil && c.outside() {
		f := afterDir
		if c.has(database) {
			f = beforeDir
		}
		return s.runOnce(ctx, c, args[1:], f)
	}
	s.dir = args[0]
	if len(args) == 1 {
		if _, err := os.Stat(s.dir); errors.Is(err, os.ErrNotExist) && !g.create {
			return s.unknown(args[0])
		}
		return s.runMany(ctx)
	}
	c := find(args[1])
	if strings.HasPrefix(args[1], "-") {
		return s.fail("", &usageError{fmt.Errorf("%q comes before DIR, or after a command", args[1]), nil})
	}
	if c == nil || !c.has(database) {
		if _, err := os.Stat(s.dir); errors.Is(err, os.ErrNotExist) && c == nil {
			return s.unknown(args[0])
		}
		return s.fail("", unknownCommand(args[1], func(c *command) bool { return c.has(database) }))
	}
	return s.runOnce(ctx, c, args[2:], afterDir)
}

// unknown reports a first argument that is neither a command nor a directory.
func (s *session) unknown(word string) int {
	return s.fail("", suggest(fmt.Errorf("%q is neither a command nor a directory", word), word, (*command).outside))
}

// unknownCommand returns the error of a command that is none, with what may have been meant.
func unknownCommand(word string, among func(*command) bool) error {
	return suggest(fmt.Errorf("unknown command %q", word), word, among)
}

// suggest adds to an error the command that a word may have been meant for.
func suggest(err error, word string, among func(*command) bool) error {
	if name, ok := nearest(word, names(among)); ok {
		if form, ok := otherForms[strings.ToLower(word)]; ok {
			name = form
		}
		err = fmt.Errorf("%w: did you mean %q?", err, name)
	}
	return &usageError{err, nil}
}

// runOnce runs one command and closes the database.
func (s *session) runOnce(ctx context.Context, c *command, words []string, f form) int {
	p, err := c.parse(words, f)
	if err == nil && !p.help {
		if f == beforeDir {
			s.dir, p.args = p.args[0], p.args[1:]
		}
		if c.has(database) {
			err = p.unquoteArgs()
		}
	}
	if err == nil {
		interruptible, stop := signal.NotifyContext(ctx, os.Interrupt)
		context.AfterFunc(interruptible, stop) // a second Ctrl-C kills
		err = s.runParsed(interruptible, p)
		stop()
	}
	if closed := s.close(); err == nil {
		err = closed
	}
	return s.fail(c.name, err)
}

// runParsed runs a command whose line has been understood.
func (s *session) runParsed(ctx context.Context, p *parsed) error {
	if p.help {
		p.usage(s.out)
		return s.out.Flush()
	}
	defer func(json bool) { s.out.json = json }(s.out.json)
	s.out.json = s.out.json || p.json
	s.jsonErrors = p.json
	s.current = p.command
	start := time.Now()
	err := p.do(ctx, s, p.args)
	took := time.Since(start)
	if !s.piped { // it has its own time for that
		if flushed := s.out.Flush(); err == nil {
			err = flushed
		}
	}
	if err == nil && (s.timing || p.time) {
		fmt.Fprintf(s.stderr, "took %v\n", took.Round(time.Microsecond))
	}
	return err
}

// fail reports an error, if there is one, and returns the exit code for it.
func (s *session) fail(name string, err error) int {
	s.notices.show(s.stderr, err)
	if err == nil {
		return exitOK
	}
	if brokenPipe(err) {
		return exitFailed
	}
	if name != "" {
		name = " " + name
	}
	if s.json || s.jsonErrors {
		s.failJSON(strings.TrimSpace(name), err)
		return exitCode(err)
	}
	fmt.Fprintf(s.stderr, "ebb%s: %v\n", name, err)
	if advice := s.advice(err); advice != "" {
		fold(s.stderr, "", advice)
	}
	var usage *usageError
	if errors.As(err, &usage) {
		if usage.command != nil {
			usage.command.usage(s.stderr)
		} else {
			fmt.Fprintln(s.stderr, "'ebb help' lists the commands.")
		}
	}
	return exitCode(err)
}

// failJSON reports an error as an object on a line.
func (s *session) failJSON(name string, err error) {
	fields := []field{{"error", err}, {"exit", exitCode(err)}}
	if name != "" {
		fields = append(fields, field{"command", name})
	}
	if advice := s.advice(err); advice != "" {
		fields = append(fields, field{"advice", advice})
	}
	if object, err := encodeFields(fields); err == nil {
		fmt.Fprintf(s.stderr, "%s\n", object)
	}
}

func exitCode(err error) int {
	var usage *usageError
	var negative *noError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &negative):
		return exitNo
	}
	return exitFailed
}

// brokenPipe reports whether err says that nobody reads the output any more, which is no news to whom has stopped.
func brokenPipe(err error) bool {
	if errors.Is(err, io.ErrClosedPipe) {
		return true
	}
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return false
	}
	if runtime.GOOS == "windows" {
		return errno == 109 || errno == 232 // ERROR_BROKEN_PIPE, ERROR_NO_DATA
	}
	return errno == syscall.EPIPE
}
