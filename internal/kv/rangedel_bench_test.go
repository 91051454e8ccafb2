package kv

import (
	"fmt"
	"math"
	"slices"
	"testing"
)

// BenchmarkRangeDeletes adds deletes that are apart, in a random order, and asks for random keys.
func BenchmarkRangeDeletes(b *testing.B) {
	for _, n := range []int{1, 100, 2000, 80_000} {
		key := func(i int) []byte { return fmt.Appendf(nil, "key%08d", i*7919%n*10%1e8) }
		set := new(RangeDeletes)
		for i := range n {
			set.Add(key(i), append(key(i), '5'), uint64(i+1))
		}
		keys := make([][]byte, 1<<12)
		for i := range keys {
			keys[i] = append(key(i*104729%n), "37"[i%2])
		}
		b.Run(fmt.Sprintf("deletes=%d/add", n), func(b *testing.B) {
			set := new(RangeDeletes)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if i%n == 0 {
					set = new(RangeDeletes)
				}
				start := key(i)
				set.Add(start, append(start, 0x35), uint64(i+1))
			}
		})
		b.Run(fmt.Sprintf("deletes=%d/seq", n), func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				set.Seq(keys[i%len(keys)], math.MaxUint64)
			}
			b.ReportMetric(float64(set.Size())/float64(n), "B/delete")
		})
		b.Run(fmt.Sprintf("deletes=%d/old", n), func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				set.Seq(keys[i%len(keys)], uint64(n/2))
			}
		})
		b.Run(fmt.Sprintf("deletes=%d/walk", n), func(b *testing.B) {
			slices.SortFunc(keys, Compare)
			walk := set.Walk(math.MaxUint64)
			for i := 0; b.Loop(); i++ {
				walk.Seq(keys[i%len(keys)])
			}
		})
	}
}
