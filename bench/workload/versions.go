package workload

import "sync/atomic"

const (
	trackEvery = 64 // one record in so many is tracked; more would be a cache miss an operation

	threadShift = 48
	trackedMark = 1<<16 - 1 // in place of the thread, in versions of tracked records
	countMask   = 1<<threadShift - 1

	// MaxThreads is how many threads Versions can tell apart.
	MaxThreads = trackedMark
)

// Versions numbers writes, so that what comes back from a store can be told from what was never written, and from what had
// been replaced.
//
// Most records take their versions from a counter of the thread that writes: a version that its thread has not come to is
// false. One record in sixty-four is tracked, and has its own counter. If no other write to it was under way when a write began,
// then that one comes after all before it, and from its end on whoever starts to read must see it or a later one: it is the
// floor.
type Versions struct {
	threads []counter
	tracked []track
}

type counter struct {
	n atomic.Uint64
	_ [56]byte // no other thread's in the same cache line
}

type track struct {
	issued atomic.Uint64 // the last version in the lower 48 bits, writes under way above
	floor  atomic.Uint64
}

// NewVersions returns the versions for a number of threads; records from the given number on are not tracked.
func NewVersions(threads int, records uint64) *Versions {
	return &Versions{make([]counter, threads), make([]track, (records+trackEvery-1)/trackEvery)}
}

// A Write is a version under way.
type Write struct {
	Version uint64
	alone   bool
}

// Begin returns the version of a write that is about to start.
func (v *Versions) Begin(thread int, record uint64) Write {
	t := v.track(record)
	if t == nil {
		return Write{Version: uint64(thread)<<threadShift | v.threads[thread].n.Add(1)}
	}
	n := t.issued.Add(1<<threadShift + 1)
	return Write{Version: trackedMark<<threadShift | n&countMask, alone: n>>threadShift == 1}
}

// End says that the write has returned.
func (v *Versions) End(record uint64, w Write) {
	t := v.track(record)
	if t == nil {
		return
	}
	t.issued.Add(^uint64(1<<threadShift - 1)) // one less under way
	for w.alone {
		old := t.floor.Load()
		if old >= w.Version || t.floor.CompareAndSwap(old, w.Version) {
			return
		}
	}
}

// Floor returns the oldest version that a read may see that starts now; 0 if that is not known.
func (v *Versions) Floor(record uint64) uint64 {
	if t := v.track(record); t != nil {
		return t.floor.Load()
	}
	return 0
}

// Valid reports whether a read of a record that started at a floor may have seen a version.
func (v *Versions) Valid(record, floor, version uint64) bool {
	t := v.track(record)
	if t == nil {
		return v.Issued(version)
	}
	return version >= floor && version>>threadShift == trackedMark && version&countMask <= t.issued.Load()&countMask
}

// Issued reports whether a version may have been given to any record: less than Valid, for who does not know the record.
func (v *Versions) Issued(version uint64) bool {
	thread := version >> threadShift
	return thread == trackedMark || thread < uint64(len(v.threads)) && version&countMask <= v.threads[thread].n.Load()
}

func (v *Versions) track(record uint64) *track {
	if i := record / trackEvery; record%trackEvery == 0 && i < uint64(len(v.tracked)) {
		return &v.tracked[i]
	}
	return nil
}
