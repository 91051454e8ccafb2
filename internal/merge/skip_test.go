package merge

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/ebbdb/ebb/internal/kv"
)

// TestSkip skips now and then on a walk over random sources, some of which give runs and can be aimed: what the skipping ones have
// up to the place does not come, and everything else does.
func TestSkip(t *testing.T) {
	const keys = 60
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 3))
		reverse := r.IntN(2) == 0
		var its []kv.Iterator
		have := make([]map[string]bool, 1+r.IntN(5))
		for i := range have {
			have[i] = make(map[string]bool)
			var entries []kv.Entry
			for k := range keys {
				if r.IntN(3) == 0 {
					key := fmt.Sprintf("key%02d", k)
					entries = append(entries, kv.Entry{Key: []byte(key), Seq: uint64(i)})
					have[i][key] = true
				}
			}
			switch s := newSliceIter(entries); r.IntN(3) {
			case 0:
				its = append(its, s)
			case 1:
				its = append(its, &runIter{sliceIter: s, most: r.IntN(8)})
			default:
				its = append(its, &aimIter{runIter: &runIter{sliceIter: s, most: 3}})
			}
		}
		it := newMerge(its...)
		at := func(k int) string {
			if reverse {
				k = keys - 1 - k
			}
			return fmt.Sprintf("key%02d", k)
		}
		ok := false
		if reverse {
			ok = it.SeekLT([]byte("key99"))
		} else {
			ok = it.SeekGE([]byte("key"))
		}
		step := func() {
			if ok && r.IntN(2) == 0 {
				it.Run(1+r.IntN(9), reverse)
			}
			switch {
			case reverse:
				ok = it.Prev()
			default:
				ok = it.Next()
			}
		}
		for k := 0; k < keys; k++ {
			newest := -1
			for i := len(have) - 1; i >= 0; i-- {
				if have[i][at(k)] {
					newest = i
				}
			}
			if newest < 0 {
				continue
			}
			if !ok || string(it.Entry().Key) != at(k) || it.Entry().Seq != uint64(newest) {
				t.Fatalf("seed %d: it stands on %q of %d: %t, want %q of %d", seed, it.Entry().Key, it.Entry().Seq, ok, at(k), newest)
			}
			if r.IntN(4) > 0 {
				step()
				continue
			}
			to := k + 1 + r.IntN(10)
			which := make([]bool, len(have))
			for i := range which {
				if which[i] = r.IntN(2) == 0; which[i] {
					for gone := k + 1; gone < min(to, keys); gone++ {
						delete(have[i], at(gone))
					}
				}
			}
			place := []byte("key99") // behind all
			if to < keys {
				place = []byte(at(to))
			} else if reverse {
				place = nil
			}
			if reverse && to < keys {
				place = append(place, 0) // SeekLT leaves out the key itself
			}
			if r.IntN(2) == 0 {
				it.Run(1+r.IntN(9), reverse)
			}
			ok = it.Skip(place, which)
		}
		if ok || it.Err() != nil {
			t.Fatalf("seed %d: there is %q more, %v", seed, it.Entry().Key, it.Err())
		}
	}
}
