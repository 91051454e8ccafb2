package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"

	"github.com/peterh/liner"
)

func sessionCommands() []command {
	return []command{
		{"timing", "[on|off]", "say after each command how long it took", 0, 1, sessions, plain(timing), ""},
		{"refresh", "", "see what another process has written since, where the session only reads", 0, 0, sessions, plain(refresh), ""},
		{"exit", "", "end the session", 0, 0, sessions, plain(exit), ""},
	}
}

// errExit ends a session.
var errExit = errors.New("exit")

func exit(context.Context, *session, []string) error { return errExit }

func refresh(_ context.Context, s *session, _ []string) error {
	db, err := s.open()
	if err != nil {
		return err
	}
	return db.Refresh()
}

func timing(_ context.Context, s *session, args []string) error {
	switch {
	case len(args) == 0:
		s.timing = !s.timing
	case args[0] == "on" || args[0] == "off":
		s.timing = args[0] == "on"
	default:
		return &usageError{fmt.Errorf("timing is on or off, not %q", args[0]), nil}
	}
	return nil
}

// runMany runs what a person types, or the lines of a pipe.
func (s *session) runMany(ctx context.Context) int {
	s.interactive = isTerminal(s.stdin) && isTerminal(s.out.to)
	s.piped = !s.interactive
	s.current = &command{}
	_, err := s.open() // before the first command, as it may take a while, or fail
	if err != nil {
		return s.fail("", err)
	}
	code := exitOK
	if s.interactive {
		err = s.prompt(ctx)
	} else {
		code, err = s.pipe(ctx)
	}
	if closed := s.close(); err == nil {
		err = closed
	}
	if failed := s.fail("", err); failed != exitOK {
		return failed
	}
	return code
}

// runLine runs one line of a session.
func (s *session) runLine(ctx context.Context, line string) error {
	words, err := split(line)
	if err != nil {
		return &usageError{err, nil}
	}
	if len(words) == 0 {
		return nil
	}
	if words[0] == "quit" {
		words[0] = "exit"
	}
	c := find(words[0])
	if c == nil || !c.inSession() {
		return unknownCommand(words[0], (*command).inSession)
	}
	p, err := c.parse(words[1:], ofSession)
	if err == nil {
		err = p.unquoteArgs()
	}
	if err == nil {
		err = s.runParsed(ctx, p)
	}
	return err
}

