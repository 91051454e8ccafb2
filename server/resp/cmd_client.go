package resp

import (
	"fmt"
	"strings"
	"time"
)

const errClientName = "Client names cannot contain spaces, newlines or special characters."

func clientCommand() *command {
	return &command{name: "client", arity: -2, since: "2.4.0", cost: "Depends on subcommand.",
		summary: "A container for client connection commands.", subs: []*command{
			{name: "id", arity: 2, flags: connFlags, since: "5.0.0", cost: "O(1)",
				summary: "Returns the unique client ID of the connection.",
				conn:    func(c *client, _ [][]byte) { c.out.int(c.id) }},
			{name: "getname", arity: 2, flags: connFlags, since: "2.6.9", cost: "O(1)",
				summary: "Returns the name of the connection.", conn: clientGetName},
			{name: "setname", arity: 3, flags: connFlags, since: "2.6.9", cost: "O(1)",
				summary: "Sets the connection name.", conn: clientSetName},
			{name: "setinfo", arity: 4, flags: connFlags, since: "7.2.0", cost: "O(1)",
				summary: "Sets information specific to the client or connection.", conn: clientSetInfo},
			{name: "info", arity: 2, flags: connFlags, since: "6.2.0", cost: "O(1)",
				summary: "Returns information about the connection.",
				conn:    func(c *client, _ [][]byte) { c.out.text(c.describe(c.srv.opts.Clock()) + "\n") }},
			{name: "list", arity: -2, flags: connFlags | flagAdmin, since: "2.4.0",
				cost:    "O(N) where N is the number of client connections",
				summary: "Lists open connections.", conn: clientList},
			{name: "kill", arity: -3, flags: connFlags | flagAdmin, since: "2.4.0",
				cost:    "O(N) where N is the number of client connections",
				summary: "Terminates open connections.", conn: clientKill},
			{name: "reply", arity: 3, flags: connFlags, since: "3.2.0", cost: "O(1)",
				summary: "Instructs the server whether to reply to commands.", conn: clientReply},
			{name: "no-evict", arity: 3, flags: connFlags | flagAdmin, since: "7.0.0", cost: "O(1)",
				summary: "Sets the client eviction mode of the connection.", conn: clientNoEvict},
			{name: "no-touch", arity: 3, flags: connFlags, since: "7.2.0", cost: "O(1)",
				summary: "Controls whether commands sent by the client affect the LRU/LFU of accessed keys.", conn: clientNoTouch},
			help("client", "5.0.0",
				"GETNAME", "    Return the name of the current connection.",
				"ID", "    Return the ID of the current connection.",
				"INFO", "    Return information about the current client connection.",
				"KILL <ip:port>", "    Kill connection made from <ip:port>.",
				"KILL <option> <value> [<option> <value> [...]]", "    Kill connections. Options are:",
				"    * ADDR (<ip:port>|<unixsocket>:0)", "    * LADDR (<ip:port>|<unixsocket>:0)",
				"    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)", "    * USER <username>", "    * SKIPME (YES|NO)", "    * ID <client-id>",
				"LIST [options ...]", "    Return information about client connections. Options:",
				"    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)", "    * ID <client-id> [<client-id> ...]",
				"NO-EVICT (ON|OFF)", "    Protect current client connection from eviction.",
				"REPLY (ON|OFF|SKIP)", "    Control the replies sent to the current connection.",
				"SETNAME <name>", "    Assign the name <name> to the current connection."),
		}}
}

func (a *about) getName() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.name
}

func (a *about) setName(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.name = name
}

// validName reports whether a name can stand in a line of CLIENT LIST.
func validName(b []byte) bool {
	for _, ch := range b {
		if ch < '!' || ch > '~' {
			return false
		}
	}
	return true
}

func clientGetName(c *client, _ [][]byte) {
	if name := c.about.getName(); name != "" {
		c.out.bulkString(name)
	} else {
		c.out.null()
	}
}

func clientSetName(c *client, args [][]byte) {
	if !validName(args[2]) {
		c.out.err("ERR " + errClientName)
		return
	}
	c.about.setName(string(args[2]))
	c.out.ok()
}

func clientSetInfo(c *client, args [][]byte) {
	a := &c.about
	var field *string
	switch {
	case equalFold(args[2], "lib-name"):
		field = &a.libName
	case equalFold(args[2], "lib-ver"):
		field = &a.libVers
	default:
		c.out.err(fmt.Sprintf("ERR Unrecognized option '%.128s'", printable(args[2])))
		return
	}
	if !validName(args[3]) {
		c.out.err("ERR " + string(printable(args[2])) + " cannot contain spaces, newlines or special characters.")
		return
	}
	a.mu.Lock()
	*field = string(args[3])
	a.mu.Unlock()
	c.out.ok()
}

// describe is the client's line of CLIENT LIST. Any goroutine may call it.
func (c *client) describe(now time.Time) string {
	a := &c.about
	a.mu.Lock()
	name, libName, libVers := a.name, a.libName, a.libVers
	a.mu.Unlock()
	flags := "N"
	switch {
	case a.subs.Load()+a.psubs.Load() > 0:
		flags = "P"
	case a.queued.Load() >= 0:
		flags = "x"
	}
	last := "NULL"
	if cmd := a.last.Load(); cmd != nil {
		last = cmd.full
	}
	active := time.UnixMilli(a.active.Load())
	return fmt.Sprintf("id=%d addr=%s laddr=%s fd=0 name=%s age=%d idle=%d flags=%s db=0 sub=%d psub=%d ssub=0 multi=%d watch=%d "+
		"qbuf=0 qbuf-free=%d argv-mem=0 multi-mem=0 rbs=%d rbp=0 obl=0 oll=0 omem=0 tot-mem=%d events=r cmd=%s user=default "+
		"redir=-1 resp=%d lib-name=%s lib-ver=%s",
		c.id, a.addr, a.laddr, name, int64(now.Sub(a.created)/time.Second), int64(now.Sub(active)/time.Second), flags,
		a.subs.Load(), a.psubs.Load(), a.queued.Load(), a.watching.Load(), a.read.Load(), a.replies.Load(),
		a.read.Load()+a.replies.Load(), last, a.resp.Load(), libName, libVers)
}

