// Command bench measures ebb beside other embedded stores: the YCSB core workloads and some of their own that matter to keys
// which expire. Every store runs in fresh processes and directories, takes turns with the others, and has its answers checked.
// See README.md.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/ebbdb/ebb/bench/measure"
	"github.com/ebbdb/ebb/bench/worker"
)

// workerArg is the first argument of the processes that are measured; the second is their worker.Config as JSON.
const workerArg = "worker"

func main() {
	if err := run(os.Args[1:], os.Stdout, os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run writes the report to out, and progress to log.
func run(args []string, out, log io.Writer) error {
	if len(args) == 2 && args[0] == workerArg {
		return work(args[1])
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	p, err := parse(args, log)
	if err != nil {
		return err
	}
	r, err := p.run(ctx)
	if r != nil {
		err = errors.Join(err, p.write(r, out))
	}
	return err
}

// work is the whole life of a process that is measured.
func work(arg string) error {
	var c worker.Config
	if err := json.Unmarshal([]byte(arg), &c); err != nil {
		return err
	}
	var r measure.Run
	switch c.Mode {
	case worker.Crash:
		return worker.RunCrash(c, os.Stdout)
	case worker.Verify:
		r = worker.Verified(c)
	case worker.Open:
		r = worker.Opened(c)
	default:
		r = worker.Run(c)
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}
