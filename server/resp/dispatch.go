package resp

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Error texts that clients know.
const (
	errSyntax       = "ERR syntax error"
	errNotInteger   = "ERR value is not an integer or out of range"
	errNotFloat     = "ERR value is not a valid float"
	errNoAuth       = "NOAUTH Authentication required."
	errNoSuchKey    = "ERR no such key"
	errStringTooBig = "ERR string exceeds maximum allowed size (proto-max-bulk-len)"
	errOutOfRange   = "ERR value is out of range, must be positive"
	errExecAbort    = "EXECABORT Transaction discarded because of previous errors."
)

// errCrossProtocol closes a connection of HTTP: a browser that was made to send commands in the body of its request.
var errCrossProtocol = errors.New("resp: HTTP on the port of the Redis protocol, perhaps an attack across protocols")

// dispatch runs a command.
func (c *client) dispatch(args [][]byte) {
	if c.muted == replySkipNext {
		c.muted = replySkip
	}
	mark := len(c.out.b)
	cmd, refusal := c.find(args)
	if cmd == nil && (equalFold(args[0], "post") || equalFold(args[0], "host:")) {
		c.err = errCrossProtocol
		return
	}
	if refusal == "" {
		refusal = c.refuse(cmd, args)
	}
	switch {
	case refusal != "":
		c.reject(cmd, refusal)
	case c.multi != nil && cmd.flags&flagNow == 0:
		c.enqueue(cmd, args)
	default:
		c.run(cmd, args, mark)
	}
	c.mute(mark, cmd)
}

// reject says why a command is not run. A transaction that it was meant for fails; a refused EXEC ends it.
func (c *client) reject(cmd *command, refusal string) {
	c.srv.counts.reject(cmd)
	switch {
	case cmd != nil && cmd.flags&flagCommit != 0:
		c.discard()
		refusal = "EXECABORT Transaction discarded because of: " + strings.TrimPrefix(refusal, "ERR ")
	case c.multi != nil:
		c.multi.failed = true
	}
	c.out.err(refusal)
}

// find returns the command or the subcommand that is meant, or why there is none.
func (c *client) find(args [][]byte) (cmd *command, refusal string) {
	cmd = c.srv.table.lookup(args[0])
	if cmd == nil {
		return nil, unknownCommand(args)
	}
	if cmd.subs == nil || len(args) < 2 {
		return cmd, ""
	}
	if sub := cmd.sub(args[1]); sub != nil {
		return sub, ""
	}
	return cmd, fmt.Sprintf("ERR unknown subcommand '%.128s'. Try %s HELP.", printable(args[1]), upper(cmd.name))
}

func unknownCommand(args [][]byte) string {
	text := fmt.Sprintf("ERR unknown command '%.128s', with args beginning with: ", printable(args[0]))
	list := 0
	for _, arg := range args[1:] {
		if list >= 128 {
			break
		}
		before := len(text)
		text += fmt.Sprintf("'%.*s' ", 128-list, printable(arg))
		list += len(text) - before
	}
	return text
}

// refuse says why a client may not run a command, "" if it may.
func (c *client) refuse(cmd *command, args [][]byte) string {
	switch {
	case !cmd.arityFits(len(args)):
		return "ERR wrong number of arguments for '" + cmd.full + "' command"
	case !c.authed && cmd.flags&flagNoAuth == 0:
		return errNoAuth
	case c.multi != nil && cmd.flags&flagNoMulti != 0:
		return "ERR Command not allowed inside a transaction"
	case !c.out.resp3 && c.subs.len() > 0 && cmd.flags&flagSubs == 0:
		return "ERR Can't execute '" + cmd.full + "': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are " +
			"allowed in this context"
	}
	return ""
}

// run runs a command and counts it.
func (c *client) run(cmd *command, args [][]byte, mark int) {
	c.about.last.Store(cmd)
	switch {
	case cmd.conn != nil:
		cmd.conn(c, args)
	case cmd.fast != nil:
		cmd.fast(c, args)
	case cmd.data != nil:
		c.transact(cmd, args)
	default:
		c.out.err("ERR wrong number of arguments for '" + cmd.full + "' command")
	}
	c.bound(mark)
	now := time.Now()
	took := now.Sub(c.began)
	c.began = now
	c.srv.counts.ran(cmd, took, len(c.out.b) > mark && c.out.b[mark] == '-')
	if limit := c.srv.settings.slowerThan(); limit >= 0 && took >= limit && cmd.flags&flagCommit == 0 {
		c.srv.slow.add(c, args, took)
	}
}

// bound replaces a reply that is over the limit by an error.
func (c *client) bound(mark int) {
	if !c.full(mark) {
		return
	}
	c.out.b = append([]byte(nil), c.out.b[:mark]...)
	c.out.err(fmt.Sprintf("ERR reply exceeds the limit of %d bytes", c.srv.opts.MaxReplyBuffer))
	c.srv.counts.largeReplies.Add(1)
	c.srv.opts.Logger.Warn("reply over the limit", "client", c.about.addr, "limit", c.srv.opts.MaxReplyBuffer)
}

// full reports whether the reply that begins at mark is over the limit. What makes long replies asks now and then, and stops.
func (c *client) full(mark int) bool { return len(c.out.b)-mark > c.srv.opts.MaxReplyBuffer }

// mute takes the reply of a command back if the client does not want it. What a subscriber is told is no reply.
func (c *client) mute(mark int, cmd *command) {
	if (c.muted == replyOff || c.muted == replySkip) && (cmd == nil || cmd.flags&flagPush == 0) {
		c.out.b = c.out.b[:min(mark, len(c.out.b))]
	}
	if c.muted == replySkip {
		c.muted = replyOn
	}
}

// printable replaces what would end an error's line. A zero byte ends what Redis shows.
func printable(b []byte) []byte {
	b = upToZero(b)
	clean := make([]byte, len(b))
	for i, ch := range b {
		if ch == '\r' || ch == '\n' {
			ch = ' '
		}
		clean[i] = ch
	}
	return clean
}

func upToZero(b []byte) []byte {
	if end := bytes.IndexByte(b, 0); end >= 0 {
		return b[:end]
	}
	return b
}

func upper(s string) string {
	b := []byte(s)
	for i, ch := range b {
		if ch >= 'a' && ch <= 'z' {
			b[i] = ch - ('a' - 'A')
		}
	}
	return string(b)
}