// clientFilter is what CLIENT LIST and CLIENT KILL select by.
type clientFilter struct {
	ids         map[int64]bool
	kind        string
	addr, laddr *string
	user        string
	skip        *client
}

func (f *clientFilter) matches(c *client) bool {
	kind := "normal"
	if c.about.subs.Load()+c.about.psubs.Load() > 0 {
		kind = "pubsub"
	}
	switch {
	case f.skip == c, f.ids != nil && !f.ids[c.id], f.kind != "" && f.kind != kind,
		f.addr != nil && *f.addr != c.about.addr,
		f.laddr != nil && *f.laddr != c.about.laddr, f.user != "" && f.user != "default":
		return false
	}
	return true
}

// setKind takes the value of TYPE, or replies with an error.
func (f *clientFilter) setKind(c *client, value []byte) bool {
	kind := string(lowered(value))
	switch kind {
	case "normal", "pubsub", "master", "replica":
	case "slave":
		kind = "replica"
	default:
		c.out.err(fmt.Sprintf("ERR Unknown client type '%.128s'", printable(value)))
		return false
	}
	f.kind = kind
	return true
}

func clientList(c *client, args [][]byte) {
	var f clientFilter
	switch {
	case len(args) == 4 && equalFold(args[2], "type"):
		if !f.setKind(c, args[3]) {
			return
		}
	case len(args) > 3 && equalFold(args[2], "id"):
		f.ids = make(map[int64]bool)
		for _, arg := range args[3:] {
			id, ok := parseInt(arg)
			if !ok {
				c.out.err("ERR Invalid client ID")
				return
			}
			f.ids[id] = true
		}
	case len(args) != 2:
		c.out.err(errSyntax)
		return
	}
	var b strings.Builder
	now := c.srv.opts.Clock()
	for _, other := range c.srv.clients.list() {
		if f.matches(other) {
			b.WriteString(other.describe(now))
			b.WriteByte('\n')
		}
	}
	c.out.text(b.String())
}

func clientKill(c *client, args [][]byte) {
	f := clientFilter{}
	old := len(args) == 3
	if old {
		addr := string(args[2])
		f.addr = &addr
	} else {
		f.skip = c
		if len(args)%2 != 0 {
			c.out.err(errSyntax)
			return
		}
		for i := 2; i < len(args); i += 2 {
			if !f.option(c, args[i], args[i+1]) {
				return
			}
		}
	}
	killed := int64(0)
	for _, other := range c.srv.clients.list() {
		if !f.matches(other) {
			continue
		}
		killed++
		if other == c {
			c.err = errQuit // after this reply
		} else {
			other.kill()
		}
	}
	switch {
	case !old:
		c.out.int(killed)
	case killed == 0:
		c.out.err("ERR No such client")
	default:
		c.out.ok()
	}
}

// option takes an option of CLIENT KILL, or replies with an error.
func (f *clientFilter) option(c *client, name, value []byte) bool {
	switch {
	case equalFold(name, "id"):
		id, ok := parseInt(value)
		if !ok || id <= 0 {
			c.out.err("ERR client-id should be greater than 0")
			return false
		}
		f.ids = map[int64]bool{id: true}
	case equalFold(name, "type"):
		return f.setKind(c, value)
	case equalFold(name, "addr"):
		addr := string(value)
		f.addr = &addr
	case equalFold(name, "laddr"):
		addr := string(value)
		f.laddr = &addr
	case equalFold(name, "user"):
		if string(value) != "default" {
			c.out.err(fmt.Sprintf("ERR No such user '%.128s'", printable(value)))
			return false
		}
		f.user = string(value)
	case equalFold(name, "skipme") && equalFold(value, "yes"):
		f.skip = c
	case equalFold(name, "skipme") && equalFold(value, "no"):
		f.skip = nil
	default:
		c.out.err(errSyntax)
		return false
	}
	return true
}

func clientReply(c *client, args [][]byte) {
	switch {
	case equalFold(args[2], "on"):
		c.muted = replyOn
		c.out.ok()
	case equalFold(args[2], "off"):
		c.muted = replyOff
	case equalFold(args[2], "skip"):
		if c.muted != replyOff {
			c.muted = replySkipNext
		}
	default:
		c.out.err(errSyntax)
	}
}

func clientNoEvict(c *client, args [][]byte) {
	if on, ok := onOff(c, args[2]); ok {
		c.about.noEvict.Store(on)
		c.out.ok()
	}
}

func clientNoTouch(c *client, args [][]byte) {
	if on, ok := onOff(c, args[2]); ok {
		c.noTouch = on
		c.out.ok()
	}
}

func onOff(c *client, arg []byte) (on, ok bool) {
	switch {
	case equalFold(arg, "on"):
		return true, true
	case equalFold(arg, "off"):
		return false, true
	}
	c.out.err(errSyntax)
	return false, false
}
