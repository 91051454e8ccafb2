package resp

import (
	"io"
	"net"
	"strings"
	"testing"

	"github.com/ebbdb/ebb"
)

// A pipeline of GETs and SETs costs no allocation of the server's own.
func TestAllocs(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for _, c := range []struct {
		name, cmd, reply string
		most             float64 // for 16 commands: the pipe itself takes one
	}{
		{"GET", words("GET", "key"), "$5\r\nvalue\r\n", 1},
		{"GET of nothing", words("GET", "none"), "$-1\r\n", 1},
		{"SET", words("SET", "key", "value"), "+OK\r\n", 2},
		{"SET EX", words("SET", "key", "value", "EX", "100"), "+OK\r\n", 1},
		{"EXISTS", words("EXISTS", "key"), ":1\r\n", 1},
		{"PING", words("PING"), "+PONG\r\n", 1},
		{"INCR", words("INCR", "n"), "", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := serve(t, Options{Sync: ebb.SyncNever}, ebb.Options{Sync: ebb.SyncNever, Memory: 64 << 20})
			if err := f.db.Put([]byte("key"), []byte("value")); err != nil {
				t.Fatal(err)
			}
			client, server := net.Pipe()
			f.srv.ServeConn(server)
			defer client.Close()
			ask := []byte(strings.Repeat(c.cmd, 16))
			reply := make([]byte, max(1, 16*len(c.reply)))
			round := func() {
				if _, err := client.Write(ask); err != nil {
					t.Fatal(err)
				}
				if c.reply == "" { // of any length
					if _, err := client.Read(reply[:cap(reply)]); err != nil {
						t.Fatal(err)
					}
					return
				}
				if _, err := io.ReadFull(client, reply); err != nil {
					t.Fatal(err)
				}
			}
			if c.reply == "" {
				reply = make([]byte, 4096)
			}
			for range 50 {
				round()
			}
			if n := testing.AllocsPerRun(200, round); n > c.most {
				t.Errorf("%v allocations for a pipeline of 16", n)
			}
		})
	}
}
