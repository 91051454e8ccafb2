package lsm

import (
	"slices"

	"github.com/ebbdb/ebb/compaction"
	"github.com/ebbdb/ebb/internal/table"
)

// order is what a Version knows of the order of its entries: a sorted view of the oldest tables, if there is one, and whether
// another would be worth its cost. It does not change.
type order struct {
	sorted *table.Sorted // nil: there is none
	covers cover         // the tables of sorted,
	newest uint64        // and the newest sequence in them

	plan   cover // the tables that another sorted view would have
	saves  int   // how many sources that would spare a scan; 0: another is not worth it
	levels int   // how many sources there are below level 0 that it would cover, and sorted does not
	cost   int64 // of building it, in nanoseconds
}

// cover is the tables that a sorted view is of: the oldest of level 0 and, if it is deep, all below.
type cover struct {
	compaction.Levels
	deep bool
}

const (
	// sortEntry is how many nanoseconds it takes to sort an entry, and sortByte a byte, which may have to be verified.
	sortEntry = 100
	sortByte  = 0.1
	// sourceTime is how many nanoseconds a source takes of a scan. Somebody waits for a scan, and nobody for the background.
	sourceTime = 4 * 2000
	// sortedShare is how many bytes of tables a sorted view has at most for each byte of memory: rows of 5 KiB on average. To read a
	// larger one takes longer than to find it, and to build a view of them all of the disk's time for as long as that lasts.
	sortedShare = 1 << 10
	// mostSorted is how many tables a sorted view has.
	mostSorted = 250
)

// orderOf returns the order of levels, of which old, if not nil, may know something. If failed is true another sorted view is not
// worth its cost.
func (s *Set) orderOf(levels *compaction.Levels, old *order, failed bool) *order {
	o := new(order)
	if old != nil && old.sorted != nil && old.covers.partOf(levels) {
		o.sorted, o.covers, o.newest = old.sorted, old.covers, old.newest
	}
	if failed {
		return o
	}
	var entries uint64
	var bytes int64
	o.plan, entries, bytes = sortable(levels, s.config.SortedMemory)
	if o.saves = max(o.covers.sources(levels)-o.plan.sources(levels), 0); o.saves > 0 {
		o.cost = int64(sortEntry*entries) + int64(sortByte*float64(bytes))
	}
	for _, tables := range levels[1:] {
		if o.plan.deep && !o.covers.deep && len(tables) > 0 {
			o.levels++
		}
	}
	return o
}

// spares returns how many sources another sorted view would spare a scan that has to merge that many tables of level 0, which may
// be fewer than there are: those that lie between its bounds.
func (o *order) spares(tables int) int {
	if o.covers.deep {
		tables++ // the sorted view, which is no table of level 0
	}
	return max(min(o.saves, tables+o.levels-1), 0)
}

// deep reports whether what lies below level 0 is no source of its own, or would be none with another sorted view.
func (o *order) deep() bool { return o.covers.deep || o.saves > 0 && o.plan.deep }

// merged returns how many tables of level 0 a scan would merge that is spared some sources. A sorted view of everything is none.
func (o *order) merged(tables, spared int) int {
	if o.saves > 0 && o.plan.deep && !o.covers.deep {
		tables += o.levels - 1
	}
	return max(tables-spared, 0)
}

// retireOrders has the replaced versions that are still held ask for no sorted view, as they get none, and let go of one that the
// newest version does not have: pins may hold any number of versions, and memory is for one view, and another that is built.
func (s *Set) retireOrders(newest *order) {
	s.replace.Lock()
	defer s.replace.Unlock()
	for v := range s.replace.replaced.versions {
		switch o := v.order.Load(); {
		case o.sorted != newest.sorted:
			v.order.Store(new(order))
		case o.saves > 0:
			v.order.Store(&order{sorted: o.sorted, covers: o.covers, newest: o.newest})
		}
	}
}

