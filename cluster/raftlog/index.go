package raftlog

import "github.com/ebbdb/ebb/wal"

// place is where the record of an entry is.
type place struct {
	wal.Position
	size uint32 // bytes of the record
}

// index maps the indexes of the entries that there are, without a gap, to their places.
type index struct {
	first  uint64 // the index of places[0]
	places []place
}

func (x *index) empty() bool { return len(x.places) == 0 }

// next returns the index after the last. It means something only if there are entries.
func (x *index) next() uint64 { return x.first + uint64(len(x.places)) }

// at returns the place of an index.
func (x *index) at(i uint64) (place, bool) {
	if i < x.first || i-x.first >= uint64(len(x.places)) {
		return place{}, false
	}
	return x.places[i-x.first], true
}

// begin makes an entry the first, and the only one.
func (x *index) begin(i uint64, p place) {
	x.first, x.places = i, append(x.places[:0], p)
}

// clear forgets all entries.
func (x *index) clear() { x.places = x.places[:0] }

// extend takes over the entries of a batch, which continue those that there are, and leaves it empty.
func (x *index) extend(batch *index) {
	if x.empty() {
		x.first = batch.first
	}
	x.places = append(x.places, batch.places...)
	batch.clear()
}

// add adds the entry after the last.
func (x *index) add(p place) { x.places = append(x.places, p) }

// cutBefore forgets the entries before i.
func (x *index) cutBefore(i uint64) {
	if i <= x.first {
		return
	}
	n := min(i-x.first, uint64(len(x.places)))
	x.places = x.places[n:] // the next growth leaves the memory before it behind
	x.first += n
}

// cutFrom forgets the entries from i on.
func (x *index) cutFrom(i uint64) {
	if i < x.first {
		i = x.first
	}
	x.places = x.places[:min(i-x.first, uint64(len(x.places)))]
}
