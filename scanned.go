package ebb

import "github.com/ebbdb/ebb/compaction"

// A scan has to look for its first key in every table of level 0 and in the memtable, and to merge what they have. It is
// rent, and to compact is to buy: when scans have paid as much as it costs to bring everything into one sorted run, that is
// done. So at worst the two cost twice what the better of them would have ("Competitive Snoopy Caching", Karlin and others,
// 1988). LevelDB compacts for seeks in the same way.
const (
	// seekBytes is how many bytes could be compacted in the time that one more source takes a scan: 2.5 us at 200 MB/s.
	seekBytes = 512
	// A memtable smaller than this part of a full one is left where it is: it would soon be back.
	scannedPart = 8
	// scannedEvery is after how many sources the background is asked to see whether they are enough.
	scannedEvery = 4096
)

// scanned counts a scan of a view, of which that many tables of level 0 had to be asked.
func (db *DB) scanned(v *view, level0 int) {
	n := int64(level0)
	if db.worthFlushing(v.mem) {
		n++
	}
	if n == 0 {
		return
	}
	if all := db.scanSources.Add(n); all/scannedEvery != (all-n)/scannedEvery {
		request(db.compacts)
	}
}

func (db *DB) worthFlushing(m *mem) bool { return m.Size() >= db.opts.memtableSize/scannedPart }

// scansHavePaid reports whether scans have paid for a compaction of level 0. If they have, and the memtable is worth it, it
// is flushed first, which brings the background back here.
func (db *DB) scansHavePaid() bool {
	v := db.view.Load()
	levels := &v.tables.levels
	memory := int64(0)
	if db.worthFlushing(v.mem) {
		memory = v.mem.Size()
	}
	if memory == 0 && len(levels[0]) == 0 {
		db.scanSources.Store(0)
		return false
	}
	if db.scanSources.Load()*seekBytes < memory+compaction.Level0Cost(levels, db.compaction()) {
		return false
	}
	if memory > 0 {
		db.commit.Lock()
		defer db.commit.Unlock()
		if v.mem == db.commit.mem && len(v.frozen) == 0 {
			_ = db.freezeLocked() // a failure is the next write's to report
		}
		return false
	}
	db.scanSources.Store(0)
	return true
}
