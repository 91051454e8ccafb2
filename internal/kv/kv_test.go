package kv

import (
	"math"
	"testing"
)

func TestCompare(t *testing.T) {
	ascending := []string{"", "\x00", "\x00\x00", "\x00\x01", "a", "a\x00", "aa", "b", "\x7f", "\x80", "\xff", "\xff\xff"}
	for i, a := range ascending {
		for j, b := range ascending {
			want := 0
			if i < j {
				want = -1
			} else if i > j {
				want = 1
			}
			if got := Compare([]byte(a), []byte(b)); got != want {
				t.Errorf("Compare(%q, %q) = %d, want %d", a, b, got, want)
			}
		}
	}
}

func TestExpired(t *testing.T) {
	for _, c := range []struct {
		name          string
		deadline, now int64
		want          bool
	}{
		{"no deadline", 0, 1000, false},
		{"no deadline at the end of time", 0, math.MaxInt64, false},
		{"one ms before", 1000, 999, false},
		{"at the deadline", 1000, 1000, true},
		{"after", 1000, 1001, true},
		{"before 1970, now after", -1, 0, true},
		{"before 1970, now before that", -1, -2, false},
		{"furthest deadline", math.MaxInt64, math.MaxInt64 - 1, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Expired(c.deadline, c.now); got != c.want {
				t.Errorf("Expired(%d, %d) = %t, want %t", c.deadline, c.now, got, c.want)
			}
			put, del := Entry{Kind: Put, Deadline: c.deadline}, Entry{Kind: Delete, Deadline: c.deadline}
			if got := put.Live(c.now); got == c.want {
				t.Errorf("a put is live: %t, expired: %t", got, c.want)
			}
			if del.Live(c.now) {
				t.Errorf("a tombstone is live")
			}
		})
	}
}
