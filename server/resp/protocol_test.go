package resp

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/ebbdb/ebb"
)

// FuzzProtocol sends bytes to a whole server, over a connection of their own. Whatever they are, what comes back is replies of the
// protocol, the connection ends when the client has sent all, the server goes on, and it has not taken more memory for them than
// its limits say.
func FuzzProtocol(f *testing.F) {
	for _, s := range []string{
		"PING\r\n", "SET a b EX 100 NX GET\r\nGET a\r\nTTL a\r\n", "HELLO 3\r\nMULTI\r\nINCR a\r\nEXEC\r\nSCAN 0 MATCH [a-c]* COUNT 9\r\n",
		"SUBSCRIBE a b\r\nUNSUBSCRIBE\r\nPSUBSCRIBE *\r\nPUBLISH a b\r\nPING\r\nRESET\r\n", "WATCH a\r\nDEL a\r\nMULTI\r\nSET a\r\nEXEC\r\n",
		"CONFIG SET notify-keyspace-events KEA\r\nCONFIG GET *\r\nINFO all\r\nCOMMAND DOCS get\r\nCLIENT LIST\r\n",
		"SETRANGE a 65000 x\r\nAPPEND a y\r\nLCS a a IDX\r\nINCRBYFLOAT b 1e308\r\nGETRANGE a 0 -1\r\nDUMP a\r\nRESTORE c 0 x\r\n",
		"EBB.RANGE a z LIMIT 1 REV\r\nEBB.DELRANGE a z\r\nEBB.SIZE\r\nEBB.WATCH 0\r\n", "CLIENT REPLY OFF\r\nGET a\r\nCLIENT KILL ID 1\r\nQUIT\r\n",
		"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$999999999\r\n", "*1000000\r\n$1\r\na\r\n", "*2\r\n$3\r\nGET\r\n$-1\r\n", "\x00\xff\r\n", "POST / HTTP/1.1\r\nHost: a\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	const limit = 64 << 10
	fix := serve(f, Options{MaxRequest: limit, MaxReplyBuffer: limit}, ebb.Options{ExpiryEvents: true})
	f.Fuzz(func(t *testing.T, in []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		replies := talk(t, fix, in)
		runtime.ReadMemStats(&after)
		// Each line may be a command with a reply of the limit's size, made once and written once.
		lines := uint64(strings.Count(string(in), "\n") + 1)
		if took := after.TotalAlloc - before.TotalAlloc; took > 16<<20+lines*8*limit {
			t.Errorf("%d MB were allocated for %d bytes, which got %d", took>>20, len(in), replies)
		}
		if talk(t, fix, []byte("PING\r\n")) != 1 {
			t.Error("the server does not answer")
		}
	})
}

// talk sends bytes, reads all replies, and returns how many.
func talk(t *testing.T, fix *fixture, in []byte) int {
	t.Helper()
	nc, err := net.Dial("tcp", fix.ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(20 * time.Second))
	go func() {
		if _, err := nc.Write(in); err == nil { // which fails where the server has closed
			_ = nc.(*net.TCPConn).CloseWrite()
		}
	}()
	r := bufio.NewReader(nc)
	for n := 0; ; n++ {
		if _, err := r.Peek(1); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatal("the connection does not end")
			}
			return n
		}
		switch _, err := readReply(r); {
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
			return n // cut off
		case err != nil && !errors.As(err, new(*net.OpError)):
			t.Fatalf("reply %d: %v", n, err)
		}
	}
}
