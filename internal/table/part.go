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

// Blocks returns how many of the table's blocks may have keys with lower <= key < upper; an empty bound is none.
func (t *Reader) Blocks(lower, upper []byte) int {
	from, to := t.blocksOf(lower, upper)
	return to - from
}

// blocksOf returns the first of the blocks that may have keys of a range, and the one after the last.
func (t *Reader) blocksOf(lower, upper []byte) (from, to int) {
	if t.index.blocks() == 0 {
		return 0, 0
	}
	to = t.index.blocks()
	if len(upper) > 0 {
		to = t.index.find(upper) + 1
	}
	return t.index.find(lower), to
}

// Starts calls fn for every stride-th of the blocks that may have keys with lower <= key < upper, with about the first key of
// the block, of the table for its first one, and with the part of the table, by size, from there to the next call. It reads
// nothing. The key is for the call, and may be below lower.
func (t *Reader) Starts(lower, upper []byte, stride int, fn func(key []byte, part float64)) {
	x := t.index
	i, to := t.blocksOf(lower, upper)
	if i == to {
		return
	}
	_, first, _, _ := x.place(0)
	_, _, _, last := x.place(x.blocks() - 1)
	var key []byte
	for ; i < to; i += stride {
		key = append(key[:0], t.properties.Smallest...)
		if i > 0 {
			key = append(append(key[:0], x.prefix...), x.separator(i-1)...)
		}
		_, from, _, _ := x.place(i)
		_, _, _, end := x.place(min(i+stride, to) - 1)
		fn(key, float64(end-from)/float64(last-first))
	}
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
