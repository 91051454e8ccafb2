package lsm

import "testing"

// Reads that pay and pay, and for which nothing can be compacted, do not ask each time.
func TestRentAsksRarely(t *testing.T) {
	asked := 0
	r := Rent{request: func() { asked++ }}
	for range 1 << 20 {
		r.Pay(ScanBytes)
	}
	if asked < 8 || asked > 100 {
		t.Errorf("for %d bytes reads have asked %d times", int64(ScanBytes)<<20, asked)
	}
	r.Reset()
	asked = 0
	for range 2 * (paidFirst/ScanBytes + 1) {
		r.Pay(ScanBytes)
	}
	if asked != 2 {
		t.Errorf("for 2 MiB after a compaction reads have asked %d times", asked)
	}
}
