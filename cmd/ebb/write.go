package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/ebbdb/ebb"
)

const (
	inDatabase = database | writes | keyArgs

	aboutTTL = `
A duration is a number with a unit, as in 90s, 15m, 1h30m, 7d or 2w. 0 is no deadline, a negative one deletes the key.
A time is a date, as in 2006-01-02, or with the time of day, as in "2006-01-02 15:04:05" or 2006-01-02T15:04:05Z.`
)

func writeCommands() []command {
	return []command{
		{"put", "KEY [VALUE]", "give a key a value; outside of a session that of standard input if there is none here", 1, 2,
			inDatabase | creates, put, aboutTTL + "\nOutside of a session it makes the database if there is none."},
		{"del", "KEY...", "delete keys", 1, -1, inDatabase, plain(del), ""},
		{"delrange", "START END", "delete the keys from START up to but not including END", 2, 2, inDatabase, plain(delRange),
			"It costs one record, whatever the range holds."},
		{"expire", "KEY [DURATION]", "give a key a new deadline: after DURATION, or -at a time", 1, 2, inDatabase, expire, aboutTTL},
		{"persist", "KEY", "take the deadline of a key away", 1, 1, inDatabase, plain(persist), ""},
		{"incr", "KEY [DELTA]", "add to a counter, 1 unless told otherwise, and write the sum", 1, 2, inDatabase | creates, incr,
			"A counter is a decimal number as text; an absent key counts as 0. A deadline is kept."},
		{"cas", "KEY OLD NEW", "give a key the value NEW if it has the value OLD", 3, 3, inDatabase, cas, aboutTTL},
	}
}

// options collects the write options that flags ask for.
type options []ebb.WriteOption

// ttl defines -ttl.
func (o *options) ttl(flags *flag.FlagSet) {
	flags.Func("ttl", "let the key expire after a `duration` such as 90s or 12h", func(s string) error {
		d, err := parseDuration(s)
		*o = append(*o, ebb.TTL(d))
		return err
	})
	flags.Func("at", "let the key expire at a `time` such as 2006-01-02, instead of -ttl", func(s string) error {
		t, err := parseTime(s)
		*o = append(*o, ebb.ExpireAt(t))
		return err
	})
}

// on defines a flag that asks for an option.
func (o *options) on(flags *flag.FlagSet, name, usage string, option ebb.WriteOption) {
	flags.BoolFunc(name, usage, func(s string) error {
		on, err := strconv.ParseBool(s)
		if on {
			*o = append(*o, option)
		}
		return err
	})
}

// version defines -version.
func (o *options) version(flags *flag.FlagSet) {
	flags.Func("version", "only if the key has this `version`, 0 for an absent one", func(s string) error {
		v, err := strconv.ParseUint(s, 10, 64)
		*o = append(*o, ebb.IfVersion(v))
		return err
	})
}

// put gives a key a value.
func put(flags *flag.FlagSet) action {
	var opts options
	opts.ttl(flags)
	opts.on(flags, "nx", "only if the key is absent", ebb.IfAbsent)
	opts.on(flags, "xx", "only if the key is present", ebb.IfPresent)
	opts.on(flags, "keepttl", "keep the deadline that the key has", ebb.KeepTTL)
	opts.version(flags)
	return func(ctx context.Context, s *session, args []string) error {
		key := []byte(args[0])
		value, err := s.putValue(ctx, args[1:])
		if err != nil {
			return err
		}
		if s.batch != nil {
			return s.batch.Put(key, value, opts...)
		}
		return s.write(func(db *ebb.DB) error { return held(args[0], db.Put(key, value, opts...)) })
	}
}

// held makes a condition that does not hold, and an absent key, the answer no.
func held(key string, err error) error {
	if errors.Is(err, ebb.ErrConditionFailed) {
		return no("nothing written: the condition on %s does not hold", quote([]byte(key)))
	}
	return absent(key, err)
}

