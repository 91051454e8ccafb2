package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/ebbdb/ebb"
)

// scan lists the keys that begin with a prefix, one a line, each after the size of its value.
func scan(ctx context.Context, e *env, args []string) error {
	var o ebb.IterOptions
	if len(args) > 1 {
		o.Prefix = []byte(args[1])
	}
	return e.open(args[0], func(db *ebb.DB) error {
		for entry, err := range db.Range(&o) {
			if err != nil {
				return err
			}
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if _, err := fmt.Fprintf(e.stdout, "%d\t%s\n", len(entry.Value), printable(string(entry.Key))); err != nil {
				return err
			}
		}
		return nil
	})
}

// get writes a value as it is, with nothing around it.
func get(_ context.Context, e *env, args []string) error {
	return e.open(args[0], func(db *ebb.DB) error {
		value, err := db.Get([]byte(args[1]))
		if errors.Is(err, ebb.ErrNotFound) {
			return fmt.Errorf("there is no key %s", printable(args[1]))
		}
		if err != nil {
			return err
		}
		_, err = e.stdout.Write(value)
		return err
	})
}

// put is the setup of the command that puts.
func put(flags *flag.FlagSet) action {
	ttl := flags.Duration("ttl", 0, "let the key expire after a `duration` such as 90s or 12h; 0 is never, a negative one deletes")
	return func(_ context.Context, e *env, args []string) error {
		value, err := putValue(e, args[2:])
		if err != nil {
			return err
		}
		return e.create(args[0], func(db *ebb.DB) error {
			return db.Put([]byte(args[1]), value, ebb.TTL(*ttl))
		})
	}
}

// putValue returns the value that is to be put: the argument, or standard input, which can hold anything.
func putValue(e *env, args []string) ([]byte, error) {
	if len(args) > 0 {
		return []byte(args[0]), nil
	}
	value, err := io.ReadAll(io.LimitReader(e.stdin, ebb.MaxValueSize+1)) // one more than fits tells that it does not
	if err != nil {
		return nil, fmt.Errorf("read the value: %w", err)
	}
	return value, nil
}

func del(_ context.Context, e *env, args []string) error {
	return e.open(args[0], func(db *ebb.DB) error { return db.Delete([]byte(args[1])) })
}

// printable returns a key as it is if that fits a line and cannot be taken for a quoted one, and quoted as in Go if not.
func printable(key string) string {
	if quoted := strconv.Quote(key); quoted[1:len(quoted)-1] != key || strings.TrimSpace(key) != key {
		return quoted
	}
	return key
}
