package judges

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// A permission is a difference between the replies of Redis and ebbd that is meant.
type permission struct {
	why     string
	command string // the first words, in capitals
	equal   func(redis, ebb reply) bool
}

const drift = 3 * time.Second // between two servers that are told the same thing, on a machine that is busy

// permissions is the published list: README.md has it, and a difference that is not in it fails.
var permissions = []permission{
	{"the servers are told at different milliseconds", "TTL", near(int64(drift / time.Second))},
	{"the servers are told at different milliseconds", "PTTL", near(int64(drift / time.Millisecond))},
	{"the servers are told at different milliseconds", "EXPIRETIME", near(int64(drift / time.Second))},
	{"the servers are told at different milliseconds", "PEXPIRETIME", near(int64(drift / time.Millisecond))},
	{"Redis counts what has expired until it is removed", "DBSIZE", notFewer},
	{"any key will do", "RANDOMKEY", sameKind},
	{"keys come in any order from Redis, sorted from ebbd", "KEYS", sameElements},
	{"a cursor is the server's own, and keys come in any order", "SCAN", sameScan},
	{"the server says its name, its version and the connection's number; of a wrong option and a wrong password it tells the " +
		"option first, as Redis does from 7.2 on", "HELLO", sameHello},
	{"there is one encoding", "OBJECT ENCODING", sameKind},
	{"each has commands of its own", "COMMAND", sameKind},
}

func near(tolerance int64) func(a, b reply) bool {
	return func(a, b reply) bool {
		if a.kind != ':' || b.kind != ':' {
			return a.raw == b.raw
		}
		m, _ := strconv.ParseInt(a.text, 10, 64)
		n, _ := strconv.ParseInt(b.text, 10, 64)
		return m == n || m >= 0 && n >= 0 && max(m-n, n-m) <= tolerance
	}
}

func notFewer(redis, ebb reply) bool {
	m, errM := strconv.Atoi(redis.text)
	n, errN := strconv.Atoi(ebb.text)
	return errM == nil && errN == nil && (m >= n || !judgesEbb())
}

func sameKind(a, b reply) bool {
	if a.isError() || b.isError() {
		return a.raw == b.raw
	}
	return a.kind == b.kind && a.null == b.null
}

func sameElements(a, b reply) bool {
	if a.kind != '*' || b.kind != '*' {
		return a.raw == b.raw
	}
	return slices.Equal(sortedRaw(a.elems), sortedRaw(b.elems))
}

func sortedRaw(all []reply) []string {
	var raw []string
	for _, e := range all {
		raw = append(raw, e.raw)
	}
	slices.Sort(raw)
	return raw
}

// sameScan compares the keys where both are done, as with a COUNT above what there is. Where one is not, only the shapes.
func sameScan(a, b reply) bool {
	if a.kind != '*' || b.kind != '*' || len(a.elems) != 2 || len(b.elems) != 2 {
		return a.raw == b.raw
	}
	if a.elems[0].text != "0" || b.elems[0].text != "0" {
		return a.elems[0].kind == b.elems[0].kind && a.elems[1].kind == b.elems[1].kind
	}
	return sameElements(a.elems[1], b.elems[1])
}

// sameHello compares the fields, and permits that of a wrong option and a wrong password the option is told first.
func sameHello(redis, ebb reply) bool {
	return sameFields(redis, ebb) || strings.HasPrefix(redis.text, "WRONGPASS ") && strings.HasPrefix(ebb.text, "ERR Syntax error in HELLO")
}

// sameFields compares the names of the fields, and what is no property of one server.
func sameFields(a, b reply) bool {
	if a.kind != b.kind || len(a.elems) != len(b.elems) || a.isError() {
		return a.raw == b.raw
	}
	for i := 0; i+1 < len(a.elems); i += 2 {
		name := a.elems[i].text
		if name != b.elems[i].text || a.elems[i+1].kind != b.elems[i+1].kind {
			return false
		}
		if !slices.Contains([]string{"server", "version", "id"}, name) && a.elems[i+1].raw != b.elems[i+1].raw {
			return false
		}
	}
	return true
}

// sameReply compares byte by byte what is not permitted to differ.
func sameReply(command []string, a, b reply) bool {
	if a.raw == b.raw {
		return true
	}
	said := strings.ToUpper(strings.Join(command, " ")) + " "
	for _, p := range permissions {
		if strings.HasPrefix(said, p.command+" ") && p.equal(a, b) {
			return true
		}
	}
	return false
}

