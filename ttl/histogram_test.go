package ttl

import (
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/ebbdb/ebb/internal/kv"
	"pgregory.net/rapid"
)

type counted struct{ deadline, bytes int64 }

// exactly is what a Histogram approximates.
func exactly(all []counted, now int64) (entries, bytes int64) {
	for _, c := range all {
		if kv.Expired(c.deadline, now) {
			entries++
			bytes += c.bytes
		}
	}
	return entries, bytes
}

func TestHistogramEmpty(t *testing.T) {
	h := NewHistogram(base)
	h.Add(0, 100) // lives for ever
	if h.Entries() != 0 || h.Bytes() != 0 || h.Min() != 0 || h.Max() != 0 {
		t.Errorf("%d entries, %d bytes, %d to %d, want none", h.Entries(), h.Bytes(), h.Min(), h.Max())
	}
	if n, b := h.ExpiredEntries(math.MaxInt64), h.ExpiredBytes(math.MaxInt64); n != 0 || b != 0 {
		t.Errorf("expired: %d entries, %d bytes, want none", n, b)
	}
	for _, bytes := range []int64{0, 1} {
		if at := h.When(bytes); at != 0 {
			t.Errorf("When(%d) = %d, want 0", bytes, at)
		}
	}
}

func TestHistogramWhen(t *testing.T) {
	h := NewHistogram(base)
	for _, c := range []counted{{base + 30, 50}, {base + 10, 20}, {base + 20, 30}, {base + 40, 0}} {
		h.Add(c.deadline, c.bytes)
	}
	for _, tt := range []struct {
		name        string
		bytes, want int64
	}{
		{"nothing", 0, base + 10},
		{"anything", 1, base + 10},
		{"all of the first", 20, base + 10},
		{"more than the first", 21, base + 20},
		{"half", h.Bytes() / 2, base + 20},
		{"all", h.Bytes(), base + 30},
		{"more than there is", h.Bytes() + 1, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := h.When(tt.bytes); got != tt.want {
				t.Errorf("When(%d) = %d, want %d", tt.bytes, got, tt.want)
			}
		})
	}
}

// What expires evenly is seen to: to within a hundredth, though the cells are as wide as a quarter of the time that is left.
func TestHistogramExpiredEvenly(t *testing.T) {
	h := NewHistogram(base)
	for i := range int64(100_000) {
		h.Add(base+1+i*10, 5)
	}
	for _, part := range []int64{2, 3, 5, 10, 50, 99} {
		now := base + 10_000*part
		entries, bytes := h.Expired(now)
		if want := float64(1000 * part); math.Abs(entries-want) > want/100 || math.Abs(bytes-5*want) > 5*want/100 {
			t.Errorf("at %d %%: %.0f entries, %.0f bytes, want about %.0f, %.0f", part, entries, bytes, want, 5*want)
		}
	}
}

// How much later than at its deadline an entry may be seen to have expired, as a part of the time from the origin
// to the deadline: the shape of the deadlines decides, not how far apart they are.
func TestHistogramResolution(t *testing.T) {
	const (
		minute = hour / 60
		took   = 5 * minute // an entry a millisecond
	)
	tests := []struct {
		name string
		ttl  func(r *rand.Rand, i int) int64
		late float64
	}{
		{"one TTL", func(*rand.Rand, int) int64 { return hour }, 1. / 440},
		{"one long TTL", func(*rand.Rand, int) int64 { return 24 * hour }, 1. / 8192},
		{"one short TTL", func(*rand.Rand, int) int64 { return 1000 }, 1. / 4},
		{"two TTLs", func(_ *rand.Rand, i int) int64 { return []int64{minute, 30 * 24 * hour}[i%2] }, 1. / 16},
		{"one TTL among a month's spread", func(r *rand.Rand, i int) int64 {
			return []int64{30 * minute, 1 + r.Int64N(30*24*hour)}[i%2]
		}, 1. / 4},
		{"every magnitude up to a century", func(r *rand.Rand, _ int) int64 {
			return int64(math.Exp(r.Float64() * math.Log(float64(100*year))))
		}, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			const seed = 1
			r := rand.New(rand.NewPCG(seed, seed))
			h := NewHistogram(base)
			deadlines := make([]int64, took)
			for i := range deadlines {
				deadlines[i] = base + int64(i) + tt.ttl(r, i)
				h.Add(deadlines[i], 100)
			}
			worst := 0.
			for _, deadline := range deadlines {
				late := h.slot(h.cell(deadline)).upTo - deadline
				worst = max(worst, float64(late)/float64(deadline-base))
			}
			if worst > tt.late {
				t.Errorf("seed %d: late by %.3f, want at most %.3f", seed, worst, tt.late)
			}
		})
	}
}

func TestHistogramBounds(t *testing.T) {
	h := NewHistogram(base)
	if size := unsafe.Sizeof(*h); size > 4<<10+64 {
		t.Errorf("%d bytes", size)
	}
	const seed = 1
	r := rand.New(rand.NewPCG(seed, seed))
	for range 10_000 {
		h.Add(int64(r.Uint64())>>r.UintN(64), 1) // negative and positive, of every magnitude
		used := 0
		for i := range h.slots {
			if h.slots[i].entries > 0 {
				used++
			}
		}
		if used > maxBuckets || used != h.used {
			t.Fatalf("seed %d: %d buckets, counted as %d", seed, used, h.used)
		}
	}
}

func TestHistogramAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		origin := anyMillis().Draw(t, "origin")
		h := NewHistogram(origin)
		deadlines := rapid.OneOf(
			anyMillis(),
			rapid.Map(rapid.Int64Range(-100, hour), func(d int64) int64 { return add(origin, max(d, 0)) }),
			rapid.Map(rapid.Int64Range(0, 62), func(n int64) int64 { return add(origin, 1<<n) }),
		)
		var all []counted
		var bytes int64
		first, last := int64(math.MaxInt64), int64(math.MinInt64)
		for range rapid.IntRange(0, 300).Draw(t, "entries") {
			c := counted{deadlines.Draw(t, "deadline"), rapid.Int64Range(0, 1<<30).Draw(t, "bytes")}
			h.Add(c.deadline, c.bytes)
			if c.deadline == 0 {
				continue
			}
			all = append(all, c)
			bytes += c.bytes
			first, last = min(first, c.deadline), max(last, c.deadline)
		}
		if h.Entries() != int64(len(all)) || h.Bytes() != bytes {
			t.Fatalf("%d entries of %d bytes, want %d of %d", h.Entries(), h.Bytes(), len(all), bytes)
		}
		if len(all) == 0 {
			return
		}
		if h.Min() != first || h.Max() != last {
			t.Fatalf("from %d to %d, want %d to %d", h.Min(), h.Max(), first, last)
		}
		nows := []int64{math.MinInt64, first - 1, first, last - 1, last, math.MaxInt64}
		for range 20 {
			of := rapid.IntRange(0, len(all)-1).Draw(t, "at the deadline of")
			nows = append(nows, all[of].deadline, anyMillis().Draw(t, "now"))
		}
		for _, now := range nows {
			checkExpired(t, h, all, now)
		}
		checkWhen(t, h, rapid.Int64Range(1, max(bytes, 1)).Draw(t, "part"))
		checkWhen(t, h, bytes)
	})
}

func checkExpired(t *rapid.T, h *Histogram, all []counted, now int64) {
	entries, bytes := exactly(all, now)
	gotEntries, gotBytes := h.ExpiredEntries(now), h.ExpiredBytes(now)
	if gotEntries > entries || gotBytes > bytes {
		t.Fatalf("at %d: %d entries, %d bytes, but only %d, %d have expired", now, gotEntries, gotBytes, entries, bytes)
	}
	if now >= h.Max() && (gotEntries != entries || gotBytes != bytes) {
		t.Fatalf("at %d: %d entries, %d bytes, want all %d, %d", now, gotEntries, gotBytes, entries, bytes)
	}
	aboutEntries, aboutBytes := h.Expired(now)
	if aboutEntries < float64(gotEntries) || aboutBytes < float64(gotBytes)*(1-1e-9) ||
		aboutEntries > float64(h.Entries()) || aboutBytes > float64(h.Bytes())*(1+1e-9) {
		t.Fatalf("at %d: about %v entries, %v bytes, of %d, %d that have expired", now, aboutEntries, aboutBytes, entries, bytes)
	}
	if now < h.Min() && aboutEntries != 0 {
		t.Fatalf("at %d, before the first deadline: about %v entries", now, aboutEntries)
	}
	exact := h.shift == 0 && h.Min() >= h.origin && h.Max()-h.origin < 1<<53
	if exact && gotEntries != entries {
		t.Fatalf("at %d: %d entries, want %d: few deadlines need no rounding", now, gotEntries, entries)
	}
}

// The answer is the first moment at which so much has expired, or that never happens.
func checkWhen(t *rapid.T, h *Histogram, bytes int64) {
	at := h.When(bytes)
	if bytes > h.Bytes() {
		if at != 0 {
			t.Fatalf("When(%d) = %d of %d bytes", bytes, at, h.Bytes())
		}
		return
	}
	if got := h.ExpiredBytes(at); got < bytes {
		t.Fatalf("When(%d) = %d, but then only %d have expired", bytes, at, got)
	}
	if got := h.ExpiredBytes(at - 1); at > math.MinInt64 && bytes > 0 && got >= bytes {
		t.Fatalf("When(%d) = %d, but %d have expired before", bytes, at, got)
	}
}

func TestHistogramDoesNotAllocate(t *testing.T) {
	h := NewHistogram(base)
	r := rand.New(rand.NewPCG(1, 1))
	if n := testing.AllocsPerRun(10_000, func() { h.Add(base+r.Int64N(hour), 100) }); n != 0 {
		t.Errorf("Add: %v allocations", n)
	}
	if n := testing.AllocsPerRun(100, func() { h.ExpiredBytes(base + hour/2); h.When(h.Bytes() / 2) }); n != 0 {
		t.Errorf("ExpiredBytes, When: %v allocations", n)
	}
}
