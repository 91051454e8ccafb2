package ebb

import (
	"context"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// checkSums holds that the figures of Stats add up, and are those of the files.
func checkSums(t *testing.T, db *DB, fs *vfstest.Mem) Stats {
	t.Helper()
	db.health.workers.Wait() // which close what was replaced
	s := db.Stats()
	var tables int64
	for _, l := range s.Levels {
		tables += l.Bytes
	}
	log := int64(0)
	for _, name := range files(t, fs, "db/wal") {
		if size, err := fs.Size(name); err == nil && strings.HasSuffix(name, ".wal") {
			log += size
		}
	}
	for _, c := range []struct {
		what      string
		got, want int64
	}{
		{"tables", s.TableBytes, tables},
		{"files of tables", s.TableBytes, diskBytes(t, fs, "db/tables")},
		{"files of the log", s.Log.DiskBytes, log},
		{"disk", s.DiskBytes, tables + s.ReplacedBytes + log},
		{"memtables", s.MemtableBytes - s.ActiveBytes, frozenBytes(db)},
	} {
		if c.got != c.want {
			t.Errorf("%s: %d, want %d", c.what, c.got, c.want)
		}
	}
	return s
}

// Who only reads counts the files of the log as they are: beside an owner, with obsolete segments, after a crash and after
// a close.
func TestStatsOfLogReadOnly(t *testing.T) {
	fs, clock := vfstest.NewMem(), newFakeClock()
	o := manualOptions(fs, clock, SyncNever)
	o.RetainLog = 1 << 20
	db := openTest(t, o)
	check := func(when string) Stats {
		t.Helper()
		for { // the owner may just prepare its next segment
			before := diskBytes(t, fs, "db/wal")
			ro := openTest(t, readOnly(o))
			s := ro.Stats()
			must(t, ro.Close())
			log := diskBytes(t, fs, "db/wal")
			if log != before {
				continue
			}
			if s.Log.DiskBytes != log || s.DiskBytes != s.TableBytes+log {
				t.Errorf("%s: %d bytes of log and %d in all, want %d and %d", when, s.Log.DiskBytes, s.DiskBytes, log, s.TableBytes+log)
			}
			return s
		}
	}
	for _, s := range lifeScript(clock) {
		must(t, s.run(db))
		if check(s.name); t.Failed() {
			return
		}
	}
	must(t, db.Put([]byte("last"), make([]byte, 10_000)))
	fs = fs.Clone() // the process dies
	o.fs = fs
	if s := check("after a crash"); s.Log.DiskBytes < 10_000 {
		t.Errorf("the log has %d bytes", s.Log.DiskBytes)
	}
	must(t, openTest(t, o).Close())
	check("after a close")
}

func frozenBytes(db *DB) (n int64) {
	for _, m := range db.live.View().Frozen {
		n += m.Size()
	}
	return n
}

// The figures add up after every step of a life.
func TestStatsAddUp(t *testing.T) {
	fs, clock := vfstest.NewMem(), newFakeClock()
	db := openTest(t, manualOptions(fs, clock, SyncAlways))
	for _, s := range lifeScript(clock) {
		must(t, s.run(db))
		if checkSums(t, db, fs); t.Failed() {
			t.Fatalf("after %s", s.name)
		}
	}
	if s := db.Stats(); s.Log.ZeroBytes < 0 || s.Log.ZeroBytes >= s.Log.DiskBytes || s.LogObsoleteBytes != 0 || s.Log.Syncs == 0 {
		t.Errorf("%+v", s)
	}
	must(t, db.Close())
	db.Stats() // the last figures; nothing is freed under it
}

// Amplification, on writes of which every byte is known.
func TestAmplification(t *testing.T) {
	fs, clock := vfstest.NewMem(), newFakeClock()
	o := roomyOptions(fs, clock)
	o.tableSize = 1 << 20
	db := openTest(t, o)
	if s := db.Stats(); s.WriteAmplification() != 0 || s.SpaceAmplification() != 0 {
		t.Errorf("of nothing: %v, %v", s.WriteAmplification(), s.SpaceAmplification())
	}
	const keys, size = 500, 4 + 96
	write := func() {
		for i := range keys {
			must(t, db.Put(fmt.Appendf(nil, "%04d", i), make([]byte, 96)))
		}
		must(t, db.Flush())
	}
	write()
	first := checkSums(t, db, fs)
	write()
	must(t, db.Delete([]byte("0000"))) // not counted
	var b Batch
	must(t, b.Put([]byte("0001"), make([]byte, 96)))
	must(t, b.Put([]byte("0002"), make([]byte, 96)))
	must(t, b.Delete([]byte("0003")))
	must(t, db.Apply(&b))
	before := checkSums(t, db, fs)
	must(t, db.Compact(context.Background()))
	s := checkSums(t, db, fs)

	if want := int64(2*keys+2) * size; s.UserBytes != want {
		t.Errorf("%d bytes were put, want %d", s.UserBytes, want)
	}
	if first.LiveBytes != keys*size || before.LiveBytes != keys*size || s.LiveBytes != (keys-2)*size {
		t.Errorf("live: %d, %d, %d", first.LiveBytes, before.LiveBytes, s.LiveBytes)
	}
	// No table is much larger than what is in it, so one copy costs little more than one byte for one, and two copies two.
	for _, c := range []struct {
		what     string
		got, min float64
	}{
		{"write amplification of a flush", first.WriteAmplification(), 2},
		{"of a compaction too", s.WriteAmplification(), 2.5},
		{"space amplification of one copy", first.SpaceAmplification(), 1},
		{"of two", before.SpaceAmplification(), 2},
		{"of one again", s.SpaceAmplification(), 1},
	} {
		if c.got < c.min || c.got > 1.4*c.min {
			t.Errorf("%s is %.2f, want %.1f and a little", c.what, c.got, c.min)
		}
	}
	written := float64(s.Log.Bytes) + float64(s.FlushedBytes+s.CompactedBytes)
	if got, want := s.WriteAmplification(), written/float64(s.UserBytes); math.Abs(got-want) > 1e-9 {
		t.Errorf("write amplification is %v, want %v", got, want)
	}
	if s.FlushedBytes <= first.TableBytes || s.CompactedBytes != s.TableBytes || s.CompactionReadBytes != s.FlushedBytes {
		t.Errorf("flushed %d, compacted %d of %d", s.FlushedBytes, s.CompactedBytes, s.CompactionReadBytes)
	}

	must(t, db.Put([]byte("k"), []byte("v")))
	killed := fs.Clone()
	o = roomyOptions(killed, clock)
	db = openTest(t, o)
	if s := checkSums(t, db, killed); s.UserBytes != 0 {
		t.Errorf("a replay counts: %d", s.UserBytes)
	}
}

// What has expired is seen in the memtable and in tables, with how long it is overdue, until it is gone.
func TestExpiryStats(t *testing.T) {
	type figures struct {
		Deadlines, Expired, MemDeadlines, MemExpired uint64
		Lag, MemLag                                  time.Duration
		Gone                                         uint64
		Dropped                                      int64
	}
	fs, clock := vfstest.NewMem(), newFakeClock()
	db := openTest(t, roomyOptions(fs, clock))
	check := func(step string, want figures) {
		t.Helper()
		s := checkSums(t, db, fs)
		got := figures{s.DeadlineEntries, s.ExpiredBytes, s.MemtableDeadlineEntries, s.MemtableExpiredBytes, s.ExpiryLag,
			s.MemtableExpiryLag, s.ExpiredEntries, s.DroppedTables}
		if got != want {
			t.Errorf("%s: %+v, want %+v", step, got, want)
		}
	}
	for i := range 10 {
		must(t, db.Put(fmt.Appendf(nil, "key%d", i), make([]byte, 96), TTL(10*time.Second)))
	}
	must(t, db.Put([]byte("forever"), nil))
	check("fresh", figures{MemDeadlines: 10})
	clock.add(12 * time.Second)
	check("expired in the memtable", figures{MemDeadlines: 10, MemExpired: 1000, MemLag: 2 * time.Second})
	must(t, db.Flush())
	check("flushed", figures{Gone: 10})

	for i := range 10 {
		must(t, db.Put(fmt.Appendf(nil, "key%d", i), make([]byte, 96), TTL(10*time.Second)))
	}
	must(t, db.Flush())
	check("in a table", figures{Deadlines: 10, Gone: 10})
	clock.add(13 * time.Second)
	check("expired in a table", figures{Deadlines: 10, Expired: 1000, Lag: 3 * time.Second, Gone: 10})
	size := tableSize(t, db, 2)
	compact(t, db)
	check("dropped", figures{Gone: 20, Dropped: 1})
	if s := db.Stats(); s.DroppedBytes != size {
		t.Errorf("%d bytes were dropped, want %d", s.DroppedBytes, size)
	}
}

// Who reads what is no longer live shows, for how long, and how much it takes.
func TestPinStats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfstest.NewMem()
		db := openTest(t, roomyOptions(fs, newFakeClock()))
		check := func(step string, pins, tables int, bytes int64, oldest time.Duration) {
			t.Helper()
			s := checkSums(t, db, fs)
			if s.Pins != pins || s.ReplacedTables != tables || s.ReplacedBytes != bytes || s.OldestPin != oldest {
				t.Errorf("%s: %d pins, %d tables of %d bytes, %v", step, s.Pins, s.ReplacedTables, s.ReplacedBytes, s.OldestPin)
			}
		}
		must(t, db.Put([]byte("k"), []byte("1")))
		must(t, db.Flush())
		check("nobody", 0, 0, 0, 0)
		snapshot, err := db.Snapshot()
		must(t, err)
		it, err := snapshot.NewIterator(nil)
		must(t, err)
		time.Sleep(time.Minute) // of the bubble
		check("of what is live", 2, 0, 0, 0)
		size := tableSize(t, db, 1)
		must(t, db.Put([]byte("k"), []byte("2")))
		must(t, db.Flush())
		size += tableSize(t, db, 2)
		second, err := db.Snapshot()
		must(t, err)
		time.Sleep(time.Second)
		must(t, db.Compact(context.Background()))
		time.Sleep(time.Minute)
		check("replaced", 3, 2, size, time.Minute+time.Second)
		snapshot.Close()
		it.Close()
		check("the newer snapshot", 1, 2, size, time.Minute)
		second.Close()
		check("nobody any more", 0, 0, 0, 0)
		must(t, db.Close())
	})
}

