package ttl

import (
	"math"
	"math/big"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

const (
	hour = int64(time.Hour / time.Millisecond)
	year = 365 * 24 * hour
	base = int64(1_800_000_000_000) // 2027, in whole milliseconds
)

// fakeTime is a clock whose hand the test moves; its times carry no monotonic reading.
type fakeTime struct{ t time.Time }

func (f *fakeTime) now() time.Time { return f.t }
func (f *fakeTime) set(ms int64)   { f.t = time.UnixMilli(ms) }

func TestClockFollowsInjectedTime(t *testing.T) {
	tests := []struct {
		name string
		mark int64
		wall []int64 // what the clock shows when it is read; the first at NewClock
		want []int64 // Now at each of the following
	}{
		{"no mark", 0, []int64{base, base, base + 1, base + year}, []int64{base, base + 1, base + year}},
		{"mark in the past", base - year, []int64{base, base + 5}, []int64{base + 5}},
		{"mark ahead: runs on from it", base + hour, []int64{base, base, base + 7},
			[]int64{base + hour, base + hour + 7}},
		{"mark ahead: until the wall clock is right", base + hour, []int64{base, base + 7}, []int64{base + hour + 7}},
		{"set back an hour: runs on", 0, []int64{base, base - hour, base - hour + 9}, []int64{base, base + 9}},
		{"set back ten years: runs on", 0, []int64{base, base + 1, base - 10*year, base - 10*year + 9},
			[]int64{base + 1, base + 1, base + 10}},
		{"set back twice", 0, []int64{base, base - hour, base - hour + 9, base - 2*hour, base - 2*hour + 1},
			[]int64{base, base + 9, base + 9, base + 10}},
		{"forward is accepted", 0, []int64{base, base + 10*year, base + 10*year + 1},
			[]int64{base + 10*year, base + 10*year + 1}},
		{"forward and back", 0, []int64{base, base + year, base, base + 3},
			[]int64{base + year, base + year, base + year + 3}},
		{"before 1970: counts from there", 0, []int64{-year, -year, -year + 4}, []int64{1, 5}},
		{"from before 1970 to now, at one go", 0, []int64{-year, base}, []int64{base + year + 1}},
		{"negative mark", -5, []int64{-year, -year}, []int64{1}},
		{"mark at the end of time", math.MaxInt64, []int64{base, base, base + 1}, []int64{math.MaxInt64, math.MaxInt64}},
		{"mark next to the end of time", math.MaxInt64 - 1, []int64{base, base, base + 1, base + 2},
			[]int64{math.MaxInt64 - 1, math.MaxInt64, math.MaxInt64}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var fake fakeTime
			fake.set(tt.wall[0])
			c := NewClock(tt.mark, fake.now)
			for i, wall := range tt.wall[1:] {
				fake.set(wall)
				if got := c.Now(); got != tt.want[i] {
					t.Errorf("reading %d, wall clock %d: Now() = %d, want %d", i, wall, got, tt.want[i])
				}
			}
		})
	}
}

// Only unixMilli keeps these from wrapping; no test of whole milliseconds can show it.
func TestClockSaturatesWithTheWallClock(t *testing.T) {
	fake := fakeTime{time.UnixMilli(base)}
	c := NewClock(0, fake.now)
	fake.t = time.Unix(math.MinInt64/2, 0)
	if got := c.Now(); got != base {
		t.Errorf("far before the beginning: Now() = %d, want %d", got, base)
	}
	if got := c.Ahead(); got != math.MaxInt64 {
		t.Errorf("far before the beginning: Ahead() = %d, want the longest", got)
	}
	fake.t = time.Unix(math.MaxInt64/2, 0)
	for range 2 {
		if got := c.Now(); got != math.MaxInt64 {
			t.Errorf("far after the end: Now() = %d, want %d", got, int64(math.MaxInt64))
		}
	}
}

// Parts of milliseconds must neither be lost nor be seen as a difference between the clocks.
func TestClockAddsUpSubMilliseconds(t *testing.T) {
	for _, monotonic := range []bool{false, true} {
		start := time.Now()
		if !monotonic {
			start = start.Round(0)
		}
		fake := fakeTime{start}
		c := NewClock(0, fake.now)
		for i := range 10_000 {
			fake.t = fake.t.Add(333_333 * time.Nanosecond)
			if got, want := c.Now(), fake.t.UnixMilli(); got != want {
				t.Fatalf("monotonic %v, start %d ns, step %d: Now() = %d, want %d",
					monotonic, start.Nanosecond(), i, got, want)
			}
		}
	}
}

