package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/ebbdb/ebb/bench/store"
	"github.com/ebbdb/ebb/bench/worker"
)

const (
	allStores    = "ebb,pebble,badger,bbolt,goleveldb,buntdb,btree,raw,none"
	allWorkloads = "load,a,b,c,d,e,e2,f,batch,ttl,queue,drain,large,crash"

	largeValue = 16 << 10
	// largeShare is how many records there are for one of the large ones.
	largeShare = 100
)

// The short form: all that there is, small, with two peers.
var short = map[string]string{
	"stores": "ebb,pebble,bbolt,none", "records": "5000", "duration": "300ms", "runs": "1", "threads": "4",
	"ttlmin": "1s", "ttlmax": "2s", "linger": "1500ms", "timeout": "1m",
}

// parse reads the command line.
func parse(args []string, output io.Writer) (*plan, error) {
	p := &plan{args: args, log: output}
	c := &p.config
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(output)
	stores := f.String("stores", allStores, "`names` of the stores, in the order of the report")
	workloads := f.String("workloads", allWorkloads, "`names` of the workloads; they run in an order of their own")
	sync := f.String("sync", "never", "`when` writes are synced: never, or commit, before each returns")
	values := f.String("values", "half", "`kind` of values: half (of each can be compressed) or random")
	f.Uint64Var(&c.Records, "records", 1_000_000, "records; of large values a hundredth")
	f.IntVar(&c.ValueSize, "value", 100, "`bytes` of a value")
	f.IntVar(&c.Threads, "threads", 8, "goroutines that work at once")
	f.IntVar(&c.LoadBatch, "loadbatch", 1, "records in one write of a load")
	f.DurationVar(&c.Duration, "duration", 10*time.Second, "of each phase but a load")
	f.Uint64Var(&c.Ops, "ops", 0, "operations of each phase but a load, instead of -duration")
	f.Uint64Var(&c.Seed, "seed", 1, "of everything that is random")
	f.DurationVar(&c.TTLMin, "ttlmin", time.Second, "shortest life of a record of ttl")
	f.DurationVar(&c.TTLMax, "ttlmax", 30*time.Second, "longest")
	f.Uint64Var(&c.Pace, "pace", 100_000_000, "`bytes` that bounded writes in a second")
	f.DurationVar(&c.Linger, "linger", 10*time.Second, "from the last deadline to the look at what the disk holds")
	f.StringVar(&c.Profile, "profile", "", "`directory` for CPU, heap, mutex and trace profiles of every phase")
	f.IntVar(&p.runs, "runs", 3, "of which the report has the medians")
	f.StringVar(&p.out, "out", "results", "`directory` for the report and, meanwhile, the stores")
	f.DurationVar(&p.timeout, "timeout", 30*time.Minute, "of one process")
	f.BoolFunc("short", "a check that everything works, in a minute: flags after it still count", func(string) error {
		var errs []error
		for name, value := range short {
			errs = append(errs, f.Set(name, value))
		}
		return errors.Join(errs...)
	})
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if f.NArg() > 0 {
		return nil, fmt.Errorf("what is %q?", f.Arg(0))
	}
	var err error
	if c.Commit, err = either("sync", *sync, "commit", "never"); err != nil {
		return nil, err
	}
	if c.Random, err = either("values", *values, "random", "half"); err != nil {
		return nil, err
	}
	if c.Profile != "" {
		if c.Profile, err = filepath.Abs(c.Profile); err != nil {
			return nil, err
		}
	}
	if p.runs < 1 {
		return nil, fmt.Errorf("%d runs", p.runs)
	}
	for _, name := range strings.Split(*stores, ",") {
		info, err := store.Lookup(name)
		if err != nil {
			return nil, err
		}
		p.stores = append(p.stores, info)
	}
	if p.groups, err = worker.Select(strings.Split(*workloads, ",")); err != nil {
		return nil, err
	}
	return p, c.Check()
}

// either reports whether a flag has the one value, and refuses what is not the other.
func either(name, value, one, other string) (bool, error) {
	if value != one && value != other {
		return false, fmt.Errorf("-%s=%s: %s or %s", name, value, one, other)
	}
	return value == one, nil
}
