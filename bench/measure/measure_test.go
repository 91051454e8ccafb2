package measure

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// TestClock compares the clock with the system's over a time that both have seen.
func TestClock(t *testing.T) {
	c := NewClock()
	outer := time.Now()
	from := c.Ticks()
	inner := time.Now()
	for time.Since(inner) < 20*time.Millisecond {
		runtime.Gosched()
	}
	least := time.Since(inner)
	got := time.Duration(c.Nanoseconds(c.Ticks() - from))
	most := time.Since(outer)
	if got < least*99/100 || got > most*101/100 {
		t.Errorf("%v, not %v to %v", got, least, most)
	}
	c.perNs = 0
	if d := c.Nanoseconds(c.Ticks()); d < int64(most) {
		t.Errorf("the system's clock shows %d ns", d)
	}
}

func TestHistogram(t *testing.T) {
	a, b := NewHistogram(), NewHistogram()
	for i := range int64(1000) {
		a.Record(1000 * (i + 1))
	}
	b.Record(-1)
	b.Record(1 << 62)
	a.Merge(b)
	l := a.Latency()
	within := func(got, want int64) bool { return got >= want*99/100 && got <= want*101/100 }
	if l.Count != 1002 || !within(l.P50, 500_000) || !within(l.P99, 990_000) || !within(l.P999, 1_000_000) || !within(l.Max, maxLatency) {
		t.Errorf("%+v", l)
	}
}

func TestDisk(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "sub/b"} {
		if err := os.WriteFile(filepath.Join(dir, name), make([]byte, 1<<20), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if n := Disk(dir); n < 2<<20 || n > 3<<20 {
		t.Errorf("%d bytes", n)
	}
	if n := Disk(filepath.Join(dir, "gone")); n != 0 {
		t.Errorf("%d bytes of nothing", n)
	}
}

var sink []byte

func TestUsage(t *testing.T) {
	before := Used()
	for start := time.Now(); time.Since(start) < 30*time.Millisecond; {
		sink = make([]byte, 1<<10)
	}
	used := Used().Since(before)
	if used.CPU <= 0 || used.Allocs < 10 || used.AllocBytes < 10<<10 || used.Written < 0 {
		t.Errorf("%+v", used)
	}
	ResetPeak()
	if RSS() <= 0 || PeakRSS() <= 0 {
		t.Errorf("%d bytes, at most %d", RSS(), PeakRSS())
	}
}

func TestSampler(t *testing.T) {
	sampler := StartSampler(t.TempDir(), time.Hour)
	samples := sampler.Stop()
	if len(samples) != 2 || samples[0].At > samples[1].At || samples[1].RSS <= 0 {
		t.Errorf("%+v", samples)
	}
	anon, file := sampler.Peaks()
	if told := runtime.GOOS == "linux"; told != (anon > 0) || told != (file > 0) {
		t.Errorf("%d bytes of its own, %d of files", anon, file)
	}
}
