package table

import (
	"bytes"
	"errors"
	"math"
	"slices"

	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/prefetch"
	"github.com/ebbdb/ebb/internal/vfs"
)

// Sorted is a sorted view of several tables: for each key the place of its newest row, in the order of the keys. A walk over it
// asks no table and compares nothing, however many tables there are. It is in memory only, and holds no key: those are read where
// they are. The idea is that of REMIX (Zhong and others, FAST '21), whose views are files, and name a table for each key and a
// place for each table and group of keys.
//
// It does not change, and any goroutine may read it as long as the tables are open. All blocks of the tables were verified when
// it was built.
type Sorted struct {
	tables []*Reader
	which  []uint8  // of tables, for each entry,
	places []uint32 // and where in the file its row begins
	prefix []byte   // of all keys
	heads  []uint64 // of the first key of each group: the eight bytes that follow prefix
}

const (
	// sortedGroup is how many entries one head stands for. A seek asks the processor for the rows of a group at once.
	sortedGroup = 16
	// sortedStep is how many entries Sort merges between two calls of stop, if they are small, and sortedBytes the bytes of a row
	// that count as one more.
	sortedStep  = 1 << 10
	sortedBytes = 8 << 10
)

// ErrStopped says that Sort was told to stop.
var ErrStopped = errors.New("table: stopped")

// SortedMemory returns the bytes of memory that a Sorted of so many entries takes.
func SortedMemory(entries uint64) int64 { return int64(entries)*5 + int64(entries/sortedGroup+1)*8 }

// Memory returns the bytes of memory that it takes.
func (s *Sorted) Memory() int64 {
	return int64(cap(s.which)) + 4*int64(cap(s.places)) + 8*int64(cap(s.heads)+cap(s.tables))
}

// Len returns the number of entries.
func (s *Sorted) Len() int { return len(s.places) }

// Sortable reports whether a table may be one of a Sorted: it is mapped, its rows are not compressed, and lie within 4 GiB. One
// that says that it has more entries than bytes is not: Sort takes memory for as many as the tables say.
func (t *Reader) Sortable() bool {
	n := uint64(len(t.rows))
	return t.rows != nil && n <= math.MaxUint32 && t.properties.Entries <= n
}

// Sort returns the sorted view of runs of tables, the newest first: the tables of a run are in the order of their keys. All are
// sortable, at least one has an entry, and there are at most 256. It reads all keys, and verifies all blocks that were not. stop
// is asked now and then; once that is true Sort returns ErrStopped. Any other error is that of a table that cannot be read.
func Sort(runs [][]*Reader, stop func() bool) (*Sorted, error) {
	b := sortedBuilder{s: new(Sorted)}
	b.init(runs)
	for first := true; first || len(b.order) > 0; first = false {
		if stop() {
			return nil, ErrStopped
		}
		if err := b.some(first); err != nil {
			return nil, err
		}
	}
	return b.s, nil
}

// sortedBuilder merges runs of tables.
type sortedBuilder struct {
	s     *Sorted
	walks []rowWalk
	order []standing // the runs that stand on a row, by their keys, and a newer one first among equals
	work  int        // done since stop was asked
	now   *Reader    // whose rows were read last
}

// standing is a run that stands on a row. It has no pointer: the order changes with each entry.
type standing struct {
	head uint64 // of the key of the row
	run  int    // its number: 0 is the newest
}

// init readies the runs, and all memory that their entries need.
func (b *sortedBuilder) init(runs [][]*Reader) {
	entries, s := uint64(0), b.s
	var smallest, largest []byte
	for i, run := range runs {
		b.walks = append(b.walks, rowWalk{tables: run, number: -1})
		b.walks[i].first = len(s.tables)
		s.tables = append(s.tables, run...)
		for _, t := range run {
			p := t.properties
			if p.Entries == 0 {
				continue
			}
			if entries == 0 || kv.Compare(p.Smallest, smallest) < 0 {
				smallest = p.Smallest
			}
			if kv.Compare(p.Largest, largest) > 0 {
				largest = p.Largest
			}
			entries += p.Entries
		}
	}
	s.prefix = smallest[:commonPrefix(smallest, largest)]
	s.which, s.places = make([]uint8, 0, entries), make([]uint32, 0, entries)
	s.heads = make([]uint64, 0, entries/sortedGroup+1)
}

