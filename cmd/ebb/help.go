package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// overview says how ebb is called.
func overview(w io.Writer) {
	fmt.Fprint(w, `usage: ebb [flags] DIR               a session, or commands from a pipe
       ebb [flags] DIR COMMAND ...   one; "ebb COMMAND DIR ..." is the same
`)
	list(w, (*command).outside)
	fmt.Fprint(w, "\nflags\n")
	flags := new(globals).flags()
	flags.SetOutput(w)
	flags.PrintDefaults()
	fmt.Fprint(w, `
DIR is the directory of a database. A key or value that begins with a double
quote is read as a quoted string, with \n, \" and \xff for the bytes that are
hard to type. 'ebb help COMMAND' tells more; an argument that begins with a dash
goes after "--".
Exit code 0: done, 1: failed, 2: not understood, 3: the answer is no.
Commands that only read work beside a process that has the database open. They
show what it had written when they began, synced or not, and nothing of what it
writes after.
`)
}

// list lists the commands that keep holds for, by group.
func list(w io.Writer, keep func(*command) bool) {
	for _, g := range groups() {
		title := "\n" + g.title + "\n"
		for _, c := range g.commands {
			if keep(&c) {
				fmt.Fprint(w, title)
				entry(w, c.line(), c.summary)
				title = ""
			}
		}
	}
}

const (
	helpWidth   = 80 // columns
	helpSummary = 26 // where summaries begin
)

// entry writes the line of a command, its summary in a column of its own.
func entry(w io.Writer, line, summary string) {
	if len(line) > helpSummary-4 {
		fmt.Fprintf(w, "  %s\n", line)
		line = ""
	}
	fold(w, fmt.Sprintf("  %-*s", helpSummary-2, line), summary)
}

// fold writes a text in lines of helpWidth, the first behind what it begins with, the others as far to the right. Lines of
// the text are joined; an empty one parts paragraphs.
func fold(w io.Writer, begin, text string) {
	indent := strings.Repeat(" ", utf8.RuneCountInString(begin))
	for i, paragraph := range strings.Split(strings.TrimSpace(text), "\n\n") {
		row := begin
		if i > 0 {
			fmt.Fprintln(w)
			row = indent
		}
		for _, word := range strings.Fields(paragraph) {
			if utf8.RuneCountInString(row)+utf8.RuneCountInString(word) > helpWidth {
				fmt.Fprintln(w, strings.TrimRight(row, " "))
				row = indent
			}
			row += word + " "
		}
		fmt.Fprintln(w, strings.TrimRight(row, " "))
	}
}

// help tells about a command, or lists them.
func help(_ context.Context, s *session, args []string) error {
	if len(args) == 0 {
		if s.many() {
			list(s.out, (*command).inSession)
			_, err := fmt.Fprint(s.out, "\n'help COMMAND' tells more. Tab completes commands, flags and keys;\n"+
				"Ctrl-C stops a command, Ctrl-D ends.\n")
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
