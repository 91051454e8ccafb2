package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"runtime"
	"slices"
	"syscall"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// command is one of those that ebb knows.
type command struct {
	name, params, summary string
	minArgs, maxArgs      int
	// setup defines the command's flags and returns what runs once they are parsed.
	setup func(*flag.FlagSet) action
}

// action does what a command is for. Arguments come without flags, as many as the command allows.
type action func(ctx context.Context, e *env, args []string) error

// env is what surrounds a command.
type env struct {
	stdin  io.Reader
	stdout io.Writer // buffered
	stderr io.Writer
}

var commands = []command{
	{"import-tree", "DIR SRC", "import the files below SRC: keys are slash paths, values contents", 2, 2, plain(importTree)},
	{"verify-tree", "DIR SRC", "compare the database with the files below SRC", 2, 2, plain(verifyTree)},
	{"scan", "DIR [PREFIX]", "list keys with the sizes of their values", 1, 2, plain(scan)},
	{"get", "DIR KEY", "write the value of a key to standard output", 2, 2, plain(get)},
	{"put", "DIR KEY [VALUE]", "give a key a value, that of standard input if there is none here", 2, 3, put},
	{"del", "DIR KEY", "delete a key", 2, 2, plain(del)},
	{"verify", "DIR", "read the whole database and check every byte", 1, 1, plain(verify)},
	{"stats", "DIR", "say what the database holds", 1, 1, plain(stats)},
}

// plain is the setup of a command without flags.
func plain(a action) func(*flag.FlagSet) action {
	return func(*flag.FlagSet) action { return a }
}

// run runs the command that args name and returns its exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		usage(stderr)
		return exitUsage
	}
	if slices.Contains([]string{"help", "-h", "-help", "--help"}, args[0]) {
		usage(stdout)
		return exitOK
	}
	i := slices.IndexFunc(commands, func(c command) bool { return c.name == args[0] })
	if i < 0 {
		fmt.Fprintf(stderr, "ebb: unknown command %q\n", args[0])
		usage(stderr)
		return exitUsage
	}
	return commands[i].run(ctx, args[1:], stdin, stdout, stderr)
}

func (c *command) run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet(c.name, flag.ContinueOnError)
	flags.SetOutput(io.Discard) // errors and usage are printed here, each to where it belongs
	do := c.setup(flags)
	args, err := parse(flags, args)
	if errors.Is(err, flag.ErrHelp) {
		c.usage(stdout, flags)
		return exitOK
	}
	if err == nil && len(args) < c.minArgs {
		err = errors.New("arguments are missing")
	}
	if err == nil && len(args) > c.maxArgs {
		err = fmt.Errorf("too many arguments, from %q on", args[c.maxArgs])
	}
	if err != nil {
		fmt.Fprintf(stderr, "ebb %s: %v\n", c.name, err)
		c.usage(stderr, flags)
		return exitUsage
	}

	out := bufio.NewWriter(stdout)
	err = do(ctx, &env{stdin, out, stderr}, args)
	if flushed := out.Flush(); err == nil {
		err = flushed
	}
	if err == nil {
		return exitOK
	}
	if !brokenPipe(err) {
		fmt.Fprintf(stderr, "ebb %s: %v\n", c.name, err)
	}
	return exitFailed
}

// parse takes the flags out of args, wherever they stand before a "--", and returns the rest.
func parse(flags *flag.FlagSet, args []string) ([]string, error) {
	var rest []string
	for {
		if err := flags.Parse(args); err != nil {
			return nil, err
		}
		parsed := len(args) - flags.NArg()
		if flags.NArg() == 0 || parsed > 0 && args[parsed-1] == "--" {
			return append(rest, flags.Args()...), nil
		}
		rest = append(rest, flags.Arg(0))
		args = flags.Args()[1:]
	}
}

func usage(w io.Writer) {
	fmt.Fprint(w, "usage: ebb COMMAND [flags] arguments\n\n")
	for _, c := range commands {
		fmt.Fprintf(w, "  %-28s %s\n", c.name+" "+c.params, c.summary)
	}
	fmt.Fprint(w, "\nDIR is the directory of the database. 'ebb COMMAND -h' tells the flags of a command; an argument that begins\n"+
		"with a dash goes after \"--\".\n")
}

func (c *command) usage(w io.Writer, flags *flag.FlagSet) {
	fmt.Fprintf(w, "usage: ebb %s [flags] %s\n%s\n", c.name, c.params, c.summary)
	flags.SetOutput(w)
	flags.PrintDefaults()
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
