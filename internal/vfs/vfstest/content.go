package vfstest

import "hash/maphash"

// content is the bytes of a file, copied on write: many files, of many Mems, may stand on the same bytes until one of
// them changes. The zero value is an empty file.
type content struct {
	data   []byte
	owned  bool // no other content shares data
	summed bool // sum is that of data
	sum    uint64
}

// hashSeed serves every content hash, so that hashes of different Mems compare. They mean nothing to another process.
var hashSeed = maphash.MakeSeed()

// share returns a second content with the same bytes.
func (c *content) share() content {
	c.owned = false
	return content{data: c.data, summed: c.summed, sum: c.sum}
}

// own makes the content safe to change in place, with a capacity of at least n.
func (c *content) own(n int) {
	c.summed = false
	if c.owned && n <= cap(c.data) {
		return
	}
	grown := n
	if n > len(c.data) { // it grows, so it is likely to grow again
		grown += n / 4
	}
	data := make([]byte, len(c.data), max(grown, len(c.data)))
	copy(data, c.data)
	c.data, c.owned = data, true
}

// write replaces the bytes from off on with p; a gap before off becomes zeros.
func (c *content) write(p []byte, off int64) {
	if len(p) == 0 {
		return
	}
	end := off + int64(len(p))
	c.own(int(end))
	c.extend(end)
	copy(c.data[off:], p)
}

// extend grows the file to size, if it is shorter, with zeros.
func (c *content) extend(size int64) {
	old := len(c.data)
	if int64(old) >= size {
		return
	}
	c.own(int(size))
	c.data = c.data[:size]
	clear(c.data[old:])
}

func (c *content) truncate(size int64) {
	if size >= int64(len(c.data)) {
		c.extend(size)
		return
	}
	c.data = c.data[:size]
	c.summed = false
}

func (c *content) hash() uint64 {
	if !c.summed {
		c.sum, c.summed = maphash.Bytes(hashSeed, c.data), true
	}
	return c.sum
}