// prompt reads lines from the terminal until the user has had enough, or ctx is done.
func (s *session) prompt(ctx context.Context) error {
	// While a command runs Ctrl-C ends that. From its end until the editing mode is set, Ctrl-C must not end the session.
	between := make(chan os.Signal, 1)
	signal.Notify(between, os.Interrupt)
	defer signal.Stop(between)
	// A command runs in the terminal as it was found: what is typed meanwhile shows. Ctrl-C discards what the terminal has
	// buffered, and where it echoes nothing then, Linux leaves a blocked writer asleep.
	found, err := liner.TerminalMode()
	if err != nil {
		return err
	}
	edit := liner.NewLiner()
	defer edit.Close()
	editing, err := editingMode()
	if err != nil {
		return err
	}
	s.ready(edit)
	defer writeHistory(edit)
	fmt.Fprintf(s.out, "%s: 'help' lists the commands\n", s.dir)
	for {
		if err := s.out.Flush(); err != nil {
			return err
		}
		line, err := s.readLines(ctx, edit)
		switch {
		case errors.Is(err, liner.ErrPromptAborted):
			continue
		case err == io.EOF:
			fmt.Fprintln(s.out)
			return s.out.Flush()
		case err != nil:
			return err
		}
		if strings.TrimSpace(line) != "" {
			edit.AppendHistory(oneLine(line))
		}
		interruptible, stop := signal.NotifyContext(ctx, os.Interrupt) // before Ctrl-C is a signal
		if err := found.ApplyMode(); err != nil {
			stop()
			return err
		}
		err = s.runLine(interruptible, line)
		stop()
		if err := editing.ApplyMode(); err != nil {
			return err
		}
		if errors.Is(err, errExit) {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		s.notices.show(s.stderr, err)
		if err != nil {
			s.tell(err)
		}
	}
}

// editingMode makes of the editor's mode the one in which the session prompts and tells errors. Ctrl-C is a key in it. The
// editor itself sets that only after it has shown the prompt: a Ctrl-C before would be a signal, which discards the prompt
// from the terminal's buffer and which the session ignores, and no other prompt would follow.
func editingMode() (liner.ModeApplier, error) {
	if liner.TerminalSupported() { // else the terminal edits the line, and Ctrl-C erases it
		if err := noSignalKeys(); err != nil {
			return nil, err
		}
	}
	return liner.TerminalMode()
}

// ready gives the editor its keys, its completion and its history.
func (s *session) ready(edit *liner.State) {
	edit.SetCtrlCAborts(true)
	edit.SetTabCompletionStyle(liner.TabPrints)
	edit.SetWordCompleter(s.complete)
	readHistory(edit)
}

// tell reports the error of a command and goes on.
func (s *session) tell(err error) {
	if s.json || s.jsonErrors {
		s.failJSON("", err)
		return
	}
	fmt.Fprintln(s.stderr, err)
	if advice := s.advice(err); advice != "" {
		fold(s.stderr, "", advice)
	}
	var usage *usageError
	if errors.As(err, &usage) && usage.command != nil {
		fmt.Fprintf(s.stderr, "usage: %s; 'help %s' tells more\n", usage.command.lineWithFlags(), usage.command.name)
	}
}

// promptText says where the session stands.
func (s *session) promptText() string {
	text := "ebb"
	if s.using != "" && isPlain(s.using) {
		text += "@" + s.using
	}
	if s.batch != nil {
		text += fmt.Sprintf("+%d", s.batch.Len())
	}
	return text + "> "
}

// readLines reads a line, and more of it while a quote is open or a backslash stands by itself at the end.
func (s *session) readLines(ctx context.Context, edit *liner.State) (string, error) {
	line, err := promptUntil(ctx, edit, s.promptText())
	for err == nil {
		_, open := split(line)
		more, carried := strings.CutSuffix(line, `\`)
		carried = open == nil && carried && (more == "" || strings.HasSuffix(more, " "))
		if !carried && !errors.Is(open, errOpenQuote) {
			break
		}
		var next string
		if next, err = promptUntil(ctx, edit, "...> "); carried {
			line = more + next
		} else {
			line += "\n" + next
		}
	}
	if err == io.EOF && line != "" {
		err = liner.ErrPromptAborted // Ctrl-D ends what was begun, not the session
	}
	return line, err
}

// oneLine returns a line that was typed over several as the history can keep it.
func oneLine(line string) string {
	if !strings.Contains(line, "\n") {
		return line
	}
	words, err := split(line)
	if err != nil {
		return ""
	}
	return strings.Join(words, " ")
}

// promptUntil reads a line, unless ctx is done before. Then the process is about to end, and the read stays behind.
func promptUntil(ctx context.Context, edit *liner.State, text string) (line string, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		line, err = edit.Prompt(text)
	}()
	select {
	case <-done:
		return line, err
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

// historyFile returns where the lines of sessions are kept; empty if nowhere.
func historyFile() string {
	if name, ok := os.LookupEnv("EBB_HISTORY"); ok {
		return name
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "ebb", "history")
}

func readHistory(edit *liner.State) {
	if f, err := os.Open(historyFile()); err == nil {
		edit.ReadHistory(f) // what cannot be read is not worth a word
		f.Close()
	}
}

// writeHistory replaces the history, which may hold values and so is for the user alone.
func writeHistory(edit *liner.State) {
	name := historyFile()
	if name == "" || os.MkdirAll(filepath.Dir(name), 0o700) != nil {
		return
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".history-*")
	if err != nil {
		return
	}
	_, err = edit.WriteHistory(f)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		os.Remove(f.Name())
	}
}
