package prefetch

import "testing"

// Lines may be called for any bytes, whatever their alignment, and for none.
func TestLines(t *testing.T) {
	b := make([]byte, 1<<12)
	for i := range b {
		b[i] = byte(i)
	}
	for from := range 200 {
		for n := range 300 {
			Lines(b[from : from+n])
		}
	}
	Lines(b)
	Lines(b[len(b):])
	Lines(nil)
	for i := range b {
		if b[i] != byte(i) {
			t.Fatalf("byte %d has changed", i)
		}
	}
}
