// Command ebbd serves an ebb database to clients of Redis.
//
//	ebbd -dir DIR                    serves it at 127.0.0.1:6379, figures and the live page at 127.0.0.1:9379
//	ebbd -dir DIR -check ...         says whether the flags are right
//	ebbd -h                          lists them
//
// SIGTERM and SIGINT end it in order: no connection is taken any more, clients get the replies to what they have sent, and the
// database is closed. A second one ends it at once, which loses nothing that was acknowledged. SIGHUP reads the certificate
// again. It exits with 0 when it has ended in order, 1 when it has not, and 2 when it was asked in a way that it does not
// understand or refuses.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() { os.Exit(runProcess()) }

// runProcess runs the command with the process's arguments, environment and signals.
func runProcess() int {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	signal.Ignore(syscall.SIGPIPE) // a write says so
	return run(process{os.Args[1:], os.Environ(), os.Stdout, os.Stderr, signals})
}
