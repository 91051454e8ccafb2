package ebb

import (
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/ebbdb/ebb/compaction"
	"github.com/ebbdb/ebb/internal/lsm"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// Scans that find keys in several places bring them into one, but not before they have paid for it.
func TestReadsCompact(t *testing.T) {
	o := manualOptions(vfstest.NewMem(), newFakeClock(), SyncNever)
	o.memtableSize, o.sortedMemory = 32<<10, -1
	db := openTest(t, o)
	put := func(from, to int) {
		t.Helper()
		for i := from; i < to; i++ {
			must(t, db.Put(fmt.Appendf(nil, "key%04d", i), make([]byte, 50)))
		}
	}
	scan := func(o *IterOptions) {
		t.Helper()
		for _, err := range db.Range(o) {
			must(t, err)
		}
	}
	pays := func(sources int, cost int64) {
		t.Helper()
		for n := 0; ; n++ {
			if paid := int64(n*sources) * lsm.ScanBytes; db.compacter.readsHavePaid() {
				if paid < cost {
					t.Errorf("%d scans of %d sources have paid %d bytes", n, sources, cost)
				}
				return
			} else if len(db.live.View().Frozen) > 0 {
				return
			} else if paid > 2*cost {
				t.Fatalf("%d scans of %d sources have not paid %d bytes", n, sources, cost)
			}
			scan(&IterOptions{Limit: 1})
		}
	}
	level0 := func() int { return len(db.live.View().Version.Levels[0]) }
	cost := func() int64 {
		return compaction.CostForReads(&db.live.View().Version.Levels, db.compacter.compaction(), 0).Bytes
	}

	put(0, 1)
	scan(nil)
	if n := db.live.Rent().Paid(); n != 0 {
		t.Errorf("a small memtable cost a scan %d bytes", n)
	}
	for from := range lsm.UsualTables - 1 {
		put(from, 100)
		must(t, db.Flush())
	}
	lookups := func(key string) (paid int64) {
		t.Helper()
		for range 200 * lsm.LookupSample { // one in all: none of them pays with a chance of 2^-290
			_, err := db.Get([]byte(key))
			must(t, err)
		}
		paid = db.live.Rent().Paid()
		db.live.Rent().Reset()
		return paid
	}
	if n := lookups("key0000"); n != 0 {
		t.Errorf("look-ups with the usual tables cost %d bytes", n)
	}
	put(50, 100)
	must(t, db.Flush())
	if n := lookups("key0099"); n != 0 {
		t.Errorf("look-ups in the newest table cost %d bytes", n)
	}
	if n := lookups("key0000"); n == 0 {
		t.Error("look-ups in the oldest table cost nothing")
	}
	scan(&IterOptions{Start: []byte("l")})
	if n := db.live.Rent().Paid(); n != 0 {
		t.Errorf("a scan of nothing cost %d bytes", n)
	}
	pays(lsm.UsualTables, cost())
	if n := db.live.Rent().Paid(); n != 0 {
		t.Errorf("%d bytes are left", n)
	}

	for !db.live.Rent().Worth(db.live.View().Mem) {
		put(50, 60)
	}
	before := db.live.Rent().Paid()
	scan(&IterOptions{Limit: 1})
	if n := db.live.Rent().Paid() - before; n <= lsm.UsualTables*lsm.ScanBytes || n >= (lsm.UsualTables+1)*lsm.ScanBytes {
		t.Errorf("a scan of %d tables and a part of a memtable has paid %d bytes", lsm.UsualTables, n)
	}
	for all := cost() + db.live.View().Mem.Size(); db.live.Rent().Paid() < all; scan(&IterOptions{Limit: 1}) {
		if db.compacter.readsHavePaid() || len(db.live.View().Frozen) > 0 {
			t.Fatalf("%d bytes of %d are enough", db.live.Rent().Paid(), all)
		}
	}
	if db.compacter.readsHavePaid() {
		t.Error("the memtable is to be flushed first")
	}
	if n := len(db.live.View().Frozen); n != 1 || level0() != lsm.UsualTables {
		t.Fatalf("%d frozen memtables, %d tables: want 1 and %d", n, level0(), lsm.UsualTables)
	}
	must(t, db.flusher.flushFrozen())
	pick, l := pickerFor(true), &db.live.View().Version.Levels
	if plan := pick(l, 0, db.compacter.compaction()); plan == nil || !plan.ForReads {
		t.Errorf("reads have paid for %+v", plan)
	}
	if plan := pick(l, 0, db.compacter.compaction()); plan != nil {
		t.Errorf("reads have paid for %+v, too", plan)
	}
	must(t, db.compacter.compactPicked())
	if level0() != 0 || len(db.live.View().Version.Levels[compaction.NumLevels-1]) == 0 {
		t.Errorf("%d tables are in level 0", level0())
	}
	n := 0
	for _, err := range db.Range(nil) {
		must(t, err)
		n++
	}
	if n != 100 {
		t.Errorf("%d keys, want 100", n)
	}
}

// What is sorted is compacted, too, once scans have paid for that, little by little.
func TestScansCompactSorted(t *testing.T) {
	o := manualOptions(vfstest.NewMem(), newFakeClock(), SyncNever)
	db := openTest(t, o)
	for i := range 3 {
		for n := range 100 {
			must(t, db.Put(fmt.Appendf(nil, "key%04d", 3*n+i), make([]byte, 50)))
		}
		must(t, db.Flush())
	}
	db.live.Sort(func() bool { return false })
	if db.live.View().Version.SortedBytes() == 0 {
		t.Fatal("there is no sorted view")
	}
	scan := func() (n int) {
		t.Helper()
		for _, err := range db.Range(nil) {
			must(t, err)
			n++
		}
		return n
	}
	cost := compaction.CostForReads(&db.live.View().Version.Levels, db.compacter.compaction(), 0).Bytes
	scans := 0
	for ; !db.compacter.readsHavePaid(); scans++ {
		if n := scan(); n != 300 || int64(scans*lsm.SortedBytes) > cost {
			t.Fatalf("scan %d of %d keys has not paid %d bytes", scans, n, cost)
		}
	}
	if paid := int64(scans * lsm.SortedBytes); paid < cost {
		t.Errorf("%d scans have paid %d bytes, which is less than %d", scans, paid, cost)
	}
	pick := pickerFor(true)
	must(t, db.compacter.runPlans(t.Context(), pick))
	if l := db.live.View().Version; len(l.Levels[0]) != 0 || l.SortedBytes() != 0 || scan() != 300 {
		t.Errorf("%d tables of level 0, a sorted view of %d bytes, %d keys", len(l.Levels[0]), l.SortedBytes(), scan())
	}
	db.live.Rent().Reset()
	if scan(); db.live.Rent().Paid() != 0 {
		t.Errorf("a scan of one run has paid %d bytes", db.live.Rent().Paid())
	}
}

// Reads pay for runs, which are merged for them, but not for the levels of a bounded database, which are not.
func TestReadsPayForRuns(t *testing.T) {
	for _, bounded := range []bool{false, true} {
		o := manualOptions(vfstest.NewMem(), newFakeClock(), SyncNever)
		if bounded {
			o.MaxDisk = 64 << 20
		}
		db := openTest(t, o)
		must(t, db.Put([]byte("key"), nil))
		must(t, db.Flush())
		tables := db.live.View().Version.Levels[0]
		must(t, db.live.Commit(&lsm.Edit{Remove: tables, Add: tables, Level: compaction.NumLevels - 2}))
		for _, err := range db.Range(nil) {
			must(t, err)
		}
		want := int64(lsm.ScanBytes)
		if bounded {
			want = 0
		}
		if n := db.live.Rent().Paid(); n != want {
			t.Errorf("bounded %t: a scan of a level has paid %d bytes, want %d", bounded, n, want)
		}
	}
}

// What reads have paid for begins with the flush of the memtables that are there: a compaction without them would leave them
// above what it has made.
func TestReadsWaitForFlush(t *testing.T) {
	o := manualOptions(vfstest.NewMem(), newFakeClock(), SyncNever)
	o.memtableSize = 64 << 10
	db := openTest(t, o)
	fill := func() {
		for i := 0; !db.live.Rent().Worth(db.live.View().Mem); i++ {
			must(t, db.Put(fmt.Appendf(nil, "key%04d", i), make([]byte, 50)))
		}
	}
	paid := func(want bool, frozen, level0 int) {
		t.Helper()
		db.live.Rent().Pay(1 << 30)
		got := db.compacter.readsHavePaid()
		v := db.live.View()
		if n := len(v.Version.Levels[0]); got != want || len(v.Frozen) != frozen || n != level0 {
			t.Fatalf("reads have paid: %t, with %d frozen memtables and %d tables; want %t, %d and %d",
				got, len(v.Frozen), n, want, frozen, level0)
		}
	}
	fill()
	must(t, db.Flush())
	fill()
	paid(false, 1, 1) // has frozen the memtable
	paid(false, 1, 1)
	fill()
	must(t, db.flusher.flushFrozen())
	paid(true, 0, 2) // what came since is not waited for

	turn := db.pipeline.lock()
	must(t, turn.freeze())
	turn.end()
	paid(false, 1, 2)
	must(t, db.flusher.flushFrozen())
	paid(true, 0, 3)
}

// A memtable above one run is not flushed for reads before they have paid for the merge that follows, and that is allowed: its
// table would be one more to merge.
func TestReadsFlushForMerge(t *testing.T) {
	o := manualOptions(vfstest.NewMem(), newFakeClock(), SyncNever)
	o.memtableSize = 64 << 10
	db := openTest(t, o)
	rent := db.live.Rent()
	const keys = 2000
	put := func() {
		t.Helper()
		for i := 0; !rent.Worth(db.live.View().Mem); i++ {
			must(t, db.Put(fmt.Appendf(nil, "key%05d", 10*i%keys), make([]byte, 50)))
		}
	}
	for i := range keys {
		must(t, db.Put(fmt.Appendf(nil, "key%05d", i), make([]byte, 50)))
		if db.live.View().Mem.Size() >= o.memtableSize {
			must(t, db.Flush())
		}
	}
	must(t, db.Compact(t.Context()))
	rent.Reset()
	run := int64(0)
	for _, table := range db.live.View().Version.Levels[compaction.NumLevels-1] {
		run += table.Size
	}
	put()
	memory := db.live.View().Mem.Size()
	asked := func(pay int64) bool {
		t.Helper()
		rent.Pay(pay)
		got := db.compacter.readsHavePaid()
		return got || len(db.live.View().Frozen) > 0
	}
	if asked(run + memory - 1) {
		t.Errorf("%d bytes are enough to merge %d with %d", rent.Paid(), memory, run)
	}
	if !asked(1) {
		t.Fatalf("%d bytes are not enough to merge %d with %d", rent.Paid(), memory, run)
	}
	must(t, db.flusher.flushFrozen())
	must(t, db.compacter.compactPicked())
	if n := len(db.live.View().Version.Levels[0]); n != 0 {
		t.Fatalf("%d tables are left in level 0", n)
	}
	put()
	if asked(1 << 30) {
		t.Errorf("a memtable of %d bytes was flushed to merge %d: too little was written since the last time", db.live.View().Mem.Size(), run)
	}
}

// While tables of level 0 are made fewer, reads of many of them let others run first, and not before or after.
func TestReadsLetCompactionRun(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	fault := vfstest.NewFault(vfstest.NewMem())
	o := manualOptions(fault, newFakeClock(), SyncNever)
	o.sortedMemory = -1
	db := openTest(t, o)
	for range lsm.UsualTables {
		must(t, db.Put([]byte("k"), nil))
		must(t, db.Flush())
	}
	var ran atomic.Int64
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
				ran.Add(1)
				runtime.Gosched()
			}
		}
	}()
	scan := func(when string, lets bool) {
		const n = 1000
		before := ran.Load()
		for range n {
			for _, err := range db.Range(nil) {
				must(t, err)
			}
		}
		if ran := ran.Load() - before; ran > n/2 != lets {
			t.Errorf("%s: beside %d scans another goroutine ran %d times", when, n, ran)
		}
		before = ran.Load()
		for range n * lsm.LookupSample {
			if _, err := db.Get([]byte("j")); !errors.Is(err, ErrNotFound) {
				t.Fatal(err)
			}
		}
		if ran := ran.Load() - before; ran > n/2 != lets {
			t.Errorf("%s: beside %d look-ups another goroutine ran %d times", when, n*lsm.LookupSample, ran)
		}
	}
	scan("before", false)
	fault.Inject(func(op vfstest.Op) error {
		if op.Kind == vfstest.OpCreate {
			fault.Inject(nil)
			scan("meanwhile", true)
		}
		return nil
	})
	db.live.Rent().Pay(1 << 30)
	must(t, db.compacter.compactPicked())
	if n := len(db.live.View().Version.Levels[0]); n != 0 || ran.Load() == 0 {
		t.Errorf("%d tables are in level 0", n)
	}
	for range lsm.UsualTables {
		must(t, db.Put([]byte("k"), nil))
		must(t, db.Flush())
	}
	scan("after", false)
	close(stop)
	<-done
}

