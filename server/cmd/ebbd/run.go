package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"syscall"

	"github.com/ebbdb/ebb/server/internal/config"
)

// Exit codes, those of the command ebb.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// process is what the operating system gives to a process.
type process struct {
	args, environ  []string
	stdout, stderr io.Writer
	signals        <-chan os.Signal
}

// run does what a process has been asked, and returns its exit code.
func run(p process) int {
	c, err := config.Load(p.args, p.environ)
	switch {
	case errors.Is(err, config.ErrHelp):
		config.Usage(p.stdout)
		return exitDone
	case err == nil && c.Version:
		fmt.Fprintln(p.stdout, "ebbd", version())
		return exitDone
	case err == nil && c.Check:
		return check(p, c)
	case err == nil:
		err = serve(p, c)
	}
	return complain(p, err)
}

// complain says what went wrong, and returns the exit code.
func complain(p process, err error) int {
	if err == nil {
		return exitDone
	}
	fmt.Fprintln(p.stderr, "ebbd:", err)
	if advice := advice(err); advice != "" {
		fmt.Fprintln(p.stderr, advice)
	}
	if usage := new(config.UsageError); errors.As(err, &usage) {
		fmt.Fprintln(p.stderr, "'ebbd -h' lists the flags")
		return exitUsage
	}
	return exitFailed
}

// check says whether a configuration is right, as far as that can be told without starting anything.
func check(p process, c *config.Config) int {
	_, err := c.TLS()
	if err == nil {
		err = checkDir(c)
	}
	if err != nil {
		return complain(p, err)
	}
	for _, w := range c.Warnings() {
		fmt.Fprintln(p.stderr, "warning:", w)
	}
	fmt.Fprintln(p.stdout, "ok")
	return exitDone
}

// checkDir refuses a directory that is a file, or in which a database would have to be made that is not to be.
func checkDir(c *config.Config) error {
	entries, err := os.ReadDir(c.Dir)
	missing := errors.Is(err, os.ErrNotExist)
	switch {
	case errors.Is(err, syscall.ENOTDIR):
		return &config.UsageError{Err: fmt.Errorf("%s is no directory", c.Dir)}
	case !c.Create && (missing || err == nil && len(entries) == 0):
		return fmt.Errorf("%s: there is no database, and create is false", c.Dir)
	case missing:
		return nil
	}
	return err
}

func newLogger(p process, c *config.Config) *slog.Logger {
	o := &slog.HandlerOptions{Level: c.LogLevel}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(p.stderr, o))
	}
	return slog.New(slog.NewTextHandler(p.stderr, o))
}

// version says which ebbd this is.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	if v == "" {
		v = "(devel)"
	}
	return v + " " + info.GoVersion
}