// some merges some entries under one guard. The first time it finds where the runs begin.
func (b *sortedBuilder) some(first bool) (err error) {
	fault := vfs.Guard(func() {
		for i := 0; first && i < len(b.walks) && err == nil; i++ {
			b.order = slices.Insert(b.order, 0, standing{run: i})
			err = b.move(0)
		}
		for b.work = 0; b.work < sortedStep && err == nil && len(b.order) > 0; b.work++ {
			err = b.step()
		}
	})
	if fault != nil {
		return b.now.fault(fault)
	}
	return err
}

// step takes the first entry, and moves all runs that have its key.
func (b *sortedBuilder) step() error {
	s, first := b.s, b.order[0]
	lead := &b.walks[first.run]
	if len(s.places) == cap(s.places) { // what the properties say of the number of entries is not true
		return lead.tables[0].badRow(lead.number)
	}
	if len(s.places)%sortedGroup == 0 {
		s.heads = append(s.heads, first.head)
	}
	s.which, s.places = append(s.which, uint8(lead.first)), append(s.places, lead.place)
	n := 1
	for n < len(b.order) && b.order[n].head == first.head && kv.Compare(b.key(b.order[n]), lead.key) == 0 {
		n++
	}
	for i := n - 1; i >= 0; i-- { // the last first, so that those behind are always sorted
		if err := b.move(i); err != nil {
			return err
		}
	}
	return nil
}

// move moves the run order[i] on, and puts it in its place among those behind it. One that has ended leaves the order.
func (b *sortedBuilder) move(i int) error {
	run := b.order[i].run
	w := &b.walks[run]
	on, err := w.next(&b.now)
	if !on {
		b.order = slices.Delete(b.order, i, i+1)
		return err
	}
	b.work += w.size / sortedBytes
	if !bytes.HasPrefix(w.key, b.s.prefix) { // what the properties say of the keys is not true
		return w.tables[0].badRow(w.number)
	}
	moved := standing{keyHead(w.key[len(b.s.prefix):]), run}
	for ; i+1 < len(b.order) && b.before(b.order[i+1], moved); i++ {
		b.order[i] = b.order[i+1]
	}
	b.order[i] = moved
	return nil
}

// before reports whether x comes before y.
func (b *sortedBuilder) before(x, y standing) bool {
	if x.head != y.head {
		return x.head < y.head
	}
	c := kv.Compare(b.key(x), b.key(y))
	return c < 0 || c == 0 && x.run < y.run
}

// key returns the key of the row that a run stands on, to be read.
func (b *sortedBuilder) key(x standing) []byte {
	w := &b.walks[x.run]
	b.now = w.tables[0]
	return w.key
}

// rowWalk walks the rows of a run of tables.
type rowWalk struct {
	tables []*Reader // that it has not left
	first  int       // the number of tables[0]
	number int       // of the block it is in; -1 before the first
	block  []byte
	off    int64 // of the block
	at     int   // where in the block the next row begins

	key   []byte
	size  int // of the row
	place uint32
}

// next moves to the next row, and sets now to the table that it reads. It is false at the end, or at a row or a block that is
// bad.
func (w *rowWalk) next(now **Reader) (bool, error) {
	for w.at == len(w.block) {
		if len(w.tables) == 0 {
			return false, nil
		}
		t := w.tables[0]
		if w.number++; w.number >= t.index.blocks() {
			w.tables, w.first, w.number = w.tables[1:], w.first+1, -1
			continue
		}
		*now = t
		var err error
		if w.block, err = t.block(w.number, nil); err != nil {
			return false, err
		}
		_, off, head, _ := t.index.place(w.number)
		w.off, w.at = off+head, firstRow
	}
	var r row
	t := w.tables[0]
	*now = t
	next := t.base.decodeRow(&r, w.block, w.at)
	if next == 0 {
		return false, t.badRow(w.number)
	}
	w.key, w.place, w.size, w.at = r.keyIn(w.block), uint32(w.off)+uint32(w.at), next-w.at, next
	const line = 64
	prefetch.Lines(w.block[next:min(next+line, len(w.block))]) // its turn comes after those of the other runs
	return true, nil
}
