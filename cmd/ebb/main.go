// Command ebb looks into an ebb database, changes it, and has the tools around one.
//
//	ebb DIR                     opens a session: help lists the commands
//	ebb DIR get KEY             runs one command; put makes the database if there is none
//	ebb DIR < commands          runs commands from a pipe, one a line
//	ebb help                    lists everything
//
// What writes needs the database for itself, and says who has it if that is another process. What only reads works beside
// that: it shows what had been written when it began. It exits with 0 when it
// has done what it was asked, 1 when it has not, 2 when it was asked in a way that it does not understand, and 3 when the
// answer is no: the key is absent, or a condition does not hold.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() { os.Exit(runProcess()) }

// runProcess runs the command with the process's arguments and streams. SIGTERM and SIGHUP end it in order, with the database
// closed; a second one kills it. What Ctrl-C does is for the command or the session to say.
func runProcess() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	context.AfterFunc(ctx, stop)
	signal.Ignore(syscall.SIGPIPE) // a write says so, and the database is closed
	return run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
}
