package ttl

import (
	"cmp"
	"math"
	"slices"

	"github.com/ebbdb/ebb/internal/kv"
)

const (
	slotBits  = 7
	slotCount = 1 << slotBits
	// maxBuckets bounds how many times a Histogram distinguishes. With 64, an entry written within five minutes is seen to have
	// expired late by at most 1/440 of its distance from the origin if all live for an hour, by a quarter if TTLs of half
	// an hour and of anything up to a month are mixed, and by all of it if every magnitude up to a century occurs
	// (TestHistogramResolution). Every second slot stays free, so that a lookup ends after one or two.
	maxBuckets = slotCount / 2
)

// A Histogram sums up the deadlines of the entries of one memtable in fixed memory (about 4 KiB): how much of it has
// expired at a given time, and when a given part will have. It belongs to one goroutine at a time.
//
// It sorts deadlines into cells that are narrow near its origin and grow in proportion to the distance from it, as the
// buckets of a logarithmic histogram do, because how exactly a deadline should be known depends on how far away it is:
// a few entries that live for a year must not blur those that live for a minute. Cells without an entry cost nothing.
// When more than maxBuckets have one, every two neighbours become one cell.
type Histogram struct {
	origin   int64
	shift    uint // cells are numbered by the bits above these, see cell
	used     int  // slots in use
	entries  int64
	bytes    int64
	min, max int64
	slots    [slotCount]bucket // open addressing
}

// bucket holds the figures of one cell.
type bucket struct {
	cell    uint64
	upTo    int64 // the latest deadline in the cell
	entries int64 // 0: the slot is free
	bytes   int64
}

// NewHistogram returns an empty histogram that is most exact about deadlines soon after origin (Unix ms), which is the
// time at which the first entry is written.
func NewHistogram(origin int64) *Histogram {
	return &Histogram{origin: max(origin, 0)} // so that the distance of two times fits an int64
}

// Add counts one entry of so many bytes. An entry without a deadline (0) is not counted. It does not allocate.
func (h *Histogram) Add(deadline, bytes int64) {
	if deadline == 0 {
		return
	}
	if h.entries == 0 {
		h.min, h.max = deadline, deadline
	}
	h.min = min(h.min, deadline)
	h.max = max(h.max, deadline)
	h.entries++
	h.bytes += bytes
	h.put(deadline, 1, bytes)
	for h.used > maxBuckets {
		h.coarsen()
	}
}

// Entries returns the number of entries with a deadline.
func (h *Histogram) Entries() int64 { return h.entries }

// Bytes returns the bytes of the entries with a deadline.
func (h *Histogram) Bytes() int64 { return h.bytes }

// Min returns the earliest deadline, 0 if there is none.
func (h *Histogram) Min() int64 { return h.min }

// Max returns the latest deadline, 0 if there is none.
func (h *Histogram) Max() int64 { return h.max }

// ExpiredEntries returns a number of entries that have expired at now. There may be more, except before Min and from
// Max on.
func (h *Histogram) ExpiredEntries(now int64) int64 {
	entries, _ := h.expired(now)
	return entries
}

// ExpiredBytes is ExpiredEntries for the bytes of the entries.
func (h *Histogram) ExpiredBytes(now int64) int64 {
	_, bytes := h.expired(now)
	return bytes
}

// Expired returns about how many entries have expired at now, and their bytes. Within a cell deadlines count as spread evenly,
// so this is near the truth where ExpiredEntries and ExpiredBytes are below it.
func (h *Histogram) Expired(now int64) (entries, bytes float64) {
	for i := range h.slots {
		b := &h.slots[i]
		if b.entries == 0 {
			continue
		}
		part := 1.
		if !kv.Expired(b.upTo, now) {
			since := h.start(b.cell) - 1
			if part = (float64(now) - since) / (float64(b.upTo) - since); !(part > 0 && part <= 1) || now < h.min {
				continue
			}
		}
		entries += part * float64(b.entries)
		bytes += part * float64(b.bytes)
	}
	return entries, bytes
}

// Next returns the first time after now by which ExpiredEntries will be more, or Min if that is after now; 0 if there is none.
func (h *Histogram) Next(now int64) int64 {
	if h.min > now {
		return h.min
	}
	next := int64(0)
	for i := range h.slots {
		if b := &h.slots[i]; b.entries > 0 && b.upTo > now && (next == 0 || b.upTo < next) {
			next = b.upTo
		}
	}
	return next
}

// When returns the earliest time at which ExpiredBytes reaches bytes, be it in the past: When(h.Bytes()/2) is when half
// of what can expire will have, When(h.Bytes()) is when all will have. It returns 0 if that never happens.
func (h *Histogram) When(bytes int64) int64 {
	var room [maxBuckets]bucket
	byTime := room[:0]
	for i := range h.slots {
		if h.slots[i].entries > 0 {
			byTime = append(byTime, h.slots[i])
		}
	}
	slices.SortFunc(byTime, func(a, b bucket) int { return cmp.Compare(a.upTo, b.upTo) })
	for i := range byTime {
		bytes -= byTime[i].bytes
		if bytes <= 0 {
			return byTime[i].upTo
		}
	}
	return 0
}

// expired sums up the buckets in which everything has expired.
func (h *Histogram) expired(now int64) (entries, bytes int64) {
	for i := range h.slots {
		b := &h.slots[i]
		if b.entries > 0 && kv.Expired(b.upTo, now) {
			entries += b.entries
			bytes += b.bytes
		}
	}
	return entries, bytes
}

// cell numbers the cell of a deadline. The bits of a positive float64 count up with its value, exponent first: cut off
// at the same place for all, they number cells whose width doubles from each power of two to the next.
func (h *Histogram) cell(deadline int64) uint64 {
	if deadline <= h.origin {
		return 0
	}
	return math.Float64bits(float64(deadline-h.origin)) >> h.shift
}

// start returns about the earliest deadline that an entry of a cell may have.
func (h *Histogram) start(cell uint64) float64 {
	if cell == 0 {
		return float64(h.min)
	}
	return max(float64(h.min), float64(h.origin)+math.Float64frombits(cell<<h.shift))
}

// put adds to the bucket of a deadline, which it makes if there is none.
func (h *Histogram) put(deadline, entries, bytes int64) {
	b := h.slot(h.cell(deadline))
	if b.entries == 0 {
		b.upTo = deadline
		h.used++
	}
	b.upTo = max(b.upTo, deadline)
	b.entries += entries
	b.bytes += bytes
}

// slot returns the slot of a cell, or the free one where it goes.
func (h *Histogram) slot(cell uint64) *bucket {
	const (
		golden = 0x9E3779B97F4A7C15 // 2^64 / golden ratio: spreads consecutive cells evenly
		shift  = 64 - slotBits
	)
	for i := cell * golden >> shift; ; i = (i + 1) % slotCount {
		b := &h.slots[i]
		if b.entries == 0 {
			b.cell = cell
			return b
		}
		if b.cell == cell {
			return b
		}
	}
}

// coarsen makes one cell of every two.
func (h *Histogram) coarsen() {
	old := h.slots
	h.slots = [slotCount]bucket{}
	h.used = 0
	h.shift++
	for i := range old {
		if b := &old[i]; b.entries > 0 {
			h.put(b.upTo, b.entries, b.bytes)
		}
	}
}
