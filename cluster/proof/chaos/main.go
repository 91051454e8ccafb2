package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"time"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "node" {
		if err := runNode(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "chaos node:", err)
			os.Exit(1)
		}
		return
	}
	ok, err := runAll()
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
	if !ok {
		os.Exit(2)
	}
}

// runAll does the runs that the flags say, and reports whether all were as they must be.
func runAll() (ok bool, err error) {
	runs := flag.Int("runs", 1, "how many runs")
	seconds := flag.Float64("seconds", 30, "length of each")
	nodes := flag.Int("nodes", 3, "nodes at the beginning")
	clients := flag.Int("clients", 6, "clients")
	seed := flag.Uint64("seed", uint64(time.Now().UnixNano()), "of the first run; each further one has the next")
	dir := flag.String("dir", "", "in which runs make their directories (default: a temporary one)")
	only := flag.String("only", "", "only faults with this in their name: \"kill leader\" shows how long a failover takes")
	heartbeat := flag.Duration("heartbeat", 400*time.Millisecond, "of raft")
	verbose := flag.Bool("v", false, "tell each fault")
	flag.Parse()
	if *dir == "" {
		if *dir, err = os.MkdirTemp("", "ebb-chaos-"); err != nil {
			return false, err
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	level := slog.LevelError
	if *verbose {
		level = slog.LevelInfo
	}
	good, all := 0, &report{faults: map[string]int{}}
	for i := range uint64(*runs) {
		p := &plan{
			nodes: *nodes, clients: *clients, length: time.Duration(*seconds * float64(time.Second)), seed: *seed + i, dir: *dir,
			log:     slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{Level: level})),
			verdict: time.Minute, only: *only, more: []string{"-heartbeat", heartbeat.String()},
		}
		r, err := p.run(ctx)
		if err != nil {
			return false, fmt.Errorf("seed %d: %w", p.seed, err)
		}
		all.add(r)
		if len(r.problems) == 0 {
			good++
			fmt.Printf("%d/%d seed %d, %d nodes: good: %v\n", i+1, *runs, p.seed, p.nodes, r)
			if err := os.RemoveAll(r.dir); err != nil {
				return false, err
			}
			continue
		}
		fmt.Printf("%d/%d seed %d, %d nodes: BAD: %v\n%s has it all\n", i+1, *runs, p.seed, p.nodes, r, r.dir)
		for _, problem := range r.problems {
			fmt.Println(" ", problem)
		}
	}
	all.index = fmt.Sprint(all.faults)[len("map"):]
	fmt.Printf("%d of %d runs were good: %v\n", good, *runs, all)
	return good == *runs, nil
}
