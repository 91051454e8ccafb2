package resp

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/ebbdb/ebb"
)

// docs/REDIS.md has a row for each command that there is, and no other row says that a command is there.
func TestDocumentedCommands(t *testing.T) {
	text, err := os.ReadFile("../../docs/REDIS.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := make(map[string]string)
	for _, m := range regexp.MustCompile("(?m)^\\| `([A-Z. -]+)` \\| (same|differs|not there) \\|").FindAllStringSubmatch(string(text), -1) {
		name := strings.ToLower(strings.Replace(m[1], " ", "|", 1))
		if rows[name] != "" {
			t.Errorf("%s has two rows", name)
		}
		rows[name] = m[2]
	}
	tab := newTable()
	for _, cmd := range tab.all {
		if cmd.group == "ebb" {
			if !strings.Contains(string(text), "| `"+upper(cmd.name)) {
				t.Errorf("%s is not documented", cmd.name)
			}
			continue
		}
		if rows[cmd.full] == "" || rows[cmd.full] == "not there" {
			t.Errorf("%s is there, its row says %q", cmd.full, rows[cmd.full])
		}
		delete(rows, cmd.full)
	}
	for name, says := range rows {
		if says != "not there" {
			t.Errorf("%s is %s, and not in the table of commands", name, says)
		}
	}
}

// Every row of the table of commands is whole, and its arity holds for what runs it.
func TestTable(t *testing.T) {
	f := serve(t, Options{}, ebb.Options{})
	for _, cmd := range f.srv.table.all {
		if cmd.summary == "" || cmd.since == "" || cmd.cost == "" || cmd.group == "" || cmd.arity == 0 {
			t.Errorf("%s lacks something", cmd.full)
		}
		if len(cmd.name) > longestName || cmd.name != strings.ToLower(cmd.name) {
			t.Errorf("%s is not found by its name", cmd.full)
		}
		if (cmd.conn != nil) == (cmd.data != nil) && cmd.subs == nil || cmd.fast != nil && cmd.data == nil {
			t.Errorf("%s is run by both or none", cmd.full)
		}
		if cmd.data != nil && cmd.flags&(flagRead|flagWrite) == 0 {
			t.Errorf("%s neither reads nor writes", cmd.full)
		}
	}
}

// Any command takes any arguments: too many, too few, and of the wrong kind.
func TestAnyArguments(t *testing.T) {
	f := serve(t, Options{MaxRequest: 1 << 20}, ebb.Options{})
	for _, cmd := range f.srv.table.all {
		if cmd.name == "ebb.watch" || cmd.name == "quit" || cmd.name == "multi" {
			continue
		}
		p := f.dial()
		name := strings.Split(cmd.full, "|")
		for _, arg := range []string{"", "0", "-1", "x", "9223372036854775807", "a\x00\r\nb", strings.Repeat("k", 70_000)} {
			for n := range 6 {
				if n > 2 && len(arg) > 1000 {
					break
				}
				args := append([]string(nil), name...)
				for range n {
					args = append(args, arg)
				}
				p.send(words(args...) + words("ECHO", "end of it"))
				for {
					got, err := readReply(p.r)
					if err != nil {
						t.Fatalf("%s, %d times %.20q: %v", cmd.full, n, arg, err)
					}
					if got == `"end of it"` {
						break
					}
					if strings.Contains(got, "Can't execute") {
						p.call("RESET")
						break
					}
				}
				if cmd.full == "client|reply" || cmd.flags&flagPubSub != 0 {
					p.call("RESET")
				}
			}
		}
		_ = p.nc.Close()
	}
	f.dial().expect("PING -> PONG")
}
