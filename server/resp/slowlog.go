package resp

import (
	"fmt"
	"strconv"
	"sync"
	"time"
)

const (
	slowArgs   = 32  // arguments of a command that an entry keeps
	slowLength = 128 // bytes of each
)

// SlowEntry is a command that took long.
type SlowEntry struct {
	ID         int64
	At         time.Time // when it had run
	Took       time.Duration
	Args       []string // shortened; those that hold secrets are left out
	Client     string   // its address
	ClientName string
}

// slowLog keeps the newest commands that took long.
type slowLog struct {
	mu      sync.Mutex
	next    int64       // guarded by mu
	entries []SlowEntry // newest last, guarded by mu
}

func newSlowLog() *slowLog { return new(slowLog) }

func (l *slowLog) add(c *client, args [][]byte, took time.Duration) {
	limit := c.srv.settings.slowLogMax()
	e := SlowEntry{At: c.srv.opts.Clock(), Took: took, Args: slowWords(args), Client: c.about.addr, ClientName: c.about.getName()}
	l.mu.Lock()
	defer l.mu.Unlock()
	e.ID = l.next
	l.next++
	l.entries = append(l.entries, e)
	if over := len(l.entries) - limit; over > 0 {
		l.entries = append([]SlowEntry(nil), l.entries[over:]...)
	}
}

func slowWords(args [][]byte) []string {
	var words []string
	for i, arg := range args {
		if i == slowArgs-1 && len(args) > slowArgs {
			return append(words, fmt.Sprintf("... (%d more arguments)", len(args)-slowArgs+1))
		}
		switch {
		case i > 0 && (equalFold(args[0], "auth") || equalFold(args[0], "hello")):
			words = append(words, "(redacted)")
		case len(arg) > slowLength:
			words = append(words, string(arg[:slowLength])+"... ("+strconv.Itoa(len(arg)-slowLength)+" more bytes)")
		default:
			words = append(words, string(arg))
		}
	}
	return words
}

func (l *slowLog) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.entries)
}

func (l *slowLog) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = nil
}

// newest returns up to n entries, the newest first; all if n is negative.
func (l *slowLog) newest(n int) []SlowEntry {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n < 0 || n > len(l.entries) {
		n = len(l.entries)
	}
	list := make([]SlowEntry, n)
	for i := range list {
		list[i] = l.entries[len(l.entries)-1-i]
	}
	return list
}

// SlowLog returns up to n commands that took longer than slowlog-log-slower-than, the newest first; all if n is negative.
func (s *Server) SlowLog(n int) []SlowEntry { return s.slow.newest(n) }

func slowlogGet(c *client, args [][]byte) {
	n := int64(10)
	if len(args) == 3 {
		var ok bool
		if n, ok = parseInt(args[2]); !ok || n < -1 {
			c.out.err("ERR count should be greater than or equal to -1")
			return
		}
	}
	list := c.srv.slow.newest(int(min(n, 1<<30)))
	c.out.array(len(list))
	for _, e := range list {
		c.out.array(6)
		c.out.int(e.ID)
		c.out.int(e.At.Unix())
		c.out.int(e.Took.Microseconds())
		c.out.array(len(e.Args))
		for _, arg := range e.Args {
			c.out.bulkString(arg)
		}
		c.out.bulkString(e.Client)
		c.out.bulkString(e.ClientName)
	}
}
