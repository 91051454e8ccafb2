package ttl

import (
	"math"
	"time"

	"github.com/ebbdb/ebb/internal/kv"
)

// Deadline returns the deadline of an entry written at now that is to live for d. No d means no deadline: 0. A negative
// d gives a deadline that has expired at now (kv.Expired), which makes the write a delete. Parts of a millisecond count
// as a whole one, and a deadline too far away for an int64 becomes the last one that fits.
func Deadline(now int64, d time.Duration) int64 {
	if d == 0 {
		return 0
	}
	if d < 0 {
		if now == 0 {
			return -1 // 0 would say that there is no deadline
		}
		return now
	}
	millis := d.Milliseconds()
	if d%time.Millisecond > 0 {
		millis++
	}
	return orFirst(add(now, millis))
}

// DeadlineAt returns the deadline of an entry that is to be absent from t on, by the rules of Deadline: the zero Time
// means no deadline, and a t that is not after now gives a deadline that has expired at now.
func DeadlineAt(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	millis := unixMilli(t)
	if subMilli(t) > 0 {
		millis = add(millis, 1)
	}
	return orFirst(millis)
}

// Remaining is the inverse of Deadline: the time from now until the deadline, 0 if there is none, negative if the
// entry has expired. A time that is too long for a Duration (292 years) becomes the longest.
func Remaining(deadline, now int64) time.Duration {
	switch {
	case deadline == 0:
		return 0
	case kv.Expired(deadline, now):
		return -1
	}
	return span(now, deadline)
}

// Overdue returns how long ago a deadline has passed, 0 if it has not or there is none.
func Overdue(deadline, now int64) time.Duration {
	if deadline == 0 || !kv.Expired(deadline, now) {
		return 0
	}
	return span(deadline, now)
}

// Time is the inverse of DeadlineAt: the deadline in local time, the zero Time if there is none.
func Time(deadline int64) time.Time {
	if deadline == 0 {
		return time.Time{}
	}
	return time.UnixMilli(deadline)
}

// orFirst keeps a deadline that falls on the beginning of 1970 from being read as none.
func orFirst(deadline int64) int64 {
	if deadline == 0 {
		return 1
	}
	return deadline
}

// add returns a + b, or the int64 next to it. b is not negative.
func add(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

// span returns the time between two instants, or the longest Duration. to is not before from.
func span(from, to int64) time.Duration {
	const longest = uint64(math.MaxInt64 / time.Millisecond)
	millis := uint64(to) - uint64(from) // right even where the signed difference overflows
	if millis > longest {
		return math.MaxInt64
	}
	return time.Duration(millis) * time.Millisecond
}

// unixMilli is t.UnixMilli, except that it saturates where that is undefined, 292 million years away.
func unixMilli(t time.Time) int64 {
	const limit = math.MaxInt64 / 1000
	sec := t.Unix()
	switch {
	case sec > limit:
		return math.MaxInt64
	case sec < -limit:
		return math.MinInt64
	}
	return add(sec*1000, int64(t.Nanosecond()/1e6))
}