// A pair is a connection to each of the two servers, which are told the same.
type pair struct {
	redis, ebb *conn
	queued     [][]string
}

func (p *pair) close() {
	p.redis.Close()
	p.ebb.Close()
}

func connect(redis, ebb string) (*pair, error) {
	a, err := dialAddr(redis)
	if err != nil {
		return nil, err
	}
	b, err := dialAddr(ebb)
	if err != nil {
		a.Close()
		return nil, err
	}
	return &pair{redis: a, ebb: b}, nil
}

// do tells both, and returns how they differ.
func (p *pair) do(command []string) error {
	if err := p.redis.send(command...); err != nil {
		return fmt.Errorf("redis: %w", err)
	}
	if err := p.ebb.send(command...); err != nil {
		return fmt.Errorf("ebbd: %w", err)
	}
	a, errA := p.redis.read()
	b, errB := p.ebb.read()
	if errA != nil || errB != nil {
		return fmt.Errorf("redis: %s, %v; ebbd: %s, %v", a, errA, b, errB)
	}
	name := strings.ToUpper(command[0])
	switch {
	case a.raw == "+QUEUED\r\n" && b.raw == a.raw:
		p.queued = append(p.queued, command)
		return nil
	case name == "EXEC" && len(a.elems) == len(p.queued) && len(b.elems) == len(a.elems) && !a.null && !b.null:
		queued := p.queued
		p.queued = nil
		for i, q := range queued {
			if !sameReply(q, a.elems[i], b.elems[i]) {
				return fmt.Errorf("%q in EXEC: redis: %s, ebbd: %s", q, a.elems[i], b.elems[i])
			}
		}
		return nil
	case name == "EXEC" || name == "DISCARD" || name == "RESET":
		p.queued = nil
	}
	if !sameReply(command, a, b) {
		return fmt.Errorf("redis: %s, ebbd: %s", a, b)
	}
	return nil
}

// A step is a command on one of the connections.
type step struct {
	on      int
	command []string
}

const soon = "3" // milliseconds

var (
	protocol = rapid.SampledFrom([]string{"2", "3"})
	steps    = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) step {
		s := step{on: rapid.IntRange(0, 1).Draw(t, "connection")}
		if rapid.IntRange(0, 399).Draw(t, "expire") == 200 {
			s.command = []string{"PEXPIRE", rapid.SampledFrom(someKeys[:3]).Draw(t, "key"), soon}
		} else {
			s.command = command(t)
		}
		return s
	}), 1, 80)
)

// TestDifferential tells Redis and ebbd the same things, over two connections, and compares the replies byte by byte. A history
// that fails is made small by rapid, which prints its seed; -rapid.checks=N makes more histories, -rapid.seed=N one again.
func TestDifferential(t *testing.T) {
	redis := startRedis(t, "--databases", "1")
	ebb := start(t)
	said := 0
	rapid.Check(t, func(t *rapid.T) {
		a, b, all := protocol.Draw(t, "first"), protocol.Draw(t, "second"), steps.Draw(t, "steps")
		n, history, err := differ(redis.addr, ebb.addr, []string{a, b}, all)
		if said += n; err != nil {
			t.Fatalf("%v, after\n%s", err, strings.Join(history, "\n"))
		}
	})
	t.Logf("%d replies were the same", said)
}

// differ goes through a history, from an empty database to what is left at the end, and returns where the two differ.
func differ(redis, ebb string, protocols []string, steps []step) (said int, history []string, err error) {
	var pairs []*pair
	for range protocols {
		p, err := connect(redis, ebb)
		if err != nil {
			return said, history, err
		}
		defer p.close()
		pairs = append(pairs, p)
	}
	say := func(on int, command ...string) {
		if err != nil {
			return
		}
		history = append(history, fmt.Sprintf("%d: %q", on, command))
		err = pairs[on].do(command)
		said++
	}
	say(0, "FLUSHALL")
	for i, version := range protocols {
		say(i, "HELLO", version)
	}
	for _, s := range steps {
		if comparesNow(s.command) || strings.EqualFold(s.command[0], "EXEC") && slices.ContainsFunc(pairs[s.on].queued, comparesNow) {
			time.Sleep(2 * time.Millisecond)
		}
		say(s.on, s.command...)
		if s.command[len(s.command)-1] == soon { // real servers have real clocks: nobody asks before it is over
			time.Sleep(6 * time.Millisecond)
		}
	}
	for i := range protocols {
		say(i, "RESET")
	}
	for _, key := range someKeys { // which makes Redis count no more what has expired
		say(0, "GET", key)
		say(0, "PEXPIRETIME", key)
	}
	say(0, "KEYS", "*")
	return said, history, err
}