// partOf reports whether levels still have the tables where these are.
func (c *cover) partOf(levels *compaction.Levels) bool {
	newer := len(levels[0]) - len(c.Levels[0])
	if newer < 0 || !slices.Equal(levels[0][newer:], c.Levels[0]) {
		return false
	}
	for i := 1; c.deep && i < len(levels); i++ {
		if !slices.Equal(levels[i], c.Levels[i]) {
			return false
		}
	}
	return true
}

// sources returns how many sources a scan of levels merges if a sorted view covers c.
func (c *cover) sources(levels *compaction.Levels) int {
	n := len(levels[0]) - max(len(c.Levels[0])-1, 0)
	for _, tables := range levels[1:] {
		if len(tables) > 0 && !c.deep {
			n++
		}
	}
	return n
}

// runs returns the tables, the newest first, as runs that do not overlap.
func (c *cover) runs() (runs [][]*table.Reader) {
	readers := func(tables []*compaction.Table) {
		var run []*table.Reader
		for _, t := range tables {
			run = append(run, t.Reader)
		}
		if len(run) > 0 {
			runs = append(runs, run)
		}
	}
	for i := range c.Levels[0] {
		readers(c.Levels[0][i : i+1])
	}
	for i := 1; c.deep && i < len(c.Levels); i++ {
		readers(c.Levels[i])
	}
	return runs
}

// sortable returns the tables of levels that a sorted view can cover with so many bytes of memory, and their entries and bytes.
func sortable(levels *compaction.Levels, memory int64) (c cover, entries uint64, bytes int64) {
	tables := 0
	take := func(t *compaction.Table) bool {
		n := t.Reader.Properties().Entries
		// A scan skips what a range delete covers only in sources all of whose entries are older.
		if tables++; tables > mostSorted || t.Deletes != nil || !t.Reader.Sortable() || table.SortedMemory(entries+n) > memory ||
			(bytes+t.Size)/sortedShare > memory {
			return false
		}
		entries, bytes = entries+n, bytes+t.Size
		return true
	}
	first := len(levels[0])
	for first > 0 && take(levels[0][first-1]) {
		first--
	}
	c.Levels[0] = levels[0][first:]
	if first > 0 || len(levels[0]) == 0 {
		return c, entries, bytes
	}
	shallow, of, size := c, entries, bytes
	for i, tables := range levels[1:] {
		for _, t := range tables {
			if !take(t) {
				return shallow, of, size
			}
		}
		c.Levels[1+i] = tables
	}
	c.deep = true
	return c, entries, bytes
}

// SortPaid reports whether scans have paid for another sorted view.
func (s *Set) SortPaid() bool {
	o := s.view.Load().Version.order.Load()
	return o.saves > 0 && s.rent.sorting.Load() >= o.cost
}

// Sort builds the sorted view that would spare scans of the newest version most, unless that has it, or gives up once stop is
// true, or a table of it goes: nobody else holds that, and its file takes up space. A table that cannot be read is nobody's
// failure here: reads and compactions find and report it.
func (s *Set) Sort(stop func() bool) {
	v, _, ok := s.Pin()
	if !ok {
		return
	}
	defer s.Unpin(v)
	o := v.Version.order.Load()
	if o.saves == 0 {
		return
	}
	overtaken := func() bool {
		now := s.view.Load().Version
		return now != v.Version && !o.plan.partOf(&now.Levels)
	}
	sorted, err := table.Sort(o.plan.runs(), func() bool { return stop() || overtaken() })
	built := &order{sorted: sorted, covers: o.plan}
	for _, t := range built.covers.All() {
		built.newest = max(built.newest, t.Reader.Properties().MaxSeq)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now, gone := s.view.Load().Version, overtaken()
	if err != nil || gone {
		built = now.order.Load()
	}
	now.order.Store(s.orderOf(&now.Levels, built, err != nil && !gone))
	s.retireOrders(now.order.Load())
	s.rent.sorting.Store(0)
}

// SortedBytes returns the bytes of memory of the sorted view of a version.
func (v *Version) SortedBytes() int64 {
	if o := v.order.Load(); o.sorted != nil {
		return o.sorted.Memory()
	}
	return 0
}
