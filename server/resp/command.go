package resp

import "strings"

// flag says what a command is like, as COMMAND INFO tells it.
type flag uint32

const (
	flagWrite flag = 1 << iota
	flagRead
	flagDenyOOM
	flagAdmin
	flagPubSub
	flagNoScript
	flagBlocking
	flagLoading
	flagStale
	flagFast
	flagNoAuth
	flagNoMulti
	flagMovable
	flagDangerous // for its category
	flagCommit    // EXEC, which may write without being a write by its own flags
	flagNow       // runs at once after MULTI
	flagSubs      // allowed to a subscriber in RESP2
	flagPush      // replies even after CLIENT REPLY OFF
)

var flagNames = []struct {
	flag flag
	name string
}{
	{flagWrite, "write"}, {flagRead, "readonly"}, {flagDenyOOM, "denyoom"}, {flagAdmin, "admin"}, {flagPubSub, "pubsub"},
	{flagNoScript, "noscript"}, {flagBlocking, "blocking"}, {flagLoading, "loading"}, {flagStale, "stale"}, {flagFast, "fast"},
	{flagNoAuth, "no_auth"}, {flagNoMulti, "no_multi"}, {flagMovable, "movablekeys"},
}

// keySpec says which arguments are keys: from first to last, which counts from the end if it is negative, each step.
type keySpec struct{ first, last, step int }

var (
	oneKey  = keySpec{1, 1, 1}
	twoKeys = keySpec{1, 2, 1}
	allKeys = keySpec{1, -1, 1}
	pairs   = keySpec{1, -1, 2}
)

// command is a row of the table: all that is known of a command, and what runs it. One of conn, data and subs is there.
type command struct {
	name    string // in lower case
	arity   int    // number of words, its own among them; negative: at least so many
	flags   flag
	keys    keySpec
	group   string
	since   string
	cost    string
	summary string

	conn func(c *client, args [][]byte) // needs no transaction
	data func(x *exec, args [][]byte)   // runs in a transaction
	fast func(c *client, args [][]byte) // does what data does, outside of a transaction; nil: data in one of its own
	subs []*command

	full  string // with its parent: client|list
	index int    // in table.all
}

func (c *command) arityFits(n int) bool {
	if c.arity < 0 {
		return n >= -c.arity
	}
	return n == c.arity
}

// keyArgs returns which arguments are keys, or false if the command has none.
func (c *command) keyArgs(args [][]byte) ([][]byte, bool) {
	k := c.keys
	if k.first == 0 {
		return nil, false
	}
	last := k.last
	if last < 0 {
		last += len(args)
	}
	var keys [][]byte
	for i := k.first; i <= last && i < len(args); i += k.step {
		keys = append(keys, args[i])
	}
	return keys, true
}

// longestName is how long the name of a command is at most.
const longestName = 32

// table is all commands there are: what dispatches, checks and documents them.
type table struct {
	byName map[string]*command
	list   []*command // without subcommands
	all    []*command // with them, by index
}

func newTable() *table {
	t := &table{byName: make(map[string]*command)}
	for _, group := range [][]*command{
		connectionCommands(), stringCommands(), keyCommands(), expiryCommands(), transactionCommands(), pubsubCommands(),
		serverCommands(), ebbCommands(),
	} {
		for _, c := range group {
			t.add(c)
		}
	}
	return t
}

func (t *table) add(c *command) {
	c.full = c.name
	t.byName[c.name] = c
	t.list = append(t.list, c)
	t.index(c)
	for _, sub := range c.subs {
		sub.full = c.name + "|" + sub.name
		sub.group = c.group
		t.index(sub)
	}
}

func (t *table) index(c *command) {
	c.index = len(t.all)
	t.all = append(t.all, c)
}

// lookup finds a command by its name in any case. It allocates nothing.
func (t *table) lookup(name []byte) *command {
	var lower [longestName]byte
	if len(name) > len(lower) {
		return nil
	}
	for i, b := range name {
		if b >= 'A' && b <= 'Z' {
			b += 'a' - 'A'
		}
		lower[i] = b
	}
	return t.byName[string(lower[:len(name)])]
}

// sub finds a subcommand.
func (c *command) sub(name []byte) *command {
	for _, s := range c.subs {
		if equalFold(name, s.name) {
			return s
		}
	}
	return nil
}

// find returns a command or a subcommand by its full name, client|list.
func (t *table) find(name string) *command {
	parent, sub, ok := strings.Cut(name, "|")
	c := t.lookup([]byte(parent))
	if c == nil || !ok {
		return c
	}
	return c.sub([]byte(sub))
}

// equalFold reports whether b is a word in lower case, in any case.
func equalFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i := range b {
		c := b[i]
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}
