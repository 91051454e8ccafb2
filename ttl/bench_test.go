package ttl

import (
	"math/rand/v2"
	"testing"
	"time"
)

var sink int64

func BenchmarkNow(b *testing.B) {
	b.Run("time.Now", func(b *testing.B) {
		for b.Loop() {
			sink = time.Now().UnixMilli()
		}
	})
	b.Run("system", func(b *testing.B) {
		c := NewClock(0, nil)
		for b.Loop() {
			sink = c.Now()
		}
	})
	b.Run("system,parallel", func(b *testing.B) {
		c := NewClock(0, nil)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				c.Now()
			}
		})
	})
	b.Run("injected", func(b *testing.B) {
		c := NewClock(0, time.Now)
		for b.Loop() {
			sink = c.Now()
		}
	})
}

func BenchmarkHistogramAdd(b *testing.B) {
	tests := []struct {
		name string
		ttl  func(r *rand.Rand) int64
	}{
		{"one TTL", func(*rand.Rand) int64 { return hour }},
		{"spread over a day", func(r *rand.Rand) int64 { return r.Int64N(24 * hour) }},
	}
	for _, tt := range tests {
		b.Run(tt.name, func(b *testing.B) {
			r := rand.New(rand.NewPCG(1, 1))
			deadlines := make([]int64, 1<<14)
			for i := range deadlines {
				deadlines[i] = base + int64(i) + tt.ttl(r)
			}
			h := NewHistogram(base)
			for i := 0; b.Loop(); i++ {
				h.Add(deadlines[i%len(deadlines)], 100)
			}
		})
	}
}

func BenchmarkHistogramQuery(b *testing.B) {
	h := NewHistogram(base)
	for i := range hour {
		h.Add(base+hour+i, 100)
	}
	b.Run("ExpiredBytes", func(b *testing.B) {
		for b.Loop() {
			sink = h.ExpiredBytes(base + 3*hour/2)
		}
	})
	b.Run("When", func(b *testing.B) {
		for b.Loop() {
			sink = h.When(h.Bytes() / 2)
		}
	})
}
