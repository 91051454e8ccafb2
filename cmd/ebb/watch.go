package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"time"

	"github.com/ebbdb/ebb"
)

func watchCommands() []command {
	return []command{{"watch", "[PREFIX]", "show changes as they are made, until Ctrl-C", 0, 1, database | keyArgs, watch, `
It follows what the process writes that has the database open, and goes on when another one opens it. -from SEQUENCE shows
the past first, as far back as the log reaches, -past nothing else. Expiries are shown if that process reports them: see
Options.ExpiryEvents; in a session that has the database itself, with 'ebb -expiries'.`}}
}

// watch shows changes until it has shown enough, or Ctrl-C, which is how it is meant to end.
func watch(flags *flag.FlagSet) action {
	var o ebb.WatchOptions
	flags.Uint64Var(&o.From, "from", 0, "the `sequence` of the first change; 0 is what comes next")
	limit := flags.Int("limit", 0, "stop after so `many`; 0 is no limit")
	past := flags.Bool("past", false, "stop where it would begin to wait")
	return func(ctx context.Context, s *session, args []string) error {
		prefix := ""
		if len(args) > 0 {
			prefix = args[0]
		}
		s.owning = s.expiries // which nobody reports but who has the database
		db, err := s.open()
		if err != nil {
			return err
		}
		if err := db.Refresh(); err != nil { // what the owner has written since belongs to the past
			return err
		}
		last, err := newest(db)
		if err != nil {
			return err
		}
		if o.From > last+1 || *past && o.From == last+1 {
			return no("nothing has the sequence %d yet: the newest is %d", o.From, last)
		}
		if *past && o.From == 0 {
			return &usageError{errors.New("-past shows what is before now, from the sequence on that -from has to tell"), nil}
		}
		n := 0
		for c, err := range db.Watch(ctx, &o) {
			if err != nil && ctx.Err() != nil {
				return nil
			}
			if err != nil {
				return err
			}
			if concerns(&c, []byte(prefix)) {
				if err := s.change(&c); err != nil {
					return err
				}
				n++
			}
			if n > 0 && n == *limit || *past && c.Seq >= last {
				return nil
			}
		}
		return nil
	}
}

// newest returns the sequence of the newest write.
func newest(db *ebb.DB) (uint64, error) {
	at, err := db.Snapshot()
	if err != nil {
		return 0, err
	}
	defer at.Close()
	return at.Seq(), nil
}

// concerns reports whether a change may be one of keys that begin with prefix.
func concerns(c *ebb.Change, prefix []byte) bool {
	switch c.Kind {
	case ebb.ChangeGap, ebb.ChangeEvict:
		return true
	case ebb.ChangeDeleteRange:
		end := after(prefix)
		return bytes.Compare(c.End, prefix) > 0 && (end == nil || bytes.Compare(c.Key, end) < 0)
	}
	return bytes.HasPrefix(c.Key, prefix)
}

// change shows a change at once, unless another belongs to it.
func (s *session) change(c *ebb.Change) error {
	text := fmt.Sprintf("%d\t%s\t%s", c.Seq, c.Kind, quote(c.Key))
	fields := []field{{"seq", c.Seq}, {"change", c.Kind.String()}, {"key", c.Key}}
	switch c.Kind {
	case ebb.ChangePut:
		text += "\t" + quoteUpTo(c.Value, shownValue)
		fields = append(fields, field{"value", c.Value})
	case ebb.ChangeDeleteRange:
		text += "\t" + quote(c.End)
		fields = append(fields, field{"end", c.End})
	case ebb.ChangeExpire:
		text += fmt.Sprintf("\tversion %d", c.Version)
		fields = append(fields, field{"version", c.Version})
	case ebb.ChangeEvict:
		text, fields = fmt.Sprintf("%d\t%s\twhat has a deadline", c.Seq, c.Kind), slices.Delete(fields, 2, 3)
	case ebb.ChangeGap:
		text = fmt.Sprintf("%d\tgap: what is there now has not come through the log", c.Seq)
		fields = slices.Delete(fields, 2, 3)
	}
	if c.Deadline != 0 {
		text += "\tuntil " + time.UnixMilli(c.Deadline).Format(timeFormat)
		fields = append(fields, field{"deadline", c.Deadline})
	}
	if err := s.out.line(text, fields...); err != nil || c.More {
		return err
	}
	return s.out.Flush()
}
