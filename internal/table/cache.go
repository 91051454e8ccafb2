package table

import (
	"fmt"
	"sync/atomic"

	"github.com/dgraph-io/ristretto/v2"
)

// Cache keeps blocks and hash pages that had to be read or decompressed. One cache is for all tables of one or of many
// databases. Methods may be called from any goroutine. A nil *Cache is valid and keeps nothing.
type Cache struct {
	blocks *ristretto.Cache[uint64, []byte]
	tables atomic.Uint64 // how many readers have used it
	misses atomic.Uint64
}

// cachedBlock is the least memory that a block is taken to need, from which the number of blocks follows.
const cachedBlock = 4 << 10

// maxCounters bounds what the cache allocates before it holds anything, at 64 MB: it is enough for 6 GiB of blocks, and
// beyond that it only forgets more of how often blocks were asked for.
const maxCounters = 1 << 24

// NewCache returns a cache of the given size in bytes, which is above 0. Close frees it and stops its goroutine.
func NewCache(size int64) (*Cache, error) {
	blocks, err := ristretto.NewCache(&ristretto.Config[uint64, []byte]{
		NumCounters: min(10*max(1, size/cachedBlock), maxCounters), // as its documentation advises
		MaxCost:     size,
		BufferItems: 64, // likewise
		// The cost is bytes; the cache's own overhead would count as much as a small block and lets hardly anything in.
		IgnoreInternalCost: true,
		KeyToHash:          spread,
	})
	if err != nil {
		return nil, fmt.Errorf("table: cache: %w", err)
	}
	return &Cache{blocks: blocks}, nil
}

// spread spreads keys over all bits. It maps no two keys to one hash, so the second hash, which the cache would tell them
// apart by, is not needed: a wrong block is never returned.
func spread(key uint64) (uint64, uint64) { return key * 0x9E3779B97F4A7C15, 0 }

// Close stops the cache. Nothing may use it afterwards.
func (c *Cache) Close() {
	if c != nil {
		c.blocks.Close()
	}
}

// CacheStats says what a Cache holds and has done.
type CacheStats struct {
	Bytes    int64  // kept
	Capacity int64  // bytes that it may keep
	Misses   uint64 // blocks and hash pages that were not there and had to be read or decompressed
}

// Stats returns the cache's figures.
func (c *Cache) Stats() CacheStats {
	if c == nil {
		return CacheStats{}
	}
	size := c.blocks.MaxCost()
	return CacheStats{Bytes: size - c.blocks.RemainingCost(), Capacity: size, Misses: c.misses.Load()}
}

// newTable returns a number for a reader that no other reader with this cache has or had. Numbers, unlike file ids, are
// unique across databases and short enough to leave room for the block in one key.
func (c *Cache) newTable() uint64 {
	if c == nil {
		return 0
	}
	return c.tables.Add(1)
}

const (
	cacheBlockBits = 24 // enough for maxBlocks, and for the pages that as many blocks of single keys need
	cachePage      = 1 << cacheBlockBits
)

func cacheKey(table uint64, i int) uint64 { return table<<(cacheBlockBits+1) | uint64(i) }

func (c *Cache) get(key uint64) ([]byte, bool) {
	if c == nil {
		return nil, false
	}
	return c.blocks.Get(key)
}

// set hands data to the cache. Data must not change any more.
func (c *Cache) set(key uint64, data []byte) {
	if c != nil {
		c.misses.Add(1) // hits are not counted: counting would be a good part of their cost
		c.blocks.Set(key, data, int64(cap(data)))
	}
}