// The wall clock and the monotonic one, apart: a time.Time with both cannot be made to disagree.
func TestClockReadings(t *testing.T) {
	type reading struct{ wall, elapsed, want int64 }
	tests := []struct {
		name     string
		mark     int64
		readings []reading
		jumped   int64
	}{
		{"in step", 0, []reading{{base, 0, base}, {base + 10, 10, base + 10}}, 0},
		{"set back an hour", 0, []reading{
			{base + 10, 10, base + 10}, {base - hour, 20, base + 20}, {base, hour + 20, base + hour + 20},
		}, 0},
		{"set back and right again", 0, []reading{{base - hour, 10, base + 10}, {base + 20, 20, base + 20}}, 0},
		{"leap of an hour", 0, []reading{
			{base + hour + 10, 10, base + hour + 10}, {base + hour + 20, 20, base + hour + 20},
		}, hour},
		{"leap that is taken back", 0, []reading{
			{base + hour + 10, 10, base + hour + 10}, {base + 20, 20, base + hour + 20},
		}, hour},
		{"two leaps add up", 0, []reading{{base + hour, 0, base + hour}, {base + 3*hour, 0, base + 3*hour}}, 3 * hour},
		{"a minute is no leap", 0, []reading{{base + 60_000, 0, base + 60_000}}, 0},
		{"a minute and a millisecond is", 0, []reading{{base + 60_001, 0, base + 60_001}}, 60_001},
		{"idle for a day is no leap", 0, []reading{{base + 24*hour, 24 * hour, base + 24*hour}}, 0},
		{"late wall clock that catches up", base + hour, []reading{{base + hour, 10, base + hour + 10}}, 0},
		{"late wall clock that overtakes", base + hour, []reading{{base + 3*hour, 0, base + 3*hour}}, 2 * hour},
		{"to the end of time", 0, []reading{{math.MaxInt64, 5, math.MaxInt64}, {base, 6, math.MaxInt64}}, math.MaxInt64},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fake := fakeTime{time.UnixMilli(base)}
			c := NewClock(tt.mark, fake.now)
			for i, r := range tt.readings {
				if got := c.at(r.wall, r.elapsed); got != r.want {
					t.Errorf("reading %d (%d, %d): %d, want %d", i, r.wall, r.elapsed, got, r.want)
				}
				if got := c.compared.Load(); got != r.elapsed {
					t.Errorf("reading %d: compared at %d, want %d", i, got, r.elapsed)
				}
			}
			if got, want := c.Jumped(), span(0, tt.jumped); got != want {
				t.Errorf("Jumped() = %v, want %v", got, want)
			}
		})
	}
}

func TestClockAhead(t *testing.T) {
	tests := []struct {
		name       string
		mark, wall int64
		want       time.Duration
	}{
		{"right", 0, base, 0},
		{"mark behind", base - 1, base, 0},
		{"mark an hour ahead", base + hour, base, time.Hour},
		{"mark further ahead than a Duration", base + 300*year, base, math.MaxInt64},
		{"mark at the end of time", math.MaxInt64, base, math.MaxInt64},
		{"wall clock before 1970", 0, -hour, time.Hour + time.Millisecond},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fake := fakeTime{time.UnixMilli(tt.wall)}
			if got := NewClock(tt.mark, fake.now).Ahead(); got != tt.want {
				t.Errorf("Ahead() = %v, want %v", got, tt.want)
			}
		})
	}
}

func TestClockReset(t *testing.T) {
	tests := []struct {
		name       string
		mark, want int64
	}{
		{"to the wall clock", 0, base + 10},
		{"to a mark behind the wall clock", base, base + 10},
		{"to a mark ahead of it", base + hour, base + hour},
		{"forward", base + 20*year, base + 20*year},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fake := fakeTime{time.UnixMilli(base)}
			c := NewClock(base+10*year, fake.now)
			fake.set(base + 10)
			c.Reset(tt.mark)
			if got := c.Now(); got != tt.want {
				t.Errorf("Now() = %d, want %d", got, tt.want)
			}
			fake.set(base + 12)
			if got := c.Now(); got != tt.want+2 {
				t.Errorf("2 ms later: Now() = %d, want %d", got, tt.want+2)
			}
		})
	}
	t.Run("before 1970 after a long time", func(t *testing.T) {
		fake := fakeTime{time.UnixMilli(-10 * year)}
		c := NewClock(0, fake.now)
		fake.set(-5 * year)
		c.Reset(0) // the offset gets negative
		if got := c.Now(); got != 1 {
			t.Errorf("Now() = %d, want 1", got)
		}
	})
}

