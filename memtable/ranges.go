package memtable

import (
	"sync/atomic"

	"github.com/ebbdb/ebb/internal/kv"
)

// ranges keeps the range deletes. One goroutine adds, any number ask.
//
// list is append-only: a longer list may share the array of a shorter one, and whoever holds the shorter one never looks
// behind its end. built is the answer for the first n deletes of list; it is made by whoever asks first and may be
// replaced by an older one in a race, which costs building it again and nothing else.
type ranges struct {
	list  atomic.Pointer[[]kv.RangeDelete]
	built atomic.Pointer[builtRanges]
	size  atomic.Int64 // bytes of the bounds
}

type builtRanges struct {
	n       int
	deletes *kv.RangeDeletes
}

// add records a delete, with bounds copied.
func (r *ranges) add(start, end []byte, seq uint64) {
	bounds := make([]byte, len(start)+len(end))
	n := copy(bounds, start)
	copy(bounds[n:], end)
	var list []kv.RangeDelete
	if p := r.list.Load(); p != nil {
		list = *p
	}
	list = append(list, kv.RangeDelete{Start: bounds[:n:n], End: bounds[n:], Seq: seq})
	r.size.Add(int64(len(bounds)))
	r.list.Store(&list)
}

// get returns the answer for all deletes added so far.
func (r *ranges) get() *kv.RangeDeletes {
	p := r.list.Load()
	if p == nil {
		return nil
	}
	if b := r.built.Load(); b != nil && b.n >= len(*p) {
		return b.deletes
	}
	b := &builtRanges{n: len(*p), deletes: kv.NewRangeDeletes(*p)}
	r.built.Store(b)
	return b.deletes
}

func (r *ranges) len() int {
	if p := r.list.Load(); p != nil {
		return len(*p)
	}
	return 0
}
