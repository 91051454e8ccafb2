package resp

import (
	"crypto/subtle"
	"fmt"
	"math"
)

const connFlags = flagNoScript | flagLoading | flagStale

func connectionCommands() []*command {
	return grouped("connection", []*command{
		{name: "ping", arity: -1, flags: flagFast | flagSubs, since: "1.0.0", cost: "O(1)",
			summary: "Returns the server's liveliness response.", conn: ping},
		{name: "echo", arity: 2, flags: flagFast | flagLoading | flagStale, since: "1.0.0", cost: "O(1)",
			summary: "Returns the given string.", conn: func(c *client, args [][]byte) { c.out.bulk(args[1]) }},
		{name: "hello", arity: -1, flags: connFlags | flagFast | flagNoAuth, since: "6.0.0", cost: "O(1)",
			summary: "Handshakes with the server.", conn: hello},
		{name: "auth", arity: -2, flags: connFlags | flagFast | flagNoAuth, since: "1.0.0",
			cost:    "O(N) where N is the number of passwords defined for the user",
			summary: "Authenticates the connection.", conn: auth},
		{name: "select", arity: 2, flags: flagLoading | flagStale | flagFast, since: "1.0.0", cost: "O(1)",
			summary: "Changes the selected database.", conn: selectDB},
		{name: "quit", arity: -1, flags: connFlags | flagFast | flagNoAuth | flagSubs | flagNow, since: "1.0.0", cost: "O(1)",
			summary: "Closes the connection.", conn: func(c *client, _ [][]byte) {
				c.out.ok()
				c.err = errQuit
			}},
		{name: "reset", arity: 1, flags: connFlags | flagFast | flagNoAuth | flagSubs | flagNow, since: "6.2.0", cost: "O(1)",
			summary: "Resets the connection.", conn: reset},
		clientCommand(),
	})
}

func ping(c *client, args [][]byte) {
	if len(args) > 2 {
		c.out.err("ERR wrong number of arguments for 'ping' command")
		return
	}
	switch {
	case c.subs.len() > 0 && !c.out.resp3:
		c.out.array(2)
		c.out.bulkString("pong")
		if len(args) == 2 {
			c.out.bulk(args[1])
		} else {
			c.out.bulkString("")
		}
	case len(args) == 2:
		c.out.bulk(args[1])
	default:
		c.out.simple("PONG")
	}
}

func selectDB(c *client, args [][]byte) {
	if refusal := checkDB(args[1]); refusal != "" {
		c.out.err(refusal)
		return
	}
	c.out.ok()
}

// checkDB says why there is no database of a number; there is database 0.
func checkDB(arg []byte) (refusal string) {
	n, ok := parseInt(arg)
	switch {
	case !ok:
		return errNotInteger
	case n < math.MinInt32 || n > math.MaxInt32:
		return "ERR value is out of range, value must between -2147483648 and 2147483647"
	case n != 0:
		return "ERR DB index is out of range"
	}
	return ""
}

func auth(c *client, args [][]byte) {
	if len(args) > 3 {
		c.out.err(errSyntax)
		return
	}
	user := []byte("default")
	if len(args) == 3 {
		user = args[1]
	} else if c.srv.settings.password() == "" {
		c.out.err("ERR AUTH <password> called without any password configured for the default user. Are you sure your " +
			"configuration is correct?")
		return
	}
	if c.authenticate(user, args[len(args)-1]) {
		c.out.ok()
	}
}

// authenticate checks a password, and replies with an error if it is wrong. Where there is none, any will do.
func (c *client) authenticate(user, password []byte) bool {
	want := c.srv.settings.password()
	good := subtle.ConstantTimeCompare(password, []byte(want)) == 1 || want == ""
	if string(user) != "default" || !good {
		c.out.err("WRONGPASS invalid username-password pair or user is disabled.")
		return false
	}
	c.authed = true
	c.rd.open = true
	return true
}

func hello(c *client, args [][]byte) {
	version := int64(2)
	if c.out.resp3 {
		version = 3
	}
	next := 1
	if len(args) > 1 {
		var ok bool
		if version, ok = parseInt(args[1]); !ok {
			c.out.err("ERR Protocol version is not an integer or out of range")
			return
		}
		if version < 2 || version > 3 {
			c.out.err("NOPROTO unsupported protocol version")
			return
		}
		next = 2
	}
	var user, password, name []byte
	for ; next < len(args); next++ {
		left := len(args) - next - 1
		switch {
		case equalFold(args[next], "auth") && left >= 2:
			user, password = args[next+1], args[next+2]
			next += 2
		case equalFold(args[next], "setname") && left >= 1:
			if name = args[next+1]; !validName(name) {
				c.out.err("ERR " + errClientName)
				return
			}
			next++
		default:
			c.out.err(fmt.Sprintf("ERR Syntax error in HELLO option '%.128s'", printable(args[next])))
			return
		}
	}
	if user != nil && !c.authenticate(user, password) {
		return
	}
	if !c.authed {
		c.out.err("NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> " +
			"<pass> option can be used to authenticate the client and select the RESP protocol version at the same time")
		return
	}
	if name != nil {
		c.about.setName(string(name))
	}
	c.speak(version)
	c.sayHello(version)
}

// speak sets the version of the protocol.
func (c *client) speak(version int64) {
	c.out.resp3 = version == 3
	c.about.resp.Store(int32(version))
}

func (c *client) sayHello(version int64) {
	c.out.mapOf(7)
	c.out.bulkString("server")
	c.out.bulkString("redis") // which clients look for
	c.out.bulkString("version")
	c.out.bulkString(redisVersion)
	c.out.bulkString("proto")
	c.out.int(version)
	c.out.bulkString("id")
	c.out.int(c.id)
	c.out.bulkString("mode")
	c.out.bulkString("standalone")
	c.out.bulkString("role")
	c.out.bulkString("master")
	c.out.bulkString("modules")
	c.out.array(0)
}

func reset(c *client, _ [][]byte) {
	c.discard()
	c.unsubscribeAll()
	c.speak(2)
	c.authed = c.srv.settings.password() == ""
	c.rd.open = c.authed
	c.about.setName("")
	c.muted = replyOn
	c.noTouch = false
	c.about.noEvict.Store(false)
	c.out.simple("RESET")
}

// help returns the subcommand HELP of a command.
func help(name, since string, lines ...string) *command {
	return &command{name: "help", arity: 2, flags: flagLoading | flagStale, since: since, cost: "O(1)",
		summary: "Returns helpful text about the different subcommands.", conn: func(c *client, _ [][]byte) {
			c.out.array(len(lines) + 3)
			c.out.simple(upper(name) + " <subcommand> [<arg> [value] [opt] ...]. Subcommands are:")
			for _, l := range lines {
				c.out.simple(l)
			}
			c.out.simple("HELP")
			c.out.simple("    Prints this help.")
		}}
}
