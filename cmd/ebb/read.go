package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"iter"

	"github.com/ebbdb/ebb"
)

const aboutRange = `
Without flags the keys are all there are; with PREFIX those that begin with it. -start and -end narrow them to
start <= key < end. Everything is as of the moment the command begins. In a session a list ends when the screen is full,
and says how to go on, unless -limit says how long it may be.`

func readCommands() []command {
	return []command{
		{"get", "KEY", "write the value of a key", 1, 1, database | keyArgs, get,
			"Outside of a session the value is written as it is, with nothing around it. In a session it is quoted, and only\n" +
				"the first part of a long one is shown without -full."},
		{"scan", "[PREFIX]", "list keys with their values and the time they have left", 0, 1, database | keyArgs, scan(true),
			aboutRange},
		{"keys", "[PREFIX]", "list keys", 0, 1, database | keyArgs, scan(false), aboutRange},
		{"count", "[PREFIX]", "count keys", 0, 1, database | keyArgs, count,
			aboutRange + "\n-estimate is good to a few percent of a large range of data at rest; see ebb.DB.EstimateCount."},
		{"ttl", "KEY", "say how long a key has left", 1, 1, database | keyArgs, plain(ttl), ""},
	}
}

// get writes a value.
func get(flags *flag.FlagSet) action {
	long := flags.Bool("l", false, "tell the version and the time left, too")
	full := flags.Bool("full", false, "in a session, show the value whole, however long")
	return func(_ context.Context, s *session, args []string) error {
		return s.read(func(snapshot *ebb.Snapshot) error {
			e, err := snapshot.GetEntry([]byte(args[0]))
			if err != nil {
				return absent(args[0], err)
			}
			if s.out.json || *long {
				return s.out.line(entryText(e, snapshot, len(e.Value))+fmt.Sprintf("\tversion %d", e.Version), entryFields(e, snapshot)...)
			}
			if s.many() {
				if *full {
					return s.out.line(quote(e.Value))
				}
				return s.out.line(quoteUpTo(e.Value, shownValue))
			}
			_, err = s.out.Write(e.Value)
			return err
		})
	}
}

// absent makes ErrNotFound the answer no.
func absent(key string, err error) error {
	if errors.Is(err, ebb.ErrNotFound) {
		return no("there is no key %s", quote([]byte(key)))
	}
	return err
}

// entryText returns an entry as a line, with at most so many bytes of its value.
func entryText(e ebb.Entry, at *ebb.Snapshot, most int) string {
	line := quote(e.Key) + "\t" + quoteUpTo(e.Value, most)
	if e.Deadline != 0 {
		line += "\texpires in " + remaining(e.Deadline, at.Time())
	}
	return line
}

// quoteUpTo quotes a value, with at most so many bytes of it.
func quoteUpTo(value []byte, most int) string {
	if len(value) <= most {
		return quote(value)
	}
	return fmt.Sprintf("%s… (%d bytes)", quote(value[:most]), len(value))
}

func entryFields(e ebb.Entry, at *ebb.Snapshot) []field {
	fields := []field{{"key", e.Key}, {"value", e.Value}, {"version", e.Version}}
	if e.Deadline != 0 {
		fields = append(fields, field{"deadline", e.Deadline}, field{"ttl_ms", e.Deadline - at.Time().UnixMilli()})
	}
	return fields
}

// rangeFlags defines the flags that narrow a range and returns what makes the options, given the arguments.
func rangeFlags(flags *flag.FlagSet) func(args []string) *ebb.IterOptions {
	var o ebb.IterOptions
	flags.Var(bytesFlag{&o.Prefix}, "prefix", "only keys that begin with this `prefix`, as the argument")
	flags.Var(bytesFlag{&o.Start}, "start", "the first `key`, inclusive")
	flags.Var(bytesFlag{&o.End}, "end", "the end, a `key` that is not included")
	flags.IntVar(&o.Limit, "limit", 0, "stop after so `many`; 0 is no limit")
	return func(args []string) *ebb.IterOptions {
		if len(args) > 0 {
			o.Prefix = []byte(args[0])
		}
		return &o
	}
}

