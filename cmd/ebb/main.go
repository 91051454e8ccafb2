// Command ebb looks into an ebb database, and fills one.
//
//	ebb help                    lists the commands
//	ebb put DIR KEY VALUE       makes a database if there is none in DIR
//	ebb get DIR KEY
//
// It needs the database for itself: what another process has open it refuses. It exits with 0 when it has done what it was
// asked, 1 when it has not, and 2 when it was asked in a way that it does not understand.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() { os.Exit(runProcess()) }

// runProcess runs the command with the process's arguments and streams. The first signal ends it in order, with the
// database closed; a second one kills it.
func runProcess() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	signal.Ignore(syscall.SIGPIPE) // a write says so, and the database is closed
	return run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
}