// Times are counted where writers wait.
func TestStallStats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := openTest(t, roomyOptions(vfstest.NewMem(), newFakeClock()))
		for i := range slowAt + 2 {
			must(t, db.Put(fmt.Appendf(nil, "key%02d", i), nil))
			must(t, db.Flush())
		}
		must(t, db.Put([]byte("slow"), nil))
		// With slowAt tables, with one more, and with two more before the last.
		if s := db.Stats(); s.SlowedWrites != 3 || s.SlowedFor != (1+2+3)*slowStep || s.StoppedWrites != 0 {
			t.Errorf("%d writes slowed for %v", s.SlowedWrites, s.SlowedFor)
		}
		must(t, db.Close())
	})
}

// Stats may be asked for by anybody while everything is going on.
func TestStatsConcurrently(t *testing.T) {
	o := tinyOptions(vfstest.NewMem(), newFakeClock())
	db := openTest(t, o)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 2000 {
			if err := db.Put(fmt.Appendf(nil, "key%05d", i%300), make([]byte, 100), TTL(time.Hour), NoSync); err != nil {
				t.Error(err)
			}
		}
	}()
	var last Stats
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		s := db.Stats()
		for _, name := range []string{"UserBytes", "Flushes", "FlushedBytes", "Compactions"} {
			was, is := reflect.ValueOf(last).FieldByName(name).Int(), reflect.ValueOf(s).FieldByName(name).Int()
			if is < was {
				t.Errorf("%s went from %d to %d", name, was, is)
			}
		}
		last = s
	}
	if want := int64(2000 * 108); last.UserBytes != want {
		t.Errorf("%d bytes were put, want %d", last.UserBytes, want)
	}
}
