package table

import (
	"slices"
	"sort"
)

// DeadlineBucket sums up the entries whose deadlines lie after the bucket before it, up to and including UpTo.
type DeadlineBucket struct {
	UpTo    int64 // Unix ms; the latest deadline in the bucket
	Entries uint64
	Bytes   uint64 // of keys and values
}

// maxDeadlineBuckets bounds the histogram of a table to about 1.5 KiB. It resolves a sixty-fourth of the time its
// deadlines span, which is finer than a compaction decides.
const maxDeadlineBuckets = 64

// deadlineHistogram collects deadlines in one pass and bounded memory. Every bucket covers the deadlines that are equal
// after a shift, the same for all, which grows as often as there would be too many buckets. Only buckets with an entry
// exist, so one deadline in the far future costs one bucket and not the resolution of the rest.
type deadlineHistogram struct {
	buckets []DeadlineBucket
	shift   uint
	last    int // the bucket that was added to last: neighbours in key order often expire together
}

// add counts one entry. deadline is above zero.
func (h *deadlineHistogram) add(deadline int64, bytes uint64) {
	if h.last >= len(h.buckets) || h.buckets[h.last].UpTo>>h.shift != deadline>>h.shift {
		h.last = h.find(deadline)
	}
	b := &h.buckets[h.last]
	b.UpTo = max(b.UpTo, deadline)
	b.Entries++
	b.Bytes += bytes
}

// find returns the bucket of a deadline, which it makes if there is none.
func (h *deadlineHistogram) find(deadline int64) int {
	search := func() (int, bool) {
		i := sort.Search(len(h.buckets), func(i int) bool { return h.buckets[i].UpTo>>h.shift >= deadline>>h.shift })
		return i, i < len(h.buckets) && h.buckets[i].UpTo>>h.shift == deadline>>h.shift
	}
	i, found := search()
	if found {
		return i
	}
	h.buckets = slices.Insert(h.buckets, i, DeadlineBucket{UpTo: deadline})
	if len(h.buckets) <= maxDeadlineBuckets {
		return i
	}
	for len(h.buckets) > maxDeadlineBuckets {
		h.coarsen()
	}
	i, _ = search()
	return i
}

// coarsen doubles the width of the buckets.
func (h *deadlineHistogram) coarsen() {
	h.shift++
	merged := h.buckets[:0]
	for _, b := range h.buckets {
		if n := len(merged); n > 0 && merged[n-1].UpTo>>h.shift == b.UpTo>>h.shift {
			merged[n-1].UpTo = b.UpTo
			merged[n-1].Entries += b.Entries
			merged[n-1].Bytes += b.Bytes
			continue
		}
		merged = append(merged, b)
	}
	h.buckets = merged
}
