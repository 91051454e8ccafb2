package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"sort"
	"time"

	"github.com/ebbdb/ebb"
)

const aboutExpiring = `
It reads every key. A row counts all that expires within a time from now, those of the rows before among them; the last
two count what expires at any time, and what has no deadline. With DURATION the steps end there; -steps makes them even.`

const (
	day  = 24 * time.Hour
	week = 7 * day
	year = 365 * day
)

// roundSteps are the times within which expiring counts, unless it is told otherwise.
var roundSteps = []time.Duration{time.Minute, 10 * time.Minute, time.Hour, 6 * time.Hour, day, week, 30 * day, year}

// expiring counts deadlines. The database's own histograms are estimates for the tables; this is exact.
func expiring(flags *flag.FlagSet) action {
	steps := flags.Int("steps", 0, "divide the time evenly into so many `steps`, not into round ones")
	var prefix []byte
	flags.Var(bytesFlag{&prefix}, "prefix", "only keys that begin with this `prefix`")
	return func(ctx context.Context, s *session, args []string) error {
		if *steps < 0 || *steps > 10000 {
			return &usageError{errors.New("-steps is from 1 to 10000"), nil}
		}
		var within time.Duration
		if len(args) > 0 {
			d, err := parseDuration(args[0])
			if err != nil || d <= 0 {
				return &usageError{fmt.Errorf("%q is no duration such as 90s", args[0]), nil}
			}
			within = d
		}
		return s.read(func(at *ebb.Snapshot) error {
			o := &ebb.IterOptions{Prefix: prefix}
			if within == 0 && *steps > 0 {
				last, err := lastDeadline(ctx, at, o)
				if err != nil {
					return err
				}
				within = max(milliseconds(float64(last-at.Time().UnixMilli())), time.Millisecond)
			}
			c := newDeadlineCount(within, *steps)
			if err := c.read(ctx, at, o); err != nil {
				return err
			}
			return c.print(s.out, within == 0)
		})
	}
}

// lastDeadline returns the latest deadline, 0 if there is none.
func lastDeadline(ctx context.Context, at *ebb.Snapshot, o *ebb.IterOptions) (last int64, err error) {
	keys := *o
	keys.KeysOnly = true
	for e, err := range entries(ctx, at, &keys) {
		if err != nil {
			return 0, err
		}
		last = max(last, e.Deadline)
	}
	return last, nil
}

// deadlineCount counts entries by the time they have left.
type deadlineCount struct {
	edges []time.Duration // ascending
	cells []cell          // by edge: what expires before it, and not before the one before it; the last: later
	never cell            // without a deadline
}

type cell struct {
	keys  int
	bytes int64
}

func (c *cell) add(d cell) { c.keys, c.bytes = c.keys+d.keys, c.bytes+d.bytes }

// newDeadlineCount divides a time, 0 for all there is, into even steps or, with 0, into round ones.
func newDeadlineCount(within time.Duration, steps int) *deadlineCount {
	var edges []time.Duration
	for i := range steps {
		edges = append(edges, within/time.Duration(steps)*time.Duration(i+1))
	}
	if steps == 0 {
		edges = slices.Clone(roundSteps)
		if within > 0 {
			edges = slices.DeleteFunc(edges, func(d time.Duration) bool { return d >= within })
		}
	}
	if within > 0 && steps == 0 {
		edges = append(edges, within)
	} else if within > 0 {
		edges[steps-1] = within
	}
	return &deadlineCount{edges: edges, cells: make([]cell, len(edges)+1)}
}

func (c *deadlineCount) read(ctx context.Context, at *ebb.Snapshot, o *ebb.IterOptions) error {
	now := at.Time().UnixMilli()
	for e, err := range entries(ctx, at, o) {
		if err != nil {
			return err
		}
		one := cell{1, int64(len(e.Key) + len(e.Value))}
		if e.Deadline == 0 {
			c.never.add(one)
			continue
		}
		left := e.Deadline - now // ms: a Duration would not hold the last deadline there is
		i := sort.Search(len(c.edges), func(i int) bool { return left <= c.edges[i].Milliseconds() })
		c.cells[i].add(one)
	}
	return nil
}

// print writes a row for each step, up to the last that counts for anything if the steps are not what was asked for.
func (c *deadlineCount) print(p *printer, untilAll bool) error {
	var all, sum cell
	for _, cell := range c.cells {
		all.add(cell)
	}
	t := p.columns()
	row := func(name string, within any, c cell) error {
		fields := []field{{"within", name}, {"keys", c.keys}, {"size", bytesCount(c.bytes)}}
		if p.json {
			fields = slices.Insert(fields, 1, field{"within_ms", within})
		}
		return t.row(fields...)
	}
	for i, edge := range c.edges {
		if untilAll && sum == all {
			break
		}
		sum.add(c.cells[i])
		if err := row(roundText(edge), edge.Milliseconds(), sum); err != nil {
			return err
		}
	}
	if err := errors.Join(row("any time", nil, all), row("no deadline", nil, c.never)); err != nil {
		return err
	}
	return t.flush()
}

// roundText returns a duration in its largest unit if it is a multiple of that.
func roundText(d time.Duration) string {
	for _, unit := range []struct {
		length time.Duration
		name   string
	}{{year, "year"}, {week, "week"}, {day, "day"}, {time.Hour, "hour"}, {time.Minute, "minute"}, {time.Second, "second"}} {
		if d >= unit.length && d%unit.length == 0 {
			return plural(int64(d/unit.length), unit.name)
		}
	}
	return coarse(d)
}
