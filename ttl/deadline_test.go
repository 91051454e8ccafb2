package ttl

import (
	"math"
	"testing"
	"time"

	"github.com/ebbdb/ebb/internal/kv"
	"pgregory.net/rapid"
)

func TestDeadline(t *testing.T) {
	tests := []struct {
		name string
		now  int64
		d    time.Duration
		want int64
	}{
		{"none", base, 0, 0},
		{"an hour", base, time.Hour, base + hour},
		{"one millisecond", base, time.Millisecond, base + 1},
		{"under one millisecond", base, time.Nanosecond, base + 1},
		{"over one millisecond", base, time.Millisecond + time.Nanosecond, base + 2},
		{"negative", base, -1, base},
		{"most negative", base, math.MinInt64, base},
		{"negative at 1970", 0, -time.Hour, -1},
		{"negative before 1970", -7, -1, -7},
		{"up to 1970", -5, 5 * time.Millisecond, 1},
		{"longest", base, math.MaxInt64, base + math.MaxInt64/1_000_000 + 1},
		{"just fits", math.MaxInt64 - 1, time.Millisecond, math.MaxInt64},
		{"does not fit", math.MaxInt64 - 1, time.Hour, math.MaxInt64},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := Deadline(tt.now, tt.d); got != tt.want {
				t.Errorf("Deadline(%d, %v) = %d, want %d", tt.now, tt.d, got, tt.want)
			}
		})
	}
}

func TestDeadlineAt(t *testing.T) {
	tests := []struct {
		name string
		t    time.Time
		want int64
	}{
		{"none", time.Time{}, 0},
		{"whole milliseconds", time.UnixMilli(base), base},
		{"in another zone", time.UnixMilli(base).In(time.FixedZone("", 7*3600)), base},
		{"a nanosecond more", time.UnixMilli(base).Add(1), base + 1},
		{"a nanosecond less", time.UnixMilli(base).Add(-1), base},
		{"1970", time.UnixMilli(0), 1},
		{"rounds up to 1970", time.Unix(0, -1), 1},
		{"before 1970", time.Unix(-1, 1), -999},
		{"the last that fits", time.UnixMilli(math.MaxInt64), math.MaxInt64},
		{"one more", time.UnixMilli(math.MaxInt64).Add(1), math.MaxInt64},
		{"the second after the last", time.Unix(math.MaxInt64/1000+1, 0), math.MaxInt64},
		{"the second before the first", time.Unix(math.MinInt64/1000-1, 0), math.MinInt64},
		{"far after", time.Unix(math.MaxInt64/2, 0), math.MaxInt64},
		{"far before", time.Unix(math.MinInt64/2, 0), math.MinInt64},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := DeadlineAt(tt.t); got != tt.want {
				t.Errorf("DeadlineAt(%v) = %d, want %d", tt.t, got, tt.want)
			}
		})
	}
}

func TestRemaining(t *testing.T) {
	tests := []struct {
		name          string
		deadline, now int64
		want          time.Duration
	}{
		{"none", 0, base, 0},
		{"an hour", base + hour, base, time.Hour},
		{"the last millisecond", base + 1, base, time.Millisecond},
		{"expired just now", base, base, -1},
		{"expired long ago", math.MinInt64, math.MaxInt64, -1},
		{"longest", base + math.MaxInt64/1_000_000, base, math.MaxInt64 / 1_000_000 * time.Millisecond},
		{"longer", base + math.MaxInt64/1_000_000 + 1, base, math.MaxInt64},
		{"all of time", math.MaxInt64, math.MinInt64, math.MaxInt64},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := Remaining(tt.deadline, tt.now); got != tt.want {
				t.Errorf("Remaining(%d, %d) = %d, want %d", tt.deadline, tt.now, got, tt.want)
			}
		})
	}
}

func TestDeadlineThereAndBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := anyMillis().Draw(t, "now")
		d := time.Duration(rapid.OneOf(rapid.Int64Range(-5e6, 5e6), rapid.Int64()).Draw(t, "d"))
		deadline := Deadline(now, d)
		if (deadline == 0) != (d == 0) {
			t.Fatalf("deadline %d", deadline)
		}
		if d <= 0 {
			if d < 0 != kv.Expired(deadline, now) {
				t.Fatalf("deadline %d", deadline)
			}
			return
		}
		millis := int64(d / 1e6)
		if d%1e6 != 0 {
			millis++
		}
		want := saturated(sum(now, millis))
		if want == 0 {
			want = 1
		}
		if deadline != want {
			t.Fatalf("deadline %d, want %d", deadline, want)
		}
		if now == math.MaxInt64 {
			return // no later time is left
		}
		// Nothing is lost on the way back but what did not fit, and what was not a whole millisecond was added.
		left := Remaining(deadline, now)
		if left < d && deadline != math.MaxInt64 || left > d && left-d >= time.Millisecond && want != 1 {
			t.Fatalf("deadline %d, remaining %d", deadline, left)
		}
		if again := Deadline(now, left); left < math.MaxInt64 && again != deadline {
			t.Fatalf("deadline %d, again %d", deadline, again)
		}
	})
}

func TestTimeThereAndBack(t *testing.T) {
	zero := time.Time{}.UnixMilli()
	rapid.Check(t, func(t *rapid.T) {
		deadline := anyMillis().Filter(func(ms int64) bool { return ms != zero }).Draw(t, "deadline")
		at := Time(deadline)
		if back := DeadlineAt(at); back != deadline && deadline >= math.MinInt64+1000 {
			t.Fatalf("Time %v, back %d", at, back)
		}
		part := time.Duration(rapid.Int64Range(1, 999_999).Draw(t, "part of a millisecond"))
		if next := add(deadline, 1); deadline != 0 && next != 0 && next != deadline && deadline >= math.MinInt64+1000 {
			if got := DeadlineAt(at.Add(part)); got != next {
				t.Fatalf("DeadlineAt(%v + %v) = %d, want %d", at, part, got, next)
			}
		}
	})
	if !Time(0).IsZero() {
		t.Error("Time(0) is not the zero time")
	}
}

func TestOverdue(t *testing.T) {
	tests := []struct {
		name          string
		deadline, now int64
		want          time.Duration
	}{
		{"none", 0, base, 0},
		{"not yet", base + 1, base, 0},
		{"just now", base, base, 0},
		{"an hour ago", base, base + hour, time.Hour},
		{"before 1970", -1, 1, 2 * time.Millisecond},
		{"all of time", math.MinInt64, math.MaxInt64, math.MaxInt64},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := Overdue(tt.deadline, tt.now); got != tt.want {
				t.Errorf("Overdue(%d, %d) = %d, want %d", tt.deadline, tt.now, got, tt.want)
			}
		})
	}
}