// On a full disk reads do not try for ever.
func TestReadsOnFullDisk(t *testing.T) {
	fault := vfstest.NewFault(vfstest.NewMem())
	db := openTest(t, manualOptions(fault, newFakeClock(), SyncNever))
	for !db.live.Rent().Worth(db.live.View().Mem) {
		must(t, db.Put([]byte("k"), make([]byte, 100)))
	}
	fault.SetRoom(0)
	db.live.Rent().Pay(1 << 20)
	if db.compacter.readsHavePaid() || len(db.live.View().Frozen) != 0 {
		t.Error("the memtable was frozen")
	}
	if n := db.live.Rent().Paid(); n != 0 {
		t.Errorf("%d bytes are left, to try again at once", n)
	}
	fault.SetRoom(1 << 30)
	db.live.Rent().Pay(1 << 20)
	if db.compacter.readsHavePaid() || len(db.live.View().Frozen) != 1 {
		t.Error("the memtable was not frozen")
	}
}

// Reads that never end have no more rewritten for them than a share of what is written, whatever they have paid, and what was
// not rewritten yet is, once enough was written.
func TestReadsCompactWithinBudget(t *testing.T) {
	if testing.Short() {
		t.Skip("one goroutine, and what it counts does not depend on the race detector")
	}
	o := manualOptions(vfstest.NewMem(), newFakeClock(), SyncNever)
	o.memtableSize, o.tableSize, o.segmentSize = 8<<20, 0, 0
	db := openTest(t, o)
	put := func(i int) { must(t, db.Put(fmt.Appendf(nil, "key%05d", i), make([]byte, 100))) }
	const keys = 20_000
	for i := range keys {
		put(i)
	}
	must(t, db.Compact(t.Context()))
	rounds := func(n int) (user, logged, flushed, compacted, compactions int64) {
		t.Helper()
		before := db.Stats()
		for round := range n {
			for i := range 300 {
				put((round*997 + i*101) % keys)
			}
			must(t, db.Flush())
			db.live.Rent().Pay(1 << 40)
			must(t, db.compacter.compactPicked())
			db.live.Rent().Reset()
		}
		s := db.Stats()
		return s.UserBytes - before.UserBytes, int64(s.Log.Bytes - before.Log.Bytes), s.FlushedBytes - before.FlushedBytes,
			s.CompactedBytes - before.CompactedBytes, s.Compactions - before.Compactions
	}
	if _, _, _, _, n := rounds(3); n != 1 {
		t.Errorf("what was written before allows %d compactions", n)
	}
	user, logged, flushed, compacted, n := rounds(60)
	if compacted > 12*flushed || n < 3 || n > 30 {
		t.Errorf("%d compactions in 60 rounds have written %d bytes for %d that were flushed", n, compacted, flushed)
	}
	if all := logged + flushed + compacted; all > 20*user {
		t.Errorf("%d bytes were written for %d: %d to the log, %d to tables, %d by compactions", all, user, logged, flushed, compacted)
	}
	t.Logf("for each byte put: %.1f to the log, %.1f to tables, %.1f by %d compactions", float64(logged)/float64(user),
		float64(flushed)/float64(user), float64(compacted)/float64(user), n)
}