const timeFormat = "2006-01-02 15:04:05.000 -0700"

// shownValue is how many bytes of a value a listing shows.
const shownValue = 120

// scan lists entries.
func scan(values bool) func(*flag.FlagSet) action {
	return func(flags *flag.FlagSet) action {
		options := rangeFlags(flags)
		reverse := flags.Bool("reverse", false, "from the last to the first")
		most := shownValue
		size := new(bool)
		if values {
			flags.BoolFunc("full", "show values whole, however long", func(string) error { most = ebb.MaxValueSize; return nil })
		} else {
			flags.BoolVar(size, "l", false, "tell the size of each value, too")
		}
		return func(ctx context.Context, s *session, args []string) error {
			o := options(args)
			o.Reverse, o.KeysOnly = *reverse, !values
			p := s.page(flags)
			return s.each(ctx, o, func(e ebb.Entry, at *ebb.Snapshot) error {
				text, fields := quote(e.Key), []field{{"key", e.Key}}
				switch {
				case values:
					text, fields = entryText(e, at, most), entryFields(e, at)
				case *size:
					text, fields = fmt.Sprintf("%d\t%s", e.ValueSize, text), append(fields, field{"size", e.ValueSize})
				}
				if !p.room(text) {
					return s.cut(p, e.Key, o)
				}
				p.last = append(p.last[:0], e.Key...)
				return s.out.line(text, fields...)
			})
		}
	}
}

// each calls do with the entries of a range, until ctx is done.
func (s *session) each(ctx context.Context, o *ebb.IterOptions, do func(ebb.Entry, *ebb.Snapshot) error) error {
	return s.read(func(at *ebb.Snapshot) error {
		for e, err := range entries(ctx, at, o) {
			if err == nil {
				err = do(e, at)
			}
			if err == errEnough {
				return nil
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// entries is at.Range, ended by ctx.
func entries(ctx context.Context, at *ebb.Snapshot, o *ebb.IterOptions) iter.Seq2[ebb.Entry, error] {
	return func(yield func(ebb.Entry, error) bool) {
		for e, err := range at.Range(o) {
			if err == nil && ctx.Err() != nil {
				yield(ebb.Entry{}, context.Cause(ctx))
				return
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

func count(flags *flag.FlagSet) action {
	options := rangeFlags(flags)
	about := flags.Bool("estimate", false, "say about how many, and how many bytes they have, without reading them")
	return func(ctx context.Context, s *session, args []string) error {
		o := options(args)
		o.KeysOnly = true
		if *about {
			return s.estimate(o)
		}
		n := 0
		if err := s.each(ctx, o, func(ebb.Entry, *ebb.Snapshot) error { n++; return nil }); err != nil {
			return err
		}
		return s.out.line(fmt.Sprint(n), field{"count", n})
	}
}

// estimate says about how much is in a range.
func (s *session) estimate(o *ebb.IterOptions) error {
	if o.Limit != 0 {
		return &usageError{errors.New("-estimate is without -limit: it reads nothing"), nil}
	}
	return s.read(func(at *ebb.Snapshot) error {
		n, err := at.EstimateCount(o)
		if err != nil {
			return err
		}
		size, err := at.EstimateSize(o)
		if err != nil {
			return err
		}
		return s.out.line(fmt.Sprintf("about %d, %d bytes", n, size), field{"count", n}, field{"bytes", size})
	})
}

func ttl(_ context.Context, s *session, args []string) error {
	return s.read(func(snapshot *ebb.Snapshot) error {
		e, err := snapshot.GetEntry([]byte(args[0]))
		if err != nil {
			return absent(args[0], err)
		}
		if e.Deadline == 0 {
			return s.out.line("no deadline", field{"deadline", nil})
		}
		at, _ := e.Expires()
		return s.out.line(fmt.Sprintf("%s, until %s", remaining(e.Deadline, snapshot.Time()), at.Format(timeFormat)),
			field{"deadline", e.Deadline}, field{"ttl_ms", e.Deadline - snapshot.Time().UnixMilli()})
	})
}
