package table

import (
	"fmt"
	"math"
	"testing"

	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// TestPart cuts a table at each of its keys: the parts grow with the key, make one together, and are right to a fifth of a block
// where keys are even.
func TestPart(t *testing.T) {
	const n = 2000
	var c content
	for i := range n {
		c.entries = append(c.entries, kv.Entry{Key: append([]byte("user/"), byte(7*i>>8), byte(7*i), '/'), Seq: 1, Value: make([]byte, 100)})
	}
	r := buildTable(t, c)
	block := 1 / float64(r.index.blocks())
	if r.index.blocks() < 20 {
		t.Fatalf("%d blocks", r.index.blocks())
	}
	before := 0.0
	for i := range n {
		at := c.entries[i].Key
		low, high := r.Part(nil, at), r.Part(at, nil)
		if low < before || math.Abs(low+high-1) > 1e-9 || math.Abs(low-float64(i)/n) > block/5 {
			t.Fatalf("before %q lies %v, behind it %v, and it is %d of %d", at, low, high, i, n)
		}
		before = low
	}
	for _, row := range []struct {
		lower, upper string
		want         float64
	}{
		{"", "", 1}, {"a", "z", 1}, {"user/", "user0", 1}, {"v", "", 0}, {"", "u", 0}, {"user/2", "user/1", 0},
		{"", "user/\x00\x00/", 0}, {"user/\x00\x00/", "", 1},
	} {
		if got := r.Part([]byte(row.lower), []byte(row.upper)); got != row.want {
			t.Errorf("from %q to %q lies %v, want %v", row.lower, row.upper, got, row.want)
		}
	}
}

// TestExpiredParts holds the parts that have expired against the entries.
func TestExpiredParts(t *testing.T) {
	const n = 3000
	var c content
	for i := range n {
		e := kv.Entry{Key: fmt.Appendf(nil, "%06d", i), Seq: 1, Value: make([]byte, 50)}
		if i%3 > 0 {
			e.Deadline = testTime + int64(i*7919%n)*1000
		}
		c.entries = append(c.entries, e)
	}
	p := buildTable(t, c).Properties()
	for _, at := range []int64{0, 1, 33, 500, 2222, n, 10 * n} {
		now := testTime + at*1000
		expired := 0
		for _, e := range c.entries {
			if kv.Expired(e.Deadline, now) {
				expired++
			}
		}
		want := float64(expired) / n
		if puts, size := p.Expired(now); math.Abs(puts-want) > 0.01 || math.Abs(size-want) > 0.01 {
			t.Errorf("after %d s %.3f and %.3f have expired, not %.3f", at, puts, size, want)
		}
	}
	if puts, size := p.Expired(0); puts != 0 || size != 0 {
		t.Errorf("long before, %v and %v have expired", puts, size)
	}
}

func buildTable(t *testing.T, c content) *Reader {
	t.Helper()
	mem := vfstest.NewMem()
	build(t, mem, testName, c, Options{})
	return mustOpen(t, mem, testName, nil)
}
