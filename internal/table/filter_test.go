package table

import (
	"fmt"
	"testing"
)

// A filter lacks no key that is in its table, and few of the others pass.
func TestFilter(t *testing.T) {
	for _, keys := range []int{0, 1, 49, 50, 51, 1000, 100_000} {
		f := newFilter(keys)
		for i := range keys {
			f.add(Hash(fmt.Appendf(nil, "key%d", i)))
		}
		for i := range keys {
			if !f.has(Hash(fmt.Appendf(nil, "key%d", i))) {
				t.Fatalf("of %d keys, key %d is lacking", keys, i)
			}
		}
		passed := 0
		const others = 10_000
		for i := range others {
			if f.has(Hash(fmt.Appendf(nil, "other%d", i))) {
				passed++
			}
		}
		if passed > others/25 {
			t.Errorf("of %d others %d pass a filter of %d keys", others, passed, keys)
		}
		if keys >= 1000 && f.memory() > int64(keys)*3/2 {
			t.Errorf("a filter of %d keys takes %d bytes", keys, f.memory())
		}
	}
}