// comparesNow reports whether the answer depends on whether a millisecond has passed since the last command: a deadline so far from
// now is later than one that is as far from then, or the same. Before such a command one passes, for both servers.
func comparesNow(command []string) bool {
	name := strings.ToUpper(command[0])
	return (name == "EXPIRE" || name == "PEXPIRE") && slices.ContainsFunc(command, func(arg string) bool {
		return strings.EqualFold(arg, "GT") || strings.EqualFold(arg, "LT")
	})
}

// TestDifferentialTick tells both of deadlines that are as far away as the one before, and later or earlier.
func TestDifferentialTick(t *testing.T) {
	redis := startRedis(t, "--databases", "1")
	ebb := start(t)
	var all []step
	for _, order := range []string{"GT", "lt"} {
		for range 100 {
			all = append(all, step{0, []string{"PSETEX", "c", "1000000", "v"}}, step{0, []string{"PEXPIRE", "c", "1000000", order}})
		}
		all = append(all, step{0, []string{"MULTI"}}, step{0, []string{"PEXPIRE", "c", "1000000", order}}, step{0, []string{"EXEC"}})
	}
	if _, history, err := differ(redis.addr, ebb.addr, []string{"2"}, all); err != nil {
		t.Fatalf("%v, after\n%s", err, strings.Join(history, "\n"))
	}
}

var surveyed = flag.Int("survey", 0, "TestDifferentialSurvey: how many histories")

// TestDifferentialSurvey lists, of many histories, each kind of difference once; -survey N.
func TestDifferentialSurvey(t *testing.T) {
	if *surveyed == 0 {
		t.Skip("a tool for whoever mends ebbd: -survey N")
	}
	redis := startRedis(t, "--databases", "1")
	ebb := start(t)
	seen := make(map[string]int)
	for seed := range *surveyed {
		_, history, err := differ(redis.addr, ebb.addr, []string{protocol.Example(seed), "2"}, steps.Example(seed))
		if err == nil {
			continue
		}
		last := history[len(history)-1]
		kind := strings.ToUpper(strings.Join(strings.Fields(last)[1:2], "")) + err.Error()
		if seen[kind]++; seen[kind] == 1 {
			t.Errorf("%s %v\n\t%s", last, err, strings.Join(history[max(0, len(history)-6):], "\n\t"))
		}
	}
}

