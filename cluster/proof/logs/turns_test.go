package logs

import (
	"slices"
	"testing"
	"time"
)

// BenchmarkTurns stores with one store after another, turn by turn, so that whatever else the machine does strikes them alike,
// and reports what half of the calls took at most, in microseconds.
func BenchmarkTurns(b *testing.B) {
	for _, c := range []struct {
		name    string
		n, size int
	}{
		{"1x4", 1, 4}, {"1x1KiB", 1, 1 << 10}, {"3x4", 3, 4}, {"64x1KiB", 64, 1 << 10}, {"64x100", 64, 100},
	} {
		b.Run(c.name, func(b *testing.B) { turns(b, c.n, c.size) })
	}
}

func turns(b *testing.B, n, size int) {
	all := make([]store, len(stores))
	for i, kind := range stores {
		s, err := kind.open(b.TempDir())
		if err != nil {
			b.Fatal(err)
		}
		defer s.Close()
		all[i] = s
	}
	took := make([][]time.Duration, len(stores))
	for turn := range b.N {
		logs := batch(uint64(turn*n+1), n, size)
		for i := range all {
			k := (turn + i) % len(all) // each goes first as often
			began := time.Now()
			if err := all[k].StoreLogs(logs); err != nil {
				b.Fatal(err)
			}
			took[k] = append(took[k], time.Since(began))
		}
	}
	for i, kind := range stores {
		slices.Sort(took[i])
		b.ReportMetric(float64(took[i][len(took[i])/2].Nanoseconds())/1000, kind.name+"-µs")
		b.ReportMetric(float64(took[i][len(took[i])/10].Nanoseconds())/1000, kind.name+"-p10-µs")
	}
	b.ReportMetric(0, "ns/op")
}
