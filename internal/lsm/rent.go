package lsm

import (
	"math/rand/v2"
	"runtime"
	"sync/atomic"
)

// Tables in level 0, and a memtable beside them, cost time in every scan that has to merge them and in every look-up that
// asks them in vain. This cost is rent, and to compact them is to buy. Once reads have paid as much rent as it costs to
// bring everything into one sorted run, the compaction is done, as in "Competitive Snoopy Caching" (Karlin and others,
// 1988). While nobody reads, writes are not held up for it. LevelDB compacts after seeks for the same reason.
const (
	// One more table of level 0 takes a scan of fifty entries 2.1 us where they have 124 bytes and 1.4 us where they have 1024,
	// which are compacted with 460 and 700 MB/s: it takes as long as to compact 1000 bytes, in both cases. One more table takes a
	// look-up 120 ns, as long as 60 bytes. Somebody waits for a read, and nobody for the background: so the time of scans counts
	// eight times, and that of look-ups, which bear tables well, three times.
	ScanBytes   = 8 * 1000
	lookupBytes = 3 * 60
	// A sorted view takes a scan of fifty entries 2.3 us longer than one run of them where they have 124 bytes, and 1.2 us where
	// they have 1024: about as long as to compact 1000 bytes. It counts once: what is sorted can wait, and to compact a GiB while
	// eight goroutines scan it takes a third of their speed for some seconds.
	SortedBytes = 1000
	// Look-ups bear fewer tables than UsualTables without paying: most keys are absent from them at the price of a cache miss.
	UsualTables = 4
	// One look-up in LookupSample is counted, and pays for all: to count every look-up would cost more than many look-ups do.
	LookupSample = 64
	// A memtable smaller than 1/worthPart of a full one is never flushed for scans. Above that a scan pays for it in proportion
	// to its size, a full one as much as a table: flushing saves only the merging of its entries, since a new memtable takes
	// its place.
	worthPart = 8
	// usualMemtable is the size of a full memtable with the default Options.Memory. A larger one costs scans no less by the byte.
	usualMemtable = 32 << 20
	// rewriteShare is how many bytes may be rewritten for reads for each byte that was added to level 0. With the log and the
	// flush, and what a table has beside keys and values, that is fewer than 20 bytes written for each byte put.
	rewriteShare = 12
	// paidFirst is how many bytes are paid before the first request to check whether the rent suffices, and paidShare which part
	// of all that was paid is paid between two: if the rent does not suffice, or the budget, reads do not ask again and again.
	paidFirst = 1 << 20
	paidShare = 8
)

// Rent counts what reads have paid, in bytes of compaction, and bounds what is compacted for them: merging is cheap, and reads
// that never end would have everything rewritten for every few megabytes that are written meanwhile. A nil Rent counts nothing.
// Any goroutine may call its methods.
type Rent struct {
	paid         atomic.Int64
	asked        atomic.Int64 // of paid, when a check was asked for
	budget       atomic.Int64 // bytes that may be rewritten for reads
	merging      atomic.Bool  // tables of level 0 are being made fewer
	sorting      atomic.Int64 // what scans have paid for a sorted view, in nanoseconds
	memtableSize int64
	levels       bool   // what lies between level 0 and the last level is no run, and is not compacted for reads
	request      func() // asks for a check whether enough was paid
	sort         func() // asks for a sorted view
}

// Paid returns what was paid since the last Reset.
func (r *Rent) Paid() int64 { return r.paid.Load() }

// Reset sets the paid rent to zero: the compaction was done, or cannot be.
func (r *Rent) Reset() {
	r.paid.Store(0)
	r.asked.Store(0)
}

// earn adds to the budget: tables of so many bytes were added to level 0.
func (r *Rent) earn(bytes int64) { r.budget.Add(rewriteShare * bytes) }

// Allows reports whether a compaction for reads may rewrite cost bytes, of which memory bytes are still to be flushed.
func (r *Rent) Allows(cost, memory int64) bool { return r.budget.Load()+rewriteShare*memory >= cost }

// Spend takes a compaction of cost bytes off the budget. If it brings all into one run nothing is left of the budget: what a long
// load has earned is not for later.
func (r *Rent) Spend(cost int64, all bool) {
	left := r.budget.Load()
	after := left - cost
	if all {
		after = min(after, 0)
	}
	r.budget.Add(after - left)
}

// Worth reports whether a memtable costs scans enough to be flushed for them.
func (r *Rent) Worth(m *Mem) bool { return m.Size() >= min(r.memtableSize, usualMemtable)/worthPart }

// scan pays for a scan of a view that has to merge that many tables of level 0, and the runs below it, if that is what they are.
// Of these it first pays for a sorted view, if one is worth it. It pays for a compaction as if there were one, and a little for a
// view of everything. Where tables are sorted, or are going to be, a memtable is not worth a compaction: scans would soon merge
// the next.
func (r *Rent) scan(v *View, tables int) {
	if r == nil {
		return
	}
	o := v.Version.order.Load()
	spared := o.spares(tables)
	if spared > 0 {
		r.paySorting(o, spared)
	}
	cost := int64(o.merged(tables, spared)) * ScanBytes
	if !r.levels && !o.deep() {
		cost += int64(v.Version.runs) * ScanBytes
	}
	if o.sorted == nil && o.saves == 0 && r.Worth(v.Mem) {
		cost += ScanBytes * min(v.Mem.Size(), usualMemtable) / min(r.memtableSize, usualMemtable)
	}
	if o.covers.deep {
		cost += SortedBytes
	}
	if cost > 0 {
		r.Pay(cost)
	}
	if tables >= UsualTables && (r.merging.Load() || o.saves > 0 && r.sorting.Load() >= o.cost) {
		runtime.Gosched()
	}
}

// paySorting pays for a sorted view what that would spare a scan, and asks for it once that suffices.
func (r *Rent) paySorting(o *order, spared int) {
	if r.sorting.Add(int64(spared)*sourceTime) >= o.cost {
		r.sort()
	}
}

// Merging says whether tables of level 0 are being made fewer. Meanwhile scans that have to merge many of them, and one look-up
// in LookupSample of those that ask many, let other goroutines run first: where readers keep all processors busy, and each runs
// for 10 ms before it is interrupted, the one goroutine that makes them faster gets no more than one of them does, and less, as
// it waits anew after each system call.
func (r *Rent) Merging(on bool) { r.merging.Store(on) }

// lookup pays for a look-up that has asked that many of the tables of level 0 in vain.
func (r *Rent) lookup(asked, tables int) {
	if r != nil && tables >= UsualTables && asked > 0 && rand.Uint32()%LookupSample == 0 { //permit:rand.Uint32 a sample
		r.Pay(int64(asked) * lookupBytes * LookupSample)
		if r.merging.Load() {
			runtime.Gosched()
		}
	}
}

// Pay counts bytes that reads have paid.
func (r *Rent) Pay(bytes int64) {
	all, asked := r.paid.Add(bytes), r.asked.Load()
	if all >= asked+max(paidFirst, asked/paidShare) && r.asked.CompareAndSwap(asked, all) {
		r.request()
	}
}
