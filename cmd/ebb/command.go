package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/agnivade/levenshtein"
)

// command is one of those that ebb knows. The same table serves the one-shot form, the session, help and completion.
type command struct {
	name, params, summary string
	minArgs, maxArgs      int // of params; maxArgs < 0: any number
	scope                 scope
	// setup defines the command's flags and returns what runs once they are parsed.
	setup func(*flag.FlagSet) action
	about string // what help says besides; may be empty
}

// action does what a command is for. Arguments come without flags and quotes, as many as the command allows.
type action func(ctx context.Context, s *session, args []string) error

// scope says where a command makes sense, and what it needs.
type scope uint8

const (
	// database commands work on one: they are "ebb DIR NAME", "ebb NAME DIR", or NAME in a session.
	database scope = 1 << iota
	// writes asks for a database that can be written. The others may be given one that is only read.
	writes
	// creates lets the command make the database.
	creates
	// tool commands stand alone: "ebb NAME".
	tool
	// sessions have the command; those for a database they have in any case.
	sessions
	// keyArgs says that the arguments are keys, for completion.
	keyArgs
)

func (c *command) has(s scope) bool { return c.scope&s != 0 }

// inSession reports whether a session has the command.
func (c *command) inSession() bool { return c.has(database | sessions) }

// outside reports whether "ebb NAME" is the command.
func (c *command) outside() bool { return c.has(database | tool) }

// group is a part of the table. Each has a file.
type group struct {
	title    string
	commands []command
}

// groups is the table, in the order in which help lists it.
func groups() []group {
	return []group{
		{"read", readCommands()}, {"write", writeCommands()}, {"batches", batchCommands()}, {"snapshots", snapshotCommands()},
		{"changes", watchCommands()}, {"look inside", inspectCommands()}, {"maintain", maintainCommands()},
		{"copy", copyCommands()}, {"move data", portCommands()},
		{"directory trees", treeCommands()}, {"tools", toolCommands()}, {"session", sessionCommands()},
	}
}

// all is what commands returns.
var all struct {
	sync.Once
	commands []command
}

// commands returns all commands.
func commands() []command {
	all.Do(func() {
		for _, g := range groups() {
			all.commands = append(all.commands, g.commands...)
		}
	})
	return all.commands
}

// find returns the command of a name, nil if there is none.
func find(name string) *command {
	list := commands()
	if i := slices.IndexFunc(list, func(c command) bool { return c.name == name }); i >= 0 {
		return &list[i]
	}
	return nil
}

// otherNames are what other stores and shells call the commands.
var otherNames = map[string]string{
	"set": "put", "setex": "put", "setnx": "put", "add": "put", "exists": "get", "mget": "get", "cat": "get", "decr": "incr",
	"incrby": "incr", "decrby": "incr", "ls": "keys", "list": "keys", "range": "scan", "rm": "del", "delete": "del", "unlink": "del",
	"dbsize": "count", "info": "stats", "stat": "stats", "pexpire": "expire", "expireat": "expire", "touch": "expire",
	"pttl": "ttl", "save": "backup", "bgsave": "backup", "dumpall": "export", "load": "import", "monitor": "watch",
	"subscribe": "watch", "flushall": "delrange", "flushdb": "delrange", "check": "verify", "fsck": "verify", "multi": "begin",
	"exec": "commit",
}

// otherForms are how what other stores have is said here, where the name of a command does not say it.
var otherForms = map[string]string{
	"setex": "put KEY VALUE -ttl 90s", "setnx": "put KEY VALUE -nx", "exists": "get KEY", "decr": "incr KEY -1",
	"decrby":   "incr KEY -5",
	"expireat": "expire KEY -at TIME", "flushall": "delrange START END", "flushdb": "delrange START END",
}

// nearest returns the name that a mistyped one is most likely meant for, and whether there is one: one that begins so, or
// few letters away from it.
func nearest(word string, names []string) (string, bool) {
	word = strings.ToLower(word)
	if n := otherNames[word]; slices.Contains(names, n) {
		return n, true
	}
	best, distance := "", 1+min(2, len(word)*2/3)
	for _, n := range names {
		if len(word) > 1 && strings.HasPrefix(n, word) {
			return n, true
		}
		if d := levenshtein.ComputeDistance(word, n); d < distance {
			best, distance = n, d
		}
	}
	return best, best != ""
}

// names returns the names of the commands that keep holds for.
func names(keep func(*command) bool) []string {
	var list []string
	for _, c := range commands() {
		if keep(&c) {
			list = append(list, c.name)
		}
	}
	return list
}

// plain is the setup of a command without flags.
func plain(a action) func(*flag.FlagSet) action {
	return func(*flag.FlagSet) action { return a }
}

// parsed is a command with its line.
type parsed struct {
	*command
	do    action
	args  []string
	flags *flag.FlagSet
	form  form
	json  bool
	time  bool
	help  bool
}

