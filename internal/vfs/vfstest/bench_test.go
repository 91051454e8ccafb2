package vfstest

import (
	"bytes"
	"fmt"
	"testing"
)

// One crash state of a script of 300 operations on 200 KB.
func BenchmarkCrashState(b *testing.B) {
	m := NewMem()
	m.Record()
	for i := range 10 {
		f, err := m.Create(fmt.Sprintf("%06d", i))
		if err != nil {
			b.Fatal(err)
		}
		for j := range int64(27) {
			if _, err := f.WriteAt(bytes.Repeat([]byte{byte(j) + 1}, 760), 760*j); err != nil {
				b.Fatal(err)
			}
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
		if err := m.SyncDir("."); err != nil {
			b.Fatal(err)
		}
	}
	// The last file is written over without a sync.
	f, err := m.OpenWrite("000009")
	if err != nil {
		b.Fatal(err)
	}
	for j := range int64(10) {
		if _, err := f.WriteAt(bytes.Repeat([]byte{byte(j) + 100}, 1000), 2000*j); err != nil {
			b.Fatal(err)
		}
	}
	c := m.Crashes(1, 20)
	for b.Loop() {
		for range c.At(c.OpCount()) {
		}
	}
	total, distinct := c.Counts()
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(total), "ns/state")
	b.ReportMetric(float64(distinct)/float64(total), "distinct/state")
}
