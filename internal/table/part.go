package table

import (
	"bytes"
	"math"

	"github.com/ebbdb/ebb/internal/kv"
)

// Part returns which part of the table's entries, by their size, lies in lower <= key < upper; an empty bound is none. It reads
// nothing. Where a block is cut it goes by how the bound's bytes lie between those of the separators around the block: that is
// right for keys that are spread evenly there, and wrong by less than the block for others.
func (t *Reader) Part(lower, upper []byte) float64 {
	p, x := t.properties, t.index
	n := x.blocks()
	if n == 0 || p.Entries == 0 {
		return 0
	}
	_, first, _, _ := x.place(0)
	_, _, _, last := x.place(n - 1)
	from, to := float64(first), float64(last)
	if kv.Compare(lower, p.Smallest) > 0 {
		from = x.position(lower, p)
	}
	if len(upper) > 0 && kv.Compare(upper, p.Largest) <= 0 {
		to = x.position(upper, p)
	}
	return max(0, to-from) / float64(last-first)
}

// position returns about where in the file, in the blocks, a key belongs.
func (x *blockIndex) position(key []byte, p *Properties) float64 {
	if kv.Compare(key, p.Largest) > 0 {
		_, _, _, end := x.place(x.blocks() - 1)
		return float64(end)
	}
	i := x.find(key)
	_, off, _, end := x.place(i)
	low, high := x.head(p.Smallest), x.head(p.Largest)
	if i > 0 {
		low = x.heads[i-1]
	}
	if i < len(x.heads) {
		high = x.heads[i]
	}
	inside := 0.5
	if low < high {
		inside = float64(min(max(x.head(key), low), high)-low) / float64(high-low)
	}
	return float64(off) + inside*float64(end-off)
}

// head returns a key's head as heads has those of separators.
func (x *blockIndex) head(key []byte) uint64 {
	rest, ok := bytes.CutPrefix(key, x.prefix)
	switch {
	case ok:
		return keyHead(rest)
	case kv.Compare(key, x.prefix) < 0:
		return 0
	}
	return math.MaxUint64
}

// Expired returns about which parts of the table's puts, and of the bytes of their keys and values, have expired at now (Unix
// ms): within a bucket of the histogram deadlines count as spread evenly.
func (p *Properties) Expired(now int64) (puts, size float64) {
	var entries, sum float64
	since := p.MinDeadline - 1
	for _, b := range p.Deadlines {
		if now <= since {
			break
		}
		part := min(1, float64(now-since)/float64(max(b.UpTo-since, 1)))
		entries += part * float64(b.Entries)
		sum += part * float64(b.Bytes)
		since = b.UpTo
	}
	return entries / float64(max(p.Entries-p.Tombstones, 1)), sum / float64(max(p.PutBytes(), 1))
}

// PutBytes returns about how many bytes of keys and values the puts have: keys of tombstones are taken to be of average size.
func (p *Properties) PutBytes() uint64 {
	if p.Entries == 0 {
		return 0
	}
	return p.ValueBytes + uint64(float64(p.KeyBytes)*float64(p.Entries-p.Tombstones)/float64(p.Entries))
}