// putValue returns the value that is to be put: the argument, or standard input, which can hold anything.
func (s *session) putValue(ctx context.Context, args []string) ([]byte, error) {
	if len(args) > 0 {
		return []byte(args[0]), nil
	}
	if s.many() {
		return nil, &usageError{errors.New("the value is missing"), nil}
	}
	value, err := io.ReadAll(io.LimitReader(s.input(ctx), ebb.MaxValueSize+1)) // one more than fits tells that it does not
	if err != nil {
		return nil, fmt.Errorf("read the value: %w", err)
	}
	return value, nil
}

func del(_ context.Context, s *session, args []string) error {
	if s.batch != nil {
		for _, key := range args {
			if err := s.batch.Delete([]byte(key)); err != nil {
				return err
			}
		}
		return nil
	}
	return s.write(func(db *ebb.DB) error {
		var b ebb.Batch
		for _, key := range args {
			if err := b.Delete([]byte(key)); err != nil {
				return err
			}
		}
		return db.Apply(&b)
	})
}

func delRange(_ context.Context, s *session, args []string) error {
	if args[0] >= args[1] {
		return fmt.Errorf("no key lies from %s up to %s", quote([]byte(args[0])), quote([]byte(args[1])))
	}
	return s.write(func(db *ebb.DB) error { return db.DeleteRange([]byte(args[0]), []byte(args[1])) })
}

// expire gives a key another deadline.
func expire(flags *flag.FlagSet) action {
	var opts options
	opts.on(flags, "nx", "only if the key has no deadline", ebb.IfNoDeadline)
	opts.on(flags, "xx", "only if the key has a deadline", ebb.IfDeadline)
	opts.on(flags, "gt", "only if the new deadline is later", ebb.IfLater)
	opts.on(flags, "lt", "only if the new deadline is earlier", ebb.IfEarlier)
	var at time.Time
	flags.Func("at", "the deadline itself, a `time`", func(s string) (err error) { at, err = parseTime(s); return err })
	return func(_ context.Context, s *session, args []string) error {
		if (len(args) == 2) == !at.IsZero() {
			return &usageError{errors.New("it takes a duration or -at"), nil}
		}
		d := time.Until(at)
		if d == 0 {
			d = -1 // the time has come; 0 would be no deadline
		}
		if len(args) == 2 {
			var err error
			if d, err = parseDuration(args[1]); err != nil {
				return err
			}
		}
		return s.write(func(db *ebb.DB) error { return held(args[0], db.Expire([]byte(args[0]), d, opts...)) })
	}
}

func persist(_ context.Context, s *session, args []string) error {
	return s.write(func(db *ebb.DB) error { return absent(args[0], db.Persist([]byte(args[0]))) })
}

// incr adds to a counter.
func incr(flags *flag.FlagSet) action {
	var opts options
	opts.ttl(flags)
	return func(_ context.Context, s *session, args []string) error {
		delta := int64(1)
		if len(args) > 1 {
			n, err := strconv.ParseInt(args[1], 10, 64)
			if err != nil {
				return &usageError{fmt.Errorf("%q is no number", args[1]), nil}
			}
			delta = n
		}
		return s.write(func(db *ebb.DB) error {
			sum, err := db.Add([]byte(args[0]), delta, opts...)
			if err != nil {
				return err
			}
			return s.out.line(fmt.Sprint(sum), field{"value", sum})
		})
	}
}

// cas swaps a value for another.
func cas(flags *flag.FlagSet) action {
	var opts options
	opts.ttl(flags)
	return func(_ context.Context, s *session, args []string) error {
		return s.write(func(db *ebb.DB) error {
			swapped, err := db.CompareAndSwap([]byte(args[0]), []byte(args[1]), []byte(args[2]), opts...)
			if err == nil && !swapped {
				err = no("nothing written: %s has another value", quote([]byte(args[0])))
			}
			return err
		})
	}
}