func TestClockAdvance(t *testing.T) {
	fake := fakeTime{time.UnixMilli(base)}
	c := NewClock(base+hour, fake.now)
	for _, tt := range []struct {
		name       string
		mark, want int64
	}{
		{"to nothing", 0, base + hour},
		{"back", base, base + hour},
		{"to where it is", base + hour, base + hour},
		{"ahead", base + 2*hour, base + 2*hour},
		{"back again", base + hour, base + 2*hour},
	} {
		if c.Advance(tt.mark); c.Now() != tt.want {
			t.Errorf("%s: Now() = %d, want %d", tt.name, c.Now(), tt.want)
		}
	}
	fake.set(base + 5)
	if c.Now() != base+2*hour+5 {
		t.Errorf("5 ms later: Now() = %d, want %d", c.Now(), base+2*hour+5)
	}
}

func TestClockOnSystemTime(t *testing.T) {
	const tolerance = 50 // ms; what a time daemon may correct meanwhile
	before := time.Now().UnixMilli()
	c := NewClock(0, nil)
	if c.step != nil {
		t.Fatal("the system's clock is read under a mutex")
	}
	if part := subMilli(c.start); part != 0 {
		t.Errorf("elapsed time counts from %v past a millisecond", part)
	}
	first := c.Now()
	for start := time.Now(); c.Now() < first+5; {
		if time.Since(start) > 10*time.Second {
			t.Fatal("time stands still")
		}
	}
	if now, after := c.Now(), time.Now().UnixMilli(); now < before+5-tolerance || now > after+tolerance {
		t.Errorf("Now() = %d, the wall clock says %d to %d", now, before, after)
	}
	if ahead := c.Ahead(); ahead > tolerance*time.Millisecond {
		t.Errorf("Ahead() = %v", ahead)
	}
	if jumped := c.Jumped(); jumped != 0 {
		t.Errorf("Jumped() = %v: the first reading is no leap", jumped)
	}
	const ahead = 1000 * year
	if now := NewClock(base+ahead, nil).Now(); now < base+ahead || now > base+ahead+10_000 {
		t.Errorf("with a mark ahead: Now() = %d, want about %d", now, base+ahead)
	}
}

// A wall clock that leaps is found within a millisecond although most calls do not read it: those that find the
// monotonic clock unchanged since the last comparison.
func TestClockComparesOnceAMillisecond(t *testing.T) {
	c := NewClock(0, nil)
	c.offset.Store(1) // as if the wall clock had just leapt from 1970
	for start := time.Now(); c.Jumped() == 0; c.Now() {
		if time.Since(start) > 10*time.Second {
			t.Fatal("the leap was not found")
		}
	}
	if now, wall := c.Now(), time.Now().UnixMilli(); now < wall-1000 {
		t.Errorf("Now() = %d, the wall clock says %d", now, wall)
	}
}

func TestClockInBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewClock(0, nil)
		if c.step == nil {
			t.Error("a time without a monotonic reading is taken for one that never steps back")
		}
		want := time.Now().UnixMilli()
		for range 3 {
			if got := c.Now(); got != want {
				t.Errorf("Now() = %d, want %d", got, want)
			}
			time.Sleep(90 * time.Minute)
			want += 3 * hour / 2
		}
	})
}

// ordered calls now at the same time from several goroutines and fails if a call returns less than one that had returned
// before it began.
func ordered(t *testing.T, now func(worker, i int) int64) {
	const workers, calls = 6, 100_000
	var seen atomic.Int64
	var wg sync.WaitGroup
	for worker := range workers {
		wg.Go(func() {
			for i := range calls {
				before := seen.Load()
				after := now(worker, i)
				if after < before {
					t.Errorf("call %d of worker %d: %d after %d had been returned", i, worker, after, before)
					return
				}
				for was := seen.Load(); was < after && !seen.CompareAndSwap(was, after); was = seen.Load() {
				}
			}
		})
	}
	wg.Wait()
}

