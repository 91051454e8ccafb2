package ebb

import (
	"math/rand/v2"
	"sync/atomic"

	"github.com/ebbdb/ebb/compaction"
)

// Tables in level 0, and a memtable beside them, cost every scan that has to merge them and every look-up that asks them in
// vain. That is rent, and to compact them is to buy. When reads have paid as much as it costs to bring everything into one
// sorted run, that is done, as in "Competitive Snoopy Caching" (Karlin and others, 1988); and while nobody reads, writes are
// not held up for nothing. LevelDB compacts for seeks alike.
const (
	// At 200 MB/s one more source takes a scan, 2.5 us, as long as it takes to compact 512 bytes, and one more table a look-up,
	// 120 ns, as long as 24. Somebody waits for them, and nobody for the background: so their time counts eight times.
	scanBytes   = 8 * 512
	lookupBytes = 8 * 24
	// Look-ups bear fewer tables than usualTables without paying: most keys are absent from them at the price of a cache miss.
	usualTables = 4
	// One look-up pays for lookupSample of them: counting all would cost more than many of them do.
	lookupSample = 64
	// A memtable smaller than this part of a full one is left where it is. A scan has to ask the next one, too, and saves only
	// what the entries cost: so it pays for one by its size, and for a full one as for a table.
	worthPart = 8
	// paidEvery is how many bytes are paid between two looks at whether it is enough.
	paidEvery = 1 << 20
)

// readCost counts what reads have paid. A nil one does not.
type readCost struct {
	paid      atomic.Int64 // bytes
	compacter *worker
}

// lookup counts one that has asked that many of the tables of level 0 in vain.
func (c *readCost) lookup(asked, tables int) {
	if c != nil && tables >= usualTables && asked > 0 && rand.Uint32()%lookupSample == 0 {
		c.pay(int64(asked) * lookupBytes * lookupSample)
	}
}

// scanned counts a scan of a view that has to merge that many tables of level 0.
func (db *DB) scanned(v *view, tables int) {
	cost := int64(tables) * scanBytes
	if db.worthFlushing(v.mem) {
		cost += scanBytes * v.mem.Size() / db.opts.memtableSize
	}
	if cost > 0 && v.tables.reads != nil {
		v.tables.reads.pay(cost)
	}
}

func (c *readCost) pay(bytes int64) {
	if all := c.paid.Add(bytes); all/paidEvery != (all-bytes)/paidEvery {
		c.compacter.request()
	}
}

// worthFlushing reports whether a memtable costs scans enough to be flushed for them.
func (db *DB) worthFlushing(m *mem) bool { return m.Size() >= db.opts.memtableSize/worthPart }

// readsHavePaid reports whether reads have paid for a compaction of level 0. If they have, and the memtable is worth it, it
// is flushed first, which brings the background back here.
func (db *DB) readsHavePaid() bool {
	v := db.view.Load()
	levels := &v.tables.levels
	memory := int64(0)
	if db.worthFlushing(v.mem) {
		memory = v.mem.Size()
	}
	if memory == 0 && len(levels[0]) == 0 {
		db.reads.paid.Store(0)
		return false
	}
	if db.reads.paid.Load() < memory+compaction.Level0Cost(levels, db.compaction()) {
		return false
	}
	if memory > 0 {
		db.commit.Lock()
		defer db.commit.Unlock()
		if v.mem == db.commit.mem && len(v.frozen) == 0 && db.health.failure() == nil {
			if err := db.freezeLocked(); err != nil { // that is the next write's to report
				db.reads.paid.Store(0)
			}
		}
		return false
	}
	db.reads.paid.Store(0)
	return true
}
