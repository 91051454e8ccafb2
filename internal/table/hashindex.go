package table

import (
	"encoding/binary"
	"math/bits"
)

const (
	// pageLoad is how many keys a page has on average: 78 % of its slots. Their number varies with its square root, 20, so
	// a page overflows, and all are laid out again, once in some 700 tables of ten million keys (by the Poisson tail). A
	// fuller page saves little (10.2 bytes a key here) and lengthens a miss: 11 slots now, 22 at 85 % (linear probing).
	pageLoad = 400
	// maxLayouts bounds the attempts. Keys that collide in the whole hash, which nobody finds by chance, would keep a page
	// overflowing however many there are; their table does without hash pages.
	maxLayouts = 8
)

// slotPage returns the page that the key with hash h belongs to.
func slotPage(h uint64, pages int) int {
	page, _ := bits.Mul64(h, uint64(pages))
	return int(page)
}

// slotStart returns the first slot to look at. The bits it uses are neither those that chose the page nor the tag.
func slotStart(h uint64) int { return int(h >> 24 & 0xFFFFFF * pageSlots >> 24) }

func slotTag(h uint64) uint64 { return h & 0xFFFFFF }

// A slot is never 0, because no row is at place 0.
func makeSlot(h, place uint64) uint64 { return slotTag(h)<<placeBits | place }

const (
	placeBits = 40
	placeMask = 1<<placeBits - 1
	// In a table with compressed blocks, the low bits of a place are the offset in the block, the others its number.
	placeOffsetBits = 16
	placeOffsetMask = 1<<placeOffsetBits - 1
)

// hashIndex collects the keys of a table that is being written, in the order of their places: 12 bytes an entry. While pages
// are laid out, which is done for a part of them at a time, they take layOutPart more at most, or a quarter.
type hashIndex struct {
	chunks []hashChunk // each full but the last: appending to one slice would copy it over and over
	count  int
	last   uint64 // the place of the last
}

// hashChunk holds entries: their hashes, and the distance of each place from the one before, which is at most a block's size.
type hashChunk struct {
	hashes    []uint64
	distances []uint32
}

const (
	hashChunkLen = 32 << 10
	layOutPart   = 4 << 20 / pagePayload // pages
)

func (x *hashIndex) add(h, place uint64) {
	if x.count%hashChunkLen == 0 {
		// The first chunk grows with its table, which may be tiny.
		n := min(hashChunkLen, x.count+64)
		x.chunks = append(x.chunks, hashChunk{make([]uint64, 0, n), make([]uint32, 0, n)})
	}
	c := &x.chunks[len(x.chunks)-1]
	c.hashes, c.distances = append(c.hashes, h), append(c.distances, uint32(place-x.last))
	x.last = place
	x.count++
}

// memory returns about how many bytes it takes until the last page is laid out.
func (x *hashIndex) memory() int64 {
	const perEntry = 12
	pages := int64(x.count/pageLoad + 1)
	return int64(x.count)*perEntry + min(pages, max(layOutPart, pages/4))*pagePayload
}

// pages returns how many pages there are to be, or 0 if the keys have to do without.
func (x *hashIndex) pages() int {
	pages := (x.count + pageLoad - 1) / pageLoad
	for range maxLayouts {
		if x.fit(pages) {
			return pages
		}
		pages += pages/32 + 1
	}
	return 0
}

// fit reports whether so many pages have room for every slot.
func (x *hashIndex) fit(pages int) bool {
	counts := make([]uint16, pages)
	for _, c := range x.chunks {
		for _, h := range c.hashes {
			n := &counts[slotPage(h, pages)]
			if *n++; *n > pageSlots {
				return false
			}
		}
	}
	return true
}

// layOut makes payloads those of pages, from first on, of all that there are.
func (x *hashIndex) layOut(payloads []byte, first, pages int) {
	clear(payloads)
	n := len(payloads) / pagePayload
	for i := range n {
		page := payloads[i*pagePayload:]
		page[0] = typeHashPage
		binary.LittleEndian.PutUint32(page[pageNumber:], uint32(first+i))
	}
	place := uint64(0)
	for _, c := range x.chunks {
		for i, h := range c.hashes {
			place += uint64(c.distances[i])
			if page := slotPage(h, pages) - first; uint(page) < uint(n) {
				page *= pagePayload
				putSlot(payloads[page+pageSlotsStart:page+pageNumber], slotStart(h), makeSlot(h, place))
			}
		}
	}
}

// putSlot puts a slot into its page, where there is room for it.
func putSlot(slots []byte, start int, slot uint64) {
	for range pageSlots {
		at := slots[start*slotSize:]
		if binary.LittleEndian.Uint64(at) == 0 {
			binary.LittleEndian.PutUint64(at, slot)
			return
		}
		if start++; start == pageSlots {
			start = 0
		}
	}
}
