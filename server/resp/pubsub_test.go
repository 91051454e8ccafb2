package resp

import (
	"bufio"
	"strings"
	"testing"
	"time"

	"github.com/ebbdb/ebb"
)

func (f *fixture) advance(d time.Duration) { f.clock.ms.Add(d.Milliseconds()) }

func TestPublish(t *testing.T) {
	f := serve(t, Options{}, ebb.Options{})
	sub, sub3, p := f.dial(), f.dial(), f.dial()
	sub.send(words("SUBSCRIBE", "a", "b"))
	for _, want := range []string{`["subscribe" "a" 1]`, `["subscribe" "b" 2]`} {
		if got := sub.read(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	sub.expect(`PSUBSCRIBE a* -> ["psubscribe" "a*" 3]`)
	sub3.do("HELLO 3")
	sub3.expect(`SUBSCRIBE a -> >["subscribe" "a" 1]`)
	p.expect(`
		PUBLISH a hello -> 3
		PUBLISH none hello -> 0
		PUBSUB CHANNELS -> ["a" "b"]
		PUBSUB NUMSUB a b c -> ["a" 2 "b" 1 "c" 0]
		PUBSUB NUMPAT -> 1
	`)
	for _, want := range []string{`["message" "a" "hello"]`, `["pmessage" "a*" "a" "hello"]`} {
		if got := sub.read(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if got := sub3.read(); got != `>["message" "a" "hello"]` {
		t.Error(got)
	}
	sub3.expect(`
		GET x -> nil
		SET x 1 -> OK
	`)
	const refused = ": only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context"
	sub.expect(`
		GET x -> -ERR Can't execute 'get'` + refused + `
		PING -> ["pong" ""]
		PUNSUBSCRIBE -> ["punsubscribe" "a*" 2]
		UNSUBSCRIBE a -> ["unsubscribe" "a" 1]
		UNSUBSCRIBE b -> ["unsubscribe" "b" 0]
		UNSUBSCRIBE -> ["unsubscribe" nil 0]
		GET x -> "1"
		SUBSCRIBE a -> ["subscribe" "a" 1]
		RESET -> RESET
	`)
	p.expect(`PUBLISH a hello -> 1`)
	if st := f.srv.Stats(); st.Channels != 1 || st.Patterns != 0 {
		t.Errorf("%d channels, %d patterns", st.Channels, st.Patterns)
	}
}

// A message of a transaction leaves when that has been made, a client's own after its reply.
func TestPublishInTransaction(t *testing.T) {
	f := serve(t, Options{}, ebb.Options{})
	p := f.dial()
	p.do("HELLO 3")
	p.expect(`
		SUBSCRIBE foo -> >["subscribe" "foo" 1]
		MULTI -> OK
		PING abc -> QUEUED
		PUBLISH foo bar -> QUEUED
		PUBLISH foo vaz -> QUEUED
		EXEC -> ["abc" 1 1]
	`)
	for _, want := range []string{`>["message" "foo" "bar"]`, `>["message" "foo" "vaz"]`} {
		if got := p.read(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestKeyspaceEvents(t *testing.T) {
	f := serve(t, Options{NotifyKeyspaceEvents: "KEAmn"}, ebb.Options{})
	sub, p := f.dial(), f.dial()
	sub.expect(`PSUBSCRIBE __key*__:* -> ["psubscribe" "__key*__:*" 1]`)
	for _, c := range []struct{ cmd, events string }{
		{"SET a 1", "new set"}, {"SET a 1 EX 10", "set expire"}, {"SET a 2 NX", ""}, {"INCR a", "incrby"}, {"APPEND a 1", "append"},
		{"SETRANGE a 0 9", "setrange"}, {"INCRBYFLOAT a 1", "incrbyfloat"}, {"EXPIRE a 10", "expire"}, {"PERSIST a", "persist"},
		{"EXPIRE a -1", "del"}, {"GET a", "keymiss"}, {"GETSET a 1", "new set"}, {"RENAME a b", "rename_from rename_to"},
		{"COPY b c", "copy_to"}, {"GETDEL c", "del"}, {"DEL b c", "del"}, {"SETEX a 10 1", "new set expire"},
		{"GETEX a PERSIST", "persist"}, {"GETEX a EX 10", "expire"}, {"DELEX a", "del"}, {"UNLINK a", ""},
		{"SETNX a 1", "new set"}, {"MSET a 1", "set"},
	} {
		if got := p.do(c.cmd); strings.HasPrefix(got, "-") {
			t.Fatalf("%s: %s", c.cmd, got)
		}
		for _, event := range strings.Fields(c.events) {
			for _, prefix := range []string{`["pmessage" "__key*__:*" "__keyspace@0__:`, `["pmessage" "__key*__:*" "__keyevent@0__:`} {
				got := sub.read()
				if !strings.HasPrefix(got, prefix) || !strings.Contains(got, event+`"`) {
					t.Fatalf("%s: got %s, want %s", c.cmd, got, event)
				}
			}
		}
	}
	p.expect(`CONFIG SET notify-keyspace-events Eg -> OK`)
	p.do("SET quiet 1")
	p.do("DEL quiet")
	if got := sub.read(); got != `["pmessage" "__key*__:*" "__keyevent@0__:del" "quiet"]` {
		t.Error(got)
	}
}

// Keys that expire are told in the order of their deadlines, once each.
func TestExpiredEvents(t *testing.T) {
	f := serve(t, Options{NotifyKeyspaceEvents: "Ex"}, ebb.Options{ExpiryEvents: true})
	sub, p := f.dial(), f.dial()
	sub.expect(`SUBSCRIBE __keyevent@0__:expired -> ["subscribe" "__keyevent@0__:expired" 1]`)
	p.expect(`
		SET c 1 PX 3000 -> OK
		SET a 1 PX 1000 -> OK
		SET b 1 PX 2000 -> OK
		SET kept 1 PX 1000 -> OK
		PERSIST kept -> 1
	`)
	f.advance(10 * time.Second)
	for _, want := range []string{"a", "b", "c"} {
		if got := sub.read(); got != `["message" "__keyevent@0__:expired" "`+want+`"]` {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	p.expect(`GET kept -> "1"`)
}

// A subscriber that does not read is closed at the limit, and nobody waits for it.
func TestSlowSubscriber(t *testing.T) {
	f := serve(t, Options{MaxReplyBuffer: 1 << 20}, ebb.Options{})
	sub, p := f.dial(), f.dial()
	sub.expect(`SUBSCRIBE a -> ["subscribe" "a" 1]`)
	message := strings.Repeat("x", 100_000)
	for range 1000 {
		if p.call("PUBLISH", "a", message) == "0" {
			break
		}
	}
	if n := f.srv.Stats().SlowSubscribers; n != 1 {
		t.Errorf("%d slow subscribers were closed", n)
	}
}

func TestWatchChanges(t *testing.T) {
	f := serve(t, Options{}, ebb.Options{})
	p := f.dial()
	p.expect("SET a 1 -> OK")
	w := f.dial()
	w.send(words("EBB.WATCH", "1"))
	if got := w.read(); got != "OK" {
		t.Fatal(got)
	}
	p.expect(`
		SET b 2 PX 5000 -> OK
		DEL a -> 1
		EBB.DELRANGE a c -> OK
	`)
	for _, want := range []string{`["put" 1 "a" "1" 0]`, `["put" 2 "b" "2" 1700000005000]`, `["delete" 3 "a"]`,
		`["deleterange" 4 "a" "c"]`} {
		if got := w.read(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	w.send("x")
	if _, err := bufio.NewReader(w.nc).ReadByte(); err == nil {
		t.Error("open after a byte of the watcher")
	}
}