// form is how a command is called.
type form uint8

const (
	afterDir  form = iota // ebb DIR NAME, or ebb NAME of a tool
	beforeDir             // ebb NAME DIR
	ofSession             // NAME
)

// usageError says that a command was called in a way it does not understand.
type usageError struct {
	err     error
	command *parsed // that was; may be nil
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// parse takes a command's words apart.
func (c *command) parse(words []string, f form) (*parsed, error) {
	extra := 0 // arguments before the command's own
	if f == beforeDir {
		extra = 1
	}
	p := &parsed{command: c, form: f, flags: flag.NewFlagSet(c.name, flag.ContinueOnError)}
	p.flags.SetOutput(io.Discard) // errors and usage are printed elsewhere
	p.flags.BoolVar(&p.json, "json", false, "write JSON, one object a line")
	p.flags.BoolVar(&p.time, "time", false, "say how long it took")
	p.do = c.setup(p.flags)
	args, err := parseFlags(p.flags, words)
	switch {
	case errors.Is(err, flag.ErrHelp):
		p.help = true
		return p, nil
	case err == nil && len(args) < c.minArgs+extra:
		err = errors.New("arguments are missing")
	case err == nil && c.maxArgs >= 0 && len(args) > c.maxArgs+extra:
		err = fmt.Errorf("too many arguments, from %q on", args[c.maxArgs+extra])
	}
	if err != nil {
		return nil, &usageError{err, p}
	}
	p.args = args
	return p, nil
}

// unquoteArgs makes bytes of the arguments.
func (p *parsed) unquoteArgs() error {
	for i, word := range p.args {
		b, err := unquote(word)
		if err != nil {
			return &usageError{err, nil}
		}
		p.args[i] = string(b)
	}
	return nil
}

// parseFlags takes the flags out of args, wherever they stand before a "--", and returns the rest. What begins like a
// negative number is an argument, or the value of the flag before it.
func parseFlags(flags *flag.FlagSet, args []string) ([]string, error) {
	var rest []string
	for len(args) > 0 {
		next := nextNegative(flags, args)
		if next == 0 {
			rest, args = append(rest, args[0]), args[1:]
			continue
		}
		if err := flags.Parse(args[:next]); err != nil {
			return nil, err
		}
		taken := next - flags.NArg()
		if taken > 0 && args[taken-1] == "--" {
			return append(rest, args[taken:]...), nil
		}
		if flags.NArg() > 0 {
			rest = append(rest, flags.Arg(0))
			taken++
		}
		args = args[taken:]
	}
	return rest, nil
}

// nextNegative returns the index of the first argument that begins like a negative number, or the number of arguments.
func nextNegative(flags *flag.FlagSet, args []string) int {
	for i, arg := range args {
		if arg == "--" {
			break
		}
		if isNegative(arg) && (i == 0 || !wantsValue(flags, args[i-1])) {
			return i
		}
	}
	return len(args)
}

func isNegative(arg string) bool {
	return len(arg) > 1 && arg[0] == '-' && '0' <= arg[1] && arg[1] <= '9'
}

// wantsValue reports whether an argument is a flag whose value is the argument after it.
func wantsValue(flags *flag.FlagSet, arg string) bool {
	name, isFlag := strings.CutPrefix(arg, "-")
	f := flags.Lookup(strings.TrimPrefix(name, "-"))
	if !isFlag || f == nil {
		return false
	}
	b, ok := f.Value.(interface{ IsBoolFlag() bool })
	return !ok || !b.IsBoolFlag()
}

// line returns how the command is called.
func (c *command) line() string {
	words := []string{c.name}
	if c.params != "" {
		words = append(words, c.params)
	}
	return strings.Join(words, " ")
}

// lineWithFlags is line with the place of the flags.
func (c *command) lineWithFlags() string {
	return strings.TrimSpace(c.name + " [flags] " + c.params)
}

// usage tells how the command is called and what its flags are.
func (p *parsed) usage(w io.Writer) {
	switch {
	case p.form == ofSession && p.inSession():
		fmt.Fprintf(w, "usage: %s\n", p.lineWithFlags())
	case p.has(database):
		fmt.Fprintf(w, "usage: ebb DIR %s [flags] %s\n       ebb %s [flags] DIR %s\n", p.name, p.params, p.name, p.params)
	case p.has(tool):
		fmt.Fprintf(w, "usage: ebb %s [flags] %s\n", p.name, p.params)
	default:
		fmt.Fprintf(w, "usage in a session: %s\n", p.line())
	}
	fold(w, "", p.summary)
	if p.about != "" {
		fmt.Fprintln(w)
		fold(w, "", p.about)
	}
	fmt.Fprint(w, "\nflags:\n")
	p.flags.SetOutput(w)
	p.flags.PrintDefaults()
}
