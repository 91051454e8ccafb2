package table

// copySize is the size of the largest block that is copied: that of blocks with several rows, unless they are compressed.
const copySize = defaultBlockSize

// Copies are the copies of blocks that iterators have made. A copy stays as it is while an iterator reads the block, and
// after that until Recycle. For one goroutine. The zero Copies is ready.
type Copies struct {
	free [][]byte
	used [][]byte // that no iterator reads any more
}

// maxFree is how many copies are kept to be used again: of one scan over all tables of a full level 0, and more.
const maxFree = 128

// take returns memory for a block.
func (c *Copies) take() []byte {
	n := len(c.free)
	if n == 0 {
		return make([]byte, copySize)
	}
	b := c.free[n-1]
	c.free = c.free[:n-1]
	return b
}

// Used returns how many copies that no iterator reads wait for Recycle.
func (c *Copies) Used() int { return len(c.used) }

// give returns memory that an iterator does not read any more.
func (c *Copies) give(b []byte) { c.used = append(c.used, b) }

// Recycle ends the life of what Run has given as kept, but for the blocks that iterators are in.
func (c *Copies) Recycle() {
	for i, b := range c.used {
		if len(c.free) < maxFree {
			c.free = append(c.free, b)
		}
		c.used[i] = nil
	}
	c.used = c.used[:0]
}
