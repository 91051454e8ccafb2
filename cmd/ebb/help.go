package main

import (
	"context"
	"fmt"
	"io"
	"strings"
)

// overview says how ebb is called.
func overview(w io.Writer) {
	fmt.Fprint(w, `usage: ebb [flags] DIR                a session, or commands from a pipe, one a line
       ebb [flags] DIR COMMAND ...    one command; "ebb COMMAND DIR ..." is the same
`)
	list(w, (*command).outside)
	fmt.Fprint(w, "\nflags\n")
	flags := new(globals).flags()
	flags.SetOutput(w)
	flags.PrintDefaults()
	fmt.Fprint(w, `
DIR is the directory of a database. A key or value that begins with a double quote is read as a quoted string, with
\n, \" and \xff for the bytes that are hard to type. 'ebb help COMMAND' tells more; an argument that begins with a
dash goes after "--". Exit code 0: done, 1: failed, 2: not understood, 3: the answer is no.
Commands that only read work beside a process that has the database open. They show what it had written when they
began, synced or not, and nothing of what it writes after.
`)
}

// list lists the commands that keep holds for, by group.
func list(w io.Writer, keep func(*command) bool) {
	for _, g := range groups() {
		title := "\n" + g.title + "\n"
		for _, c := range g.commands {
			if keep(&c) {
				fmt.Fprintf(w, "%s  %-34s %s\n", title, c.line(), c.summary)
				title = ""
			}
		}
	}
}

// help tells about a command, or lists them.
func help(_ context.Context, s *session, args []string) error {
	if len(args) == 0 {
		if s.many() {
			list(s.out, (*command).inSession)
			_, err := fmt.Fprint(s.out, "\n'help COMMAND' tells more. Tab completes commands, flags and keys; Ctrl-C stops a command, Ctrl-D ends.\n")
			return err
		}
		overview(s.out)
		return nil
	}
	c := find(strings.TrimSpace(args[0]))
	if c == nil {
		return unknownCommand(args[0], func(*command) bool { return true })
	}
	f := afterDir
	if s.many() {
		f = ofSession
	}
	p, err := c.parse([]string{"-h"}, f)
	if err != nil {
		return err
	}
	p.usage(s.out)
	return nil
}