func TestClockConcurrently(t *testing.T) {
	t.Run("system", func(t *testing.T) {
		c := NewClock(0, nil)
		var wall atomic.Int64
		wall.Store(base + year)
		ordered(t, func(worker, i int) int64 {
			if worker%2 == 0 {
				return c.Now()
			}
			leapt := wall.Add(hour) // all want to set the offset, and the latest must win
			c.at(leapt, c.elapsed())
			now := c.Now()
			if now < leapt {
				t.Errorf("%d, but the wall clock was seen at %d", now, leapt)
			}
			return now
		})
	})
	t.Run("injected", func(t *testing.T) {
		var hand atomic.Int64
		hand.Store(base)
		c := NewClock(0, func() time.Time { return time.UnixMilli(hand.Load()) })
		ordered(t, func(worker, i int) int64 {
			if worker == 0 {
				hand.Add(int64(i%7-3) * 50)
				c.Ahead()
				c.Jumped()
			}
			return c.Now()
		})
	})
}

// saturated is what does not fit an int64, at its nearest end.
func saturated(x *big.Int) int64 {
	switch {
	case x.IsInt64():
		return x.Int64()
	case x.Sign() < 0:
		return math.MinInt64
	}
	return math.MaxInt64
}

func sum(terms ...int64) *big.Int {
	total := new(big.Int)
	for _, x := range terms {
		total.Add(total, big.NewInt(x))
	}
	return total
}

// anyMillis draws times of every magnitude, of which the ordinary ones and the ends are the most likely.
func anyMillis() *rapid.Generator[int64] {
	return rapid.OneOf(
		rapid.Int64Range(base-year, base+year),
		rapid.Int64Range(-hour, hour),
		rapid.Int64Range(math.MaxInt64-10, math.MaxInt64),
		rapid.Int64Range(math.MinInt64, math.MinInt64+10),
		rapid.Int64(),
	)
}

func TestClockAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		mark := anyMillis().Draw(t, "mark")
		fake := fakeTime{time.UnixMilli(0)}
		c := NewClock(mark, fake.now)
		offset := big.NewInt(max(mark, 1)) // the greatest Unix time at elapsed 0 that was seen
		var elapsed, last int64
		for range rapid.IntRange(1, 20).Draw(t, "readings") {
			steps := rapid.OneOf(rapid.Int64Range(0, hour), rapid.Int64Range(0, math.MaxInt64))
			elapsed = add(elapsed, steps.Draw(t, "step"))
			wall := anyMillis().Draw(t, "wall")
			if wall > saturated(new(big.Int).Add(offset, big.NewInt(elapsed))) {
				offset = sum(wall, -elapsed)
			}
			want := saturated(new(big.Int).Add(offset, big.NewInt(elapsed)))
			got := c.at(wall, elapsed)
			if got != want || got < last || got < wall || got < mark || got < 1 {
				t.Fatalf("at(%d, %d) = %d after %d, want %d", wall, elapsed, got, last, want)
			}
			last = got
		}
	})
}

func TestClockOnAnyInjectedTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		mark := anyMillis().Draw(t, "mark")
		fake := fakeTime{time.UnixMilli(base)}
		if rapid.Bool().Draw(t, "monotonic") {
			fake.t = time.Now()
		}
		c := NewClock(mark, fake.now)
		last := c.Now()
		for range rapid.IntRange(1, 20).Draw(t, "readings") {
			step := time.Duration(rapid.OneOf(
				rapid.Int64Range(-int64(time.Second), int64(time.Second)),
				rapid.Int64Range(-10*year*1e6, 10*year*1e6),
			).Draw(t, "step"))
			fake.t = fake.t.Add(step)
			got := c.Now()
			// A part of a millisecond may be added now or later.
			if least := add(last, max(step, 0).Milliseconds()); got < least || got < mark || got < unixMilli(fake.t) {
				t.Fatalf("Now() = %d, want at least %d, the mark %d and the wall clock %d",
					got, least, mark, unixMilli(fake.t))
			}
			if most := add(last, max(step, 0).Milliseconds()+1); got > most && got > unixMilli(fake.t) {
				t.Fatalf("Now() = %d, want at most %d or the wall clock %d", got, most, unixMilli(fake.t))
			}
			last = got
		}
	})
}

func TestClockDoesNotAllocate(t *testing.T) {
	fake := fakeTime{time.UnixMilli(base)}
	for _, row := range []struct {
		name string
		c    *Clock
	}{{"system", NewClock(0, nil)}, {"injected", NewClock(0, fake.now)}} {
		t.Run(row.name, func(t *testing.T) {
			if n := testing.AllocsPerRun(1000, func() { row.c.Now(); row.c.Ahead(); row.c.Jumped() }); n != 0 {
				t.Errorf("%v allocations", n)
			}
		})
	}
}
