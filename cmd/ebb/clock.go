package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"time"

	"github.com/ebbdb/ebb"
)

func clockCommand() command {
	return command{"clock", "DIR", "show how far the time of a database has come, or reset it after a wrong clock", 1, 1, tool,
		clock, `
The time of a database never goes back: a clock that was ahead once leaves keys that expire too early until it has caught
up. -reset lets time go on at an earlier moment, or now. What comes back is told; with -yes it is done, for which nobody may
have the database open.`}
}

func clock(flags *flag.FlagSet) action {
	reset := flags.String("reset", "", "let time go on at this `time`, or \"now\"")
	yes := flags.Bool("yes", false, "do it, after what -reset has told")
	return func(_ context.Context, s *session, args []string) error {
		now := time.Now()
		to, err := resetTime(*reset, now)
		if err != nil {
			return err
		}
		if *yes && *reset == "" {
			return &usageError{errors.New("-yes is for -reset"), nil}
		}
		if err := checkExists(args[0]); err != nil {
			return err
		}
		info, err := ebb.ResetClock(args[0], to, &ebb.ResetClockOptions{DryRun: true})
		if err != nil {
			return err
		}
		if err := tellClock(s.out, info, now); err != nil || *reset == "" || !info.To.Before(info.Mark) {
			return err
		}
		if err := tellReset(s.out, info); err != nil {
			return err
		}
		if !*yes {
			return errors.New("nothing has been changed: -yes does it")
		}
		if info, err = ebb.ResetClock(args[0], to, nil); err != nil {
			return err
		}
		return s.out.line("time goes on at "+stamp(info.To), field{"to", info.To.UnixMilli()})
	}
}

// resetTime returns the moment that -reset names.
func resetTime(text string, now time.Time) (time.Time, error) {
	if text == "" || text == "now" {
		return now, nil
	}
	t, err := parseTime(text)
	if err != nil {
		return t, &usageError{fmt.Errorf("-reset: %w", err), nil}
	}
	return t, nil
}

// tellClock tells how far time has come.
func tellClock(out *printer, info ebb.ClockReset, now time.Time) error {
	ahead := info.Mark.Sub(now)
	text := fmt.Sprintf("time has come to %s, it is %s: ", stamp(info.Mark), stamp(now))
	switch {
	case ahead > 0:
		text += coarse(ahead) + " ahead"
	default:
		text += "nothing to reset"
	}
	return out.line(text, field{"mark", info.Mark.UnixMilli()}, field{"now", now.UnixMilli()}, field{"ahead", max(ahead, 0)})
}

// tellReset tells what a reset brings back, and what not.
func tellReset(out *printer, info ebb.ClockReset) error {
	return out.line(fmt.Sprintf(`from %s on: %s come back, which had expired by %s
what has left the disk since does not come back, nor what was reported as expired
keys that were written meanwhile keep their deadlines, as late as the clock was; the log for watchers begins anew`,
		stamp(info.To), plural(info.Back, "key"), stamp(info.Mark)), field{"to", info.To.UnixMilli()}, field{"back", info.Back})
}

// stamp writes a time as -reset takes it.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
