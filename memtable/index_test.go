package memtable

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/ebbdb/ebb/internal/kv"
)

// TestIndexCollisions enters keys under hashes that are equal, at the end of a part, or equal in all that a slot keeps.
func TestIndexCollisions(t *testing.T) {
	if testing.Short() {
		t.Skip("one goroutine")
	}
	for _, c := range []struct {
		name string
		hash func(i int) uint64
	}{
		{"all zero", func(int) uint64 { return 0 }},
		{"all ones: the search wraps around", func(int) uint64 { return math.MaxUint64 }},
		{"last homes of a part", func(i int) uint64 { return math.MaxUint64 - uint64(i%3)<<24 }},
		{"neighbouring tags", func(i int) uint64 { return uint64(i) << (32 - partBits) }},
		{"spread over the parts", func(i int) uint64 { return uint64(i) << (64 - partBits) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			var a arena
			var x index
			nodes := make([]uint32, 1000)
			for i := range nodes {
				key := fmt.Append(nil, "key", i)
				if got := x.find(&a, key, c.hash(i)); got != 0 {
					t.Fatalf("key %d is found before it is added: %d", i, got)
				}
				node, err := a.addNode(key, &content{kind: kv.Put})
				if err != nil {
					t.Fatal(err)
				}
				nodes[i] = node
				x.add(node, c.hash(i))
			}
			var size int64
			for p := range x.parts {
				if slots := x.parts[p].Load(); slots != nil {
					size += int64(8 * len(*slots))
				}
			}
			if got := x.size.Load(); got != size {
				t.Errorf("size = %d, want %d", got, size)
			}
			for i, node := range nodes {
				if got := x.find(&a, fmt.Append(nil, "key", i), c.hash(i)); got != node {
					t.Fatalf("key %d: node %d, want %d", i, got, node)
				}
				if got := x.find(&a, fmt.Append(nil, "other", i), c.hash(i)); got != 0 {
					t.Fatalf("another key with the hash of %d: node %d", i, got)
				}
			}
		})
	}
}

// TestHome checks that homes lie in the range and in the order of the tags, which growing relies on for its speed only,
// and searching for its life.
func TestHome(t *testing.T) {
	const seed = 3
	r := rand.New(rand.NewPCG(seed, 0))
	for range 100_000 {
		n := 1 + r.IntN(1<<20)
		a, b := r.Uint32(), r.Uint32()
		if a > b {
			a, b = b, a
		}
		if lo, hi := home(a, n), home(b, n); lo < 0 || lo > hi || hi >= n {
			t.Fatalf("seed %d: home(%#x, %d) = %d, home(%#x, %d) = %d", seed, a, n, lo, b, n, hi)
		}
	}
	if home(0, 8) != 0 || home(math.MaxUint32, 8) != 7 {
		t.Errorf("home does not use the whole range: %d, %d", home(0, 8), home(math.MaxUint32, 8))
	}
}

// TestIndexGrowsUnseen looks up keys that are there while their part grows again and again.
func TestIndexGrowsUnseen(t *testing.T) {
	const old, all = 100, 50_000
	var a arena
	var x index
	hash := func(i int) uint64 { return uint64(i) * 0x9e3779b97f4a7c15 >> partBits }
	keys := make([][]byte, all)
	add := func(i int) {
		keys[i] = fmt.Append(nil, i)
		node, err := a.addNode(keys[i], &content{kind: kv.Put})
		if err != nil {
			t.Error(err)
		}
		x.add(node, hash(i))
	}
	for i := range old {
		add(i)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := old; i < all; i++ {
			add(i)
		}
	}()
	for round := 0; ; round++ {
		for i := range old {
			if x.find(&a, keys[i], hash(i)) == 0 {
				t.Fatalf("round %d: key %d is lost", round, i)
			}
		}
		select {
		case <-done:
			return
		default:
		}
	}
}
