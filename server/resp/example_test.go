package resp_test

import (
	"bufio"
	"context"
	"fmt"
	"net"

	"github.com/ebbdb/ebb"
	"github.com/ebbdb/ebb/server/resp"
)

// A database in memory, served on a port that the system chooses, and asked as a person would with a line.
func ExampleServer() {
	db, err := ebb.OpenMemory(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	srv, err := resp.NewServer(resp.NewStore(db), resp.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	go func() { _ = srv.Serve(ln) }() // ErrServerClosed after Shutdown
	defer srv.Shutdown(context.Background())

	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()
	r := bufio.NewReader(conn)
	for _, line := range []string{"SET greeting hello EX 60", "STRLEN greeting", "EXISTS greeting"} {
		fmt.Fprintf(conn, "%s\r\n", line)
		reply, _, err := r.ReadLine()
		fmt.Println(string(reply), err)
	}
	// Output:
	// +OK <nil>
	// :5 <nil>
	// :1 <nil>
}
