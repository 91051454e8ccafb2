package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ebbdb/ebb/bench/measure"
	"github.com/ebbdb/ebb/bench/report"
	"github.com/ebbdb/ebb/bench/store"
	"github.com/ebbdb/ebb/bench/worker"
)

// plan is what the command line asks for.
type plan struct {
	args    []string
	config  worker.Config // but for what differs between processes
	stores  []store.Info
	groups  []worker.Group
	runs    int
	timeout time.Duration
	out     string
	log     io.Writer // progress
}

// run does all of it: every store its turn in every group of every run, each run beginning with another store. Until the
// context ends; what there is then is the report.
func (p *plan) run(ctx context.Context) (*report.Report, error) {
	r := report.New(strings.Join(append([]string{"go", "run", "."}, p.args...), " "), p.stores)
	turns, least := p.expected()
	fmt.Fprintf(p.log, "%d turns of a store, %v and the loads\n", turns, least)
	for n := range p.runs {
		for _, g := range p.groups {
			for i := range p.stores {
				info := p.stores[(i+n)%len(p.stores)]
				c, ok := p.turn(info, g, n)
				if !ok {
					continue
				}
				run, err := p.take(ctx, c, info)
				if err != nil {
					return r, err
				}
				fmt.Fprintf(p.log, "run %d, %-5s %-9s %6.1f s  %s\n", n+1, g.Name, info.Name, run.Seconds, run.Error)
				r.Runs = append(r.Runs, run)
			}
		}
	}
	return r, nil
}

// expected returns how many turns there are, and how long they take without loads, opening and closing, which depend on the
// machine.
func (p *plan) expected() (turns int, least time.Duration) {
	for n := range p.runs {
		for _, g := range p.groups {
			for _, info := range p.stores {
				c, ok := p.turn(info, g, n)
				if !ok {
					continue
				}
				turns++
				for _, phase := range c.Phases {
					if c.Ops == 0 && !strings.HasSuffix(phase, "load") {
						least += c.Duration
					}
				}
				if g.Name == worker.TTLGroup {
					least += c.TTLMax + c.Linger
				}
			}
		}
	}
	return turns, least
}

// turn returns what a store has to do in a group, if anything.
func (p *plan) turn(info store.Info, g worker.Group, n int) (worker.Config, bool) {
	c := p.config
	c.Mode, c.Store, c.Group, c.Run, c.Phases = worker.Phases, info.Name, g.Name, n, g.Phases
	switch {
	case info.Idle(): // how fast the benchmark itself is need not be known so well
		c.Duration = min(c.Duration, time.Second)
		return c, g.Name == worker.CoreGroup && n == 0
	case info.WriteOnly:
		c.Phases = []string{"load"}
		return c, g.Name == worker.CoreGroup
	case g.Name == worker.CrashGroup:
		return c, !info.Volatile
	case g.Name == worker.LargeGroup:
		c.ValueSize, c.Records, c.LoadBatch = largeValue, max(c.Records/largeShare, 100), 1
	}
	return c, true
}

// take runs the processes of one turn in a fresh directory. Its error is the machine's or the end of the context; a store's is in
// the run.
func (p *plan) take(ctx context.Context, c worker.Config, info store.Info) (run measure.Run, err error) {
	if err := os.MkdirAll(p.out, 0o755); err != nil {
		return run, err
	}
	if c.Dir, err = os.MkdirTemp(p.out, "data-"); err != nil {
		return run, err
	}
	defer func() {
		err = errors.Join(err, os.RemoveAll(c.Dir))
		measure.FlushSystem()
	}()
	start := time.Now()
	if c.Group == worker.CrashGroup {
		run = p.crash(ctx, c)
	} else {
		run = p.spawn(ctx, c)
		if c.Group == worker.CoreGroup && run.Error == "" && !info.Volatile {
			c.Mode = worker.Open
			opened := p.spawn(ctx, c)
			run.OpenTime, run.Error = opened.OpenTime, opened.Error
		}
	}
	run.Seconds = time.Since(start).Seconds()
	return run, ctx.Err()
}

// write writes the report in all its forms, as text to out. Problems are its error.
func (p *plan) write(r *report.Report, out io.Writer) error {
	if err := os.MkdirAll(p.out, 0o755); err != nil {
		return err
	}
	for _, form := range []struct {
		name  string
		write func(io.Writer) error
	}{{"report.json", r.WriteJSON}, {"report.md", r.WriteMarkdown}, {"report.html", r.WriteHTML}} {
		f, err := os.Create(filepath.Join(p.out, form.name))
		if err != nil {
			return err
		}
		if err := errors.Join(form.write(f), f.Close()); err != nil {
			return err
		}
	}
	if err := r.WriteText(out); err != nil {
		return err
	}
	if problems := r.Problems(); len(problems) > 0 {
		return fmt.Errorf("%d problems: see the report", len(problems))
	}
	return nil
}
