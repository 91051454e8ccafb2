package ttl

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestCadence(t *testing.T) {
	tests := []struct {
		name    string
		cadence Cadence
		next    int64
		cost    time.Duration
		want    time.Duration
		ok      bool
	}{
		{"nothing has a deadline", Cadence{}, 0, 0, 0, false},
		{"nothing has a deadline, after work", Cadence{}, 0, time.Second, 0, false},
		{"something is there already", Cadence{}, base - hour, 0, 100 * time.Millisecond, true},
		{"something is there just now", Cadence{}, base, 0, 100 * time.Millisecond, true},
		{"sooner than allowed", Cadence{}, base + 1, 0, 100 * time.Millisecond, true},
		{"at the right moment", Cadence{}, base + 700, 0, 700 * time.Millisecond, true},
		{"later than allowed", Cadence{}, base + hour, 0, time.Second, true},
		{"at the end of time", Cadence{}, math.MaxInt64, 0, time.Second, true},
		{"cheap work", Cadence{}, base, 5 * time.Millisecond, 100 * time.Millisecond, true},
		{"work of 5 %", Cadence{}, base, 10 * time.Millisecond, 190 * time.Millisecond, true},
		{"work that allows the right moment", Cadence{}, base + 700, 10 * time.Millisecond, 700 * time.Millisecond, true},
		{"work that does not", Cadence{}, base + 700, 40 * time.Millisecond, 760 * time.Millisecond, true},
		{"work that goes before MaxWait", Cadence{}, base, 100 * time.Millisecond, 1900 * time.Millisecond, true},
		{"work for ever", Cadence{}, base, math.MaxInt64, math.MaxInt64, true},
		{"clock went back during the work", Cadence{}, base, -time.Second, 100 * time.Millisecond, true},
		{"half a core", Cadence{Share: 0.5}, base, 300 * time.Millisecond, 300 * time.Millisecond, true},
		{"a core", Cadence{Share: 1}, base, time.Hour, 100 * time.Millisecond, true},
		{"two cores", Cadence{Share: 2}, base, time.Hour, 100 * time.Millisecond, true},
		{"longer pauses", Cadence{MaxWait: time.Minute}, base + hour, 0, time.Minute, true},
		{"shorter pauses", Cadence{MaxWait: 200 * time.Millisecond}, base + hour, 0, 200 * time.Millisecond, true},
		{"too short pauses", Cadence{MaxWait: time.Millisecond}, base + hour, 0, 100 * time.Millisecond, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			wait, ok := tt.cadence.Wait(base, tt.next, tt.cost)
			if wait != tt.want || ok != tt.ok {
				t.Errorf("Wait(now, now + %d, %v) = %v, %v, want %v, %v", tt.next-base, tt.cost, wait, ok, tt.want, tt.ok)
			}
		})
	}
}

func TestCadenceKeepsItsBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now, next := anyMillis().Draw(t, "now"), anyMillis().Draw(t, "next")
		cost := time.Duration(rapid.OneOf(rapid.Int64Range(0, 1e9), rapid.Int64Range(0, math.MaxInt64)).Draw(t, "cost"))
		share := rapid.Float64Range(0.001, 1).Draw(t, "share")
		wait, ok := Cadence{Share: share}.Wait(now, next, cost)
		if ok != (next != 0) {
			t.Fatalf("ok = %v", ok)
		}
		if !ok {
			return
		}
		if wait < 100*time.Millisecond {
			t.Fatalf("%v", wait)
		}
		used := float64(cost) / (float64(cost) + float64(wait))
		if wait < math.MaxInt64 && used > share*(1+1e-9) {
			t.Fatalf("%v after %v of work: %v of the time, want at most %v", wait, cost, used, share)
		}
		if wait > time.Second && used < share*(1-1e-6) {
			t.Fatalf("%v after %v of work: %v of the time, although %v are allowed", wait, cost, used, share)
		}
	})
}
