package memtable

import "sync/atomic"

const (
	unit       = 8       // bytes that an offset counts in: 2^32 of them are 32 GiB
	pageUnits  = 1 << 17 // units of a page: 1 MiB, so that a memtable has few pages
	pageSize   = pageUnits * unit
	maxPages   = 1 << 32 / pageUnits
	firstChunk = 4 << 10      // bytes; each next chunk is twice as long, up to pageSize
	maxShared  = pageSize / 8 // longest entry in a shared chunk: no more than an eighth is lost at a chunk's end
)

// chunk is the memory behind one page: bytes, and the same offsets as words that can be loaded and stored atomically.
type chunk struct {
	data  []byte
	words []atomic.Uint32
}

// arena is append-only memory addressed by 32-bit offsets, without pointers that the garbage collector would follow.
//
// The offsets are divided into pages of pageUnits. Behind a page is a chunk, which may be shorter (the first ones, so
// that a small memtable is small) or longer (that of an entry over maxShared, which takes the numbers of several pages).
// Page 0 has none, so that offset 0 can mean no offset. Memory is zero when allocated and never moves.
//
// One goroutine allocates; any may read what was published to it:
//   - An offset reaches a reader through an atomic store or a lock that follows the writes to pages and to the memory it
//     names, so what it names is complete.
//   - pages is replaced by a longer copy, never changed where a published offset points. A reader loads it after it got
//     the offset, so the copy it sees covers the offset.
//   - After publication only a node's first word changes, and it is only accessed through words.
type arena struct {
	pages  atomic.Pointer[[]chunk]
	_      apart
	used   atomic.Int64 // bytes given out, or lost at the end of a chunk
	next   int          // first page that is not taken
	free   []byte       // the rest of the shared chunk
	offset uint32       // of free
	grow   int          // length of the next shared chunk
	chance uint32       // decides which versions get links
	_      apart
}

// apart keeps the fields that every write changes out of the cache lines of those that every Get reads.
type apart [64]byte

// bytes returns the memory at an offset, to the end of its chunk.
func (a *arena) bytes(offset uint32) []byte {
	pages := *a.pages.Load()
	return pages[offset/pageUnits].data[offset%pageUnits*unit:]
}

// word returns the first word at an offset.
func (a *arena) word(offset uint32) *atomic.Uint32 {
	pages := *a.pages.Load()
	return &pages[offset/pageUnits].words[offset%pageUnits*(unit/4)]
}

// alloc returns n zero bytes and their offset, which is never 0.
func (a *arena) alloc(n int) (uint32, []byte, error) {
	n = (n + unit - 1) &^ (unit - 1)
	if n > maxShared {
		return a.allocAlone(n)
	}
	if n > len(a.free) {
		if err := a.addShared(n); err != nil {
			return 0, nil, err
		}
	}
	offset, memory := a.offset, a.free[:n:n]
	a.offset += uint32(n / unit)
	a.free = a.free[n:]
	a.used.Add(int64(n))
	return offset, memory, nil
}

// allocAlone gives an entry a chunk and pages of its own. The shared chunk stays in use.
func (a *arena) allocAlone(n int) (uint32, []byte, error) {
	first, err := a.addPages((n + pageSize - 1) / pageSize)
	if err != nil {
		return 0, nil, err
	}
	c := newChunk(n)
	(*a.pages.Load())[first] = c
	a.used.Add(int64(n))
	return uint32(first) * pageUnits, c.data, nil
}

// addShared starts a shared chunk that has room for n bytes.
func (a *arena) addShared(n int) error {
	page, err := a.addPages(1)
	if err != nil {
		return err
	}
	size := max(a.grow, firstChunk)
	for size < n {
		size *= 2
	}
	a.grow = min(2*size, pageSize)
	c := newChunk(size)
	(*a.pages.Load())[page] = c
	a.used.Add(int64(len(a.free)))
	a.offset, a.free = uint32(page)*pageUnits, c.data
	return nil
}

// addPages takes the next n page numbers.
func (a *arena) addPages(n int) (int, error) {
	first := max(a.next, 1)
	if n > maxPages-first {
		return 0, ErrFull
	}
	a.next = first + n
	var old []chunk
	if p := a.pages.Load(); p != nil {
		old = *p
	}
	if a.next > len(old) {
		pages := make([]chunk, max(2*len(old), a.next))
		copy(pages, old)
		a.pages.Store(&pages)
	}
	return first, nil
}
