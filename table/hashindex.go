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

// hashIndex collects the slots of a table that is being written: 16 bytes an entry, and 10 more while it is laid out.
type hashIndex struct {
	chunks [][]hashedSlot // each full but the last: appending to one slice would copy it over and over
	count  int
}

type hashedSlot struct{ hash, slot uint64 }

// hashChunk entries are 512 KiB.
const hashChunk = 32 << 10

func (x *hashIndex) add(h, place uint64) {
	if x.count%hashChunk == 0 {
		// The first chunk grows with its table, which may be tiny.
		x.chunks = append(x.chunks, make([]hashedSlot, 0, min(hashChunk, x.count+64)))
	}
	last := &x.chunks[len(x.chunks)-1]
	*last = append(*last, hashedSlot{h, makeSlot(h, place)})
	x.count++
}

// layOut returns the payloads of the hash pages, one after another, or nil if the keys have to do without.
func (x *hashIndex) layOut() []byte {
	pages := (x.count + pageLoad - 1) / pageLoad
	for range maxLayouts {
		payloads := make([]byte, pages*pagePayload)
		if x.fill(payloads, pages) {
			for i := range pages {
				page := payloads[i*pagePayload:]
				page[0] = typeHashPage
				binary.LittleEndian.PutUint32(page[pageNumber:], uint32(i))
			}
			return payloads
		}
		pages += pages/32 + 1
	}
	return nil
}

// fill puts every slot into its page and reports whether there was room.
func (x *hashIndex) fill(payloads []byte, pages int) bool {
	for _, chunk := range x.chunks {
		for _, s := range chunk {
			page := slotPage(s.hash, pages) * pagePayload
			slots := payloads[page+pageSlotsStart : page+pageNumber]
			if !putSlot(slots, slotStart(s.hash), s.slot) {
				return false
			}
		}
	}
	return true
}

func putSlot(slots []byte, start int, slot uint64) bool {
	for range pageSlots {
		at := slots[start*slotSize:]
		if binary.LittleEndian.Uint64(at) == 0 {
			binary.LittleEndian.PutUint64(at, slot)
			return true
		}
		if start++; start == pageSlots {
			start = 0
		}
	}
	return false
}