// TestDifferentialEvents compares what the same histories publish: keyspace notifications of every class that both have, but those
// of expiry, which Redis publishes when it happens to find what has expired.
func TestDifferentialEvents(t *testing.T) {
	redis := startRedis(t, "--databases", "1")
	ebb := start(t)
	const events = "KEg$"
	for _, addr := range []string{redis.addr, ebb.addr} {
		if r := dial(t, addr).must(t, "CONFIG", "SET", "notify-keyspace-events", events); r.text != "OK" {
			t.Fatal(r)
		}
	}
	messages := 0
	rapid.Check(t, func(t *rapid.T) {
		all := steps.Draw(t, "steps")
		subscribers, err := connect(redis.addr, ebb.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer subscribers.close()
		if err := subscribers.do([]string{"PSUBSCRIBE", "*"}); err != nil {
			t.Fatal(err)
		}
		_, history, err := differ(redis.addr, ebb.addr, []string{"2", "3"}, all)
		if err != nil {
			t.Fatalf("%v, after\n%s", err, strings.Join(history, "\n"))
		}
		last, err := connect(redis.addr, ebb.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer last.close()
		if err := last.do([]string{"PUBLISH", "the end", "of it"}); err != nil {
			t.Fatal(err)
		}
		for {
			a, errA := subscribers.redis.read()
			b, errB := subscribers.ebb.read()
			if errA != nil || errB != nil || a.raw != b.raw {
				t.Fatalf("redis: %s, %v, ebbd: %s, %v, after\n%s", a, errA, b, errB, strings.Join(history, "\n"))
			}
			if messages++; len(a.elems) == 4 && a.elems[2].text == "the end" {
				return
			}
		}
	})
	t.Logf("%d messages were the same", messages)
}

// permittedBytes are bytes after which the two differ, with the reason; what does not differ is to be taken off the list.
var permittedBytes = map[string]string{
	"\x00\x01\x02\r\n":                          "Redis takes a NUL for the end of all that has come",
	"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n": "Redis forgets the replies before the one command that closes the connection",
}

// TestDifferentialBytes sends what clients do not: inline commands, broken lengths, garbage. The servers have to say the same and
// to close the same connections.
func TestDifferentialBytes(t *testing.T) {
	redis := startRedis(t, "--databases", "1")
	ebb := start(t)
	for _, said := range []string{
		"PING\r\n", "PING\n", "ping\r\n", "\r\n", "\n", "   \r\n", "  PING  \r\n", "PING \"hello world\"\r\n", "PING 'it''s'\r\n",
		"PING \"\\x41\\n\"\r\n", "PING \"unbalanced\r\n", "PING 'unbalanced\r\n", "PING \"a\"b\r\n", "SET a b c d\r\n", "GET\r\n",
		"*0\r\n", "*-1\r\n", "*-10\r\n", "*1\r\n$4\r\nPING\r\n", "*1\r\n$4\r\nPING", "*a\r\n", "*\r\n", "*1\r\n$a\r\n", "*1\r\n$-1\r\n",
		"*1\r\nPING\r\n", "*1\r\n:1\r\n", "*2\r\n$4\r\nECHO\r\n+OK\r\n", "*1048577\r\n", "*2147483648\r\n", "*9999999999999999999\r\n",
		"*1\r\n$536870913\r\n", "*1\r\n$9999999999999999999\r\n", "*1\r\n$0\r\n\r\n", "*2\r\n$0\r\n\r\n$1\r\na\r\n", "*1 \r\n$4\r\nPING\r\n",
		"*01\r\n$4\r\nPING\r\n", "*+1\r\n$4\r\nPING\r\n", "*1\r\n$04\r\nPING\r\n", "$4\r\nPING\r\n", "+PING\r\n", ":1\r\n", "-ERR\r\n", "%1\r\n+a\r\n+b\r\n",
		"\x00\x01\x02\r\n", "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "POST / HTTP/1.1\r\n\r\n", "Host: localhost\r\n",
		"*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nPING\r\n*a\r\n*1\r\n$4\r\nPING\r\n", "QUIT\r\nPING\r\n", strings.Repeat("x", 1000) + "\r\n",
		strings.Repeat("x", 70000) + "\r\n", strings.Repeat("x ", 500) + "\r\n",
	} {
		name := said
		if len(name) > 40 {
			name = name[:40] + "..."
		}
		t.Run(strconv.Quote(name), func(t *testing.T) {
			a, b := exchange(t, redis.addr, said), exchange(t, ebb.addr, said)
			why, permitted := permittedBytes[said]
			if permitted && judgesEbb() {
				t.Log(why)
			}
			if (a != b) != (permitted && judgesEbb()) {
				t.Errorf("%.60q: redis: %.200q, ebbd: %.200q", said, a, b)
			}
		})
	}
}

// exchange sends bytes and a command behind them, and returns all that came until its reply or the end of the connection. Where
// the server takes the command for a part of the bytes, it is told that no more will come.
func exchange(t *testing.T, addr, said string) string {
	t.Helper()
	const last = "the last word"
	c := dial(t, addr)
	defer c.Close()
	c.Write(append([]byte(said), encode("ECHO", last)...)) // which may fail where the connection is closed already
	var all []byte
	buffer, silent := make([]byte, 4096), false
	for !strings.HasSuffix(string(all), last+"\r\n") {
		if silent {
			c.SetReadDeadline(time.Now().Add(patience))
		} else {
			c.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		}
		n, err := c.r.Read(buffer)
		all = append(all, buffer[:n]...)
		if errors.Is(err, os.ErrDeadlineExceeded) && !silent {
			silent = true
			c.Conn.(*net.TCPConn).CloseWrite()
		} else if err != nil {
			break // "closed" and "reset by peer" are the same to a client
		}
	}
	return string(all)
}
