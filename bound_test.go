package ebb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/ebbdb/ebb/internal/lsm"
	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// watchedDisk is a disk that knows the most that was on it, and who has exceeded the bound that was promised.
type watchedDisk struct {
	*vfstest.Fault
	peak atomic.Int64
}

const diskSize = 1 << 40

func newWatchedDisk(fs vfs.FS) *watchedDisk {
	d := &watchedDisk{Fault: vfstest.NewFault(fs)}
	d.SetRoom(diskSize)
	d.Inject(func(vfstest.Op) error {
		used := diskSize - d.Room()
		for peak := d.peak.Load(); used > peak && !d.peak.CompareAndSwap(peak, used); peak = d.peak.Load() {
		}
		return nil
	})
	return d
}

// within holds that the disk has never had more than a database's bound, two memtables and a segment.
func (d *watchedDisk) within(t *testing.T, db *DB) {
	t.Helper()
	most := db.opts.MaxDisk + 2*db.opts.memtableSize + db.opts.segmentSize
	if peak := d.peak.Load(); peak > most || peak == 0 {
		t.Errorf("there were %d bytes, MaxDisk is %d: too many by %d", peak, db.opts.MaxDisk, peak-most)
	}
}

// boundedOptions bound a directory to half of the least there is.
func boundedOptions(fs vfs.FS, clock *fakeClock) *Options {
	return &Options{fs: fs, Clock: clock.Now, Sync: SyncNever, MaxDisk: 4 << 20, memtableSize: 128 << 10}
}

// evictions collects what a database has evicted.
type evictions struct{ recorder }

// takes reports whether an eviction up to a version takes an entry.
func (v *evictions) takes(e Entry, upTo uint64) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return e.Deadline != 0 && e.Deadline <= v.horizon(e.Version, upTo)
}

// horizon returns the last horizon of the evictions after one version and up to another.
func (v *evictions) horizon(after, upTo uint64) (horizon int64) {
	for _, event := range v.events {
		if e, ok := event.(Evicted); ok && e.Version > after && e.Version <= upTo {
			horizon = max(horizon, e.UpTo.UnixMilli())
		}
	}
	return horizon
}

// check holds that every entry is there as it was last written, or was evicted; and returns how many are there.
func (v *evictions) check(t *testing.T, db *DB, last map[string]Entry) (there int) {
	t.Helper()
	db.freer.looking.Lock() // an eviction is told after it is visible
	s, err := db.Snapshot()
	db.freer.looking.Unlock()
	must(t, err)
	defer s.Close()
	m := make(marker)
	db.events.emit(m)
	<-m
	for key, want := range last {
		got, err := s.GetEntry([]byte(key))
		gone := v.takes(want, s.Seq())
		switch {
		case err == nil && got.Version == want.Version && bytes.Equal(got.Value, want.Value) && got.Deadline == want.Deadline:
			if there++; gone {
				t.Errorf("%s is there and was evicted", key)
			}
		case err == nil:
			t.Errorf("%s has version %d until %d, want %d until %d", key, got.Version, got.Deadline, want.Version, want.Deadline)
		case !errors.Is(err, ErrNotFound) || !gone:
			t.Errorf("%s of version %d until %d: %v, and no eviction has taken it", key, want.Version, want.Deadline, err)
		}
	}
	return there
}

// Whatever is written, the directory stays within the bound, no write is refused that can be made, and what is absent was
// evicted: with a deadline up to one that an event has told.
func TestMaxDisk(t *testing.T) {
	puts := 6000
	if testing.Short() {
		puts = 3500
	}
	for _, c := range []struct {
		name  string
		keys  int // distinct ones
		ttl   func(i int, r *rand.Rand) time.Duration
		there int // percent of MaxDisk that is there in the end, at least
	}{
		{"one TTL", 1 << 30, func(int, *rand.Rand) time.Duration { return time.Hour }, 50},
		{"any TTL", 1 << 30, func(_ int, r *rand.Rand) time.Duration { return time.Duration(100+r.IntN(1000)) * time.Minute }, 40},
		{"overwritten with one TTL", 1200, func(int, *rand.Rand) time.Duration { return time.Hour }, 20},
		{"overwritten without deadlines", 420, func(int, *rand.Rand) time.Duration { return 0 }, 20},
		{"half of it overwritten without deadlines", 1000, func(int, *rand.Rand) time.Duration { return 0 }, 45},
		{"a few without deadlines", 1 << 30, func(i int, _ *rand.Rand) time.Duration { return time.Duration(min(i%40, 1)) * time.Hour }, 20},
	} {
		for _, manual := range []bool{false, true} {
			t.Run(fmt.Sprint(c.name, ", manual ", manual), func(t *testing.T) {
				disk, clock, v := newWatchedDisk(vfstest.NewMem()), newFakeClock(), new(evictions)
				o := boundedOptions(disk, clock)
				o.manual, o.OnEvent, o.sys.sleep = manual, v.onEvent, func(time.Duration) {}
				db := openTest(t, o)
				r, last := rand.New(rand.NewPCG(1, 2)), map[string]Entry{}
				for i := range puts {
					key := fmt.Sprintf("key%06d", r.IntN(c.keys))
					e := Entry{Value: bytes.Repeat([]byte{byte(i)}, 1900+r.IntN(200))}
					if ttl := c.ttl(i, r); ttl > 0 {
						e.Deadline = clock.Now().Add(ttl).UnixMilli()
					}
					if err := db.Put([]byte(key), e.Value, ExpireAt(deadlineTime(e.Deadline)), VersionTo(&e.Version)); err != nil {
						t.Fatalf("put %d: %v\n%s", i, err, db.bound.describe(db.live.View()))
					}
					last[key] = e
					clock.add(time.Second)
				}
				disk.within(t, db)
				if testing.Verbose() {
					st := db.Stats()
					t.Logf("dir %d tables %d log %d mem %d evictions %d compacted %d flushed %d over %d levels %+v", st.DirectoryBytes, st.TableBytes, st.Log.DiskBytes, st.MemtableBytes, st.Evictions, st.CompactedBytes, st.FlushedBytes, db.bound.over(db.live.View()), st.Levels)
				}
				if there := v.check(t, db, last) * 2000; there < int(o.MaxDisk)*c.there/100 {
					t.Errorf("only %d bytes are there, of %d", there, o.MaxDisk)
				}
				if s := db.Stats(); s.RefusedWrites > 0 || s.Failure != nil || s.MaxDisk != o.MaxDisk || s.DirectoryBytes == 0 {
					t.Errorf("%+v", s)
				}
				must(t, db.Close())
				db = openTest(t, o)
				v.check(t, db, last)
			})
		}
	}
}

// describe says how a bounded directory is filled.
func (b *bound) describe(v *lsm.View) string {
	all, held := b.disk.Bytes()
	s := fmt.Sprintf("%d bytes, %d held, memtables %d, room %d, over by %d", all, held, memory(v), b.room(), b.over(v))
	for level, t := range v.Version.Levels.All() {
		start, end := t.Bounds()
		s += fmt.Sprintf("\nlevel %d: %d bytes, %s to %s", level, t.Size, start, end)
	}
	return s
}

// fillUp puts entries without a deadline until there is no room for more, and returns how many there are.
func fillUp(t *testing.T, db *DB) (n int) {
	t.Helper()
	for i := range 1000 { // evicted for them
		must(t, db.Put(fmt.Appendf(nil, "cached%d", i), make([]byte, 4000), TTL(time.Duration(1000+i)*time.Second)))
	}
	for ; n < 10000; n++ {
		err := db.Put(fmt.Appendf(nil, "key%06d", n), make([]byte, 2000))
		if errors.Is(err, ErrNoSpace) {
			return n
		}
		must(t, err)
	}
	t.Fatal("there is always room")
	return n
}

// Entries without a deadline fill the directory. Then writes are refused and deletes are not, reads go on, and there is room
// for writes as soon as something was deleted, in any way.
func TestFullOfWhatStays(t *testing.T) {
	for name, free := range map[string]func(db *DB, n int) error{
		"range": func(db *DB, n int) error { return db.DeleteRange([]byte("key"), fmt.Appendf(nil, "key%06d", n/2)) },
		"one by one": func(db *DB, n int) error {
			var errs []error
			for i := range n / 2 {
				errs = append(errs, db.Delete(fmt.Appendf(nil, "key%06d", i)))
			}
			return errors.Join(errs...)
		},
		"batch": func(db *DB, n int) error {
			var b Batch
			for i := range n / 2 {
				if err := b.Delete(fmt.Appendf(nil, "key%06d", i)); err != nil {
					return err
				}
			}
			return db.Apply(&b)
		},
		"transaction": func(db *DB, n int) error {
			return db.Update(func(tx *Txn) error {
				for i := range n / 2 {
					if err := tx.Delete(fmt.Appendf(nil, "key%06d", i)); err != nil {
						return err
					}
				}
				return nil
			})
		},
		"taken": func(db *DB, n int) error {
			var errs []error
			for i := range n / 2 {
				_, err := db.Take(fmt.Appendf(nil, "key%06d", i))
				errs = append(errs, err)
			}
			return errors.Join(errs...)
		},
	} {
		for _, manual := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", manual ", manual), func(t *testing.T) {
				disk, clock := newWatchedDisk(vfstest.NewMem()), newFakeClock()
				o := boundedOptions(disk, clock)
				o.manual = manual
				db := openTest(t, o)
				n := fillUp(t, db)
				if least := int(o.MaxDisk) * 6 / 10 / 2000; n < least {
					t.Errorf("%d entries fill it, want %d", n, least)
				}
				if err := db.Put([]byte("more"), make([]byte, 2000)); !errors.Is(err, ErrNoSpace) || !strings.Contains(err.Error(), "MaxDisk") {
					t.Errorf("put into what is full: %v", err)
				}
				content{db}.has(t, "key000000", string(make([]byte, 2000)))
				must(t, free(db, n))
				disk.within(t, db)
				for i := range n / 4 {
					if err := db.Put(fmt.Appendf(nil, "new%06d", i), make([]byte, 2000)); err != nil {
						t.Fatalf("put %d after half was deleted: %v", i, err)
					}
				}
				content{db}.lacks(t, "key000000")
				content{db}.has(t, fmt.Sprintf("key%06d", n-1), string(make([]byte, 2000)))
				if s := db.Stats(); s.RefusedWrites == 0 || s.DiskFull == 0 {
					t.Errorf("%d writes refused, %d times full, %d evictions", s.RefusedWrites, s.DiskFull, s.Evictions)
				}
				disk.within(t, db)
			})
		}
	}
}

// A snapshot holds what was replaced since: writes are refused when that fills the directory, and go on once it is closed.
// Nothing is evicted in vain for it. Writers wait a second before that.
func TestFullOfWhatIsHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk, clock := newWatchedDisk(vfstest.NewMem()), newFakeClock()
		o := boundedOptions(disk, clock)
		db := openTest(t, o)
		defer db.Close()
		put := func(i int) error { return db.Put(fmt.Appendf(nil, "key%06d", i%100), make([]byte, 2000)) }
		for i := range 200 {
			must(t, put(i))
		}
		must(t, db.Put([]byte("cached"), nil, TTL(time.Hour)))
		must(t, db.Compact(context.Background()))
		snap, err := db.Snapshot()
		must(t, err)
		for i := range 100 {
			must(t, put(i))
		}
		must(t, db.Compact(context.Background()))
		snaps := []*Snapshot{snap}
		var refused error
		var waited time.Duration
		for i := 0; i < 2000 && refused == nil; i++ {
			if i%100 == 0 && len(snaps) < 20 {
				snap, err := db.Snapshot()
				must(t, err)
				snaps = append(snaps, snap)
			}
			start := time.Now()
			refused = put(i)
			waited = time.Since(start)
		}
		if !errors.Is(refused, ErrNoSpace) || !strings.Contains(refused.Error(), "have open") || waited < pinPatience {
			t.Errorf("after %v: %v", waited, refused)
		}
		if s := db.Stats(); s.HeldBytes == 0 || s.Evictions != 0 {
			t.Errorf("%d bytes are held, %d evictions", s.HeldBytes, s.Evictions)
		}
		content{db}.has(t, "cached", "")
		go func() {
			for _, s := range snaps {
				s.Close()
			}
		}()
		synctest.Wait()
		for i := range 500 {
			must(t, put(i))
		}
		disk.within(t, db)
	})
}

// A write larger than a memtable is refused, whatever there is.
func TestMaxDiskLargeWrites(t *testing.T) {
	disk := newWatchedDisk(vfstest.NewMem())
	o := boundedOptions(disk, newFakeClock())
	db := openTest(t, o)
	for i := range 200 {
		must(t, db.Put([]byte{byte(i)}, make([]byte, 128<<10-1), TTL(time.Hour)))
	}
	if err := db.Put([]byte("k"), make([]byte, 128<<10)); !errors.Is(err, ErrNoSpace) {
		t.Errorf("a value as large as a memtable: %v", err)
	}
	var b Batch
	for i := range 130 {
		must(t, b.Put([]byte{byte(i)}, make([]byte, 1<<10)))
	}
	if err := db.Apply(&b); !errors.Is(err, ErrNoSpace) {
		t.Errorf("a batch larger than a memtable: %v", err)
	}
	disk.within(t, db)
}

// Many writers at once exceed the bound no more than one does.
func TestMaxDiskManyWriters(t *testing.T) {
	disk := newWatchedDisk(vfstest.NewMem())
	o := boundedOptions(disk, newFakeClock())
	db := openTest(t, o)
	const writers = 50
	errs := make(chan error, writers)
	for w := range writers {
		go func() {
			for i := range 100 {
				if err := db.Put(fmt.Appendf(nil, "%d %d", w, i), make([]byte, 6000), TTL(time.Duration(1+i)*time.Minute)); err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for range writers {
		must(t, <-errs)
	}
	disk.within(t, db)
}

// A transaction that waits for room holds none of it: what it has read is not read again once it is to be written.
func TestMaxDiskTransactions(t *testing.T) {
	disk := newWatchedDisk(vfstest.NewMem())
	db := openTest(t, boundedOptions(disk, newFakeClock()))
	const writers = 50
	errs := make(chan error, writers)
	for w := range writers {
		go func() {
			var err error
			for i := 0; i < 100 && err == nil; i++ {
				key := fmt.Appendf(nil, "%d %d", w, i)
				err = db.Update(func(tx *Txn) error {
					if _, err := tx.Get(key); err != ErrNotFound {
						return fmt.Errorf("a new key: %w", err)
					}
					return tx.Put(key, make([]byte, 3000), TTL(time.Duration(1+i)*time.Minute))
				})
			}
			errs <- err
		}()
	}
	for range writers {
		must(t, <-errs)
	}
	disk.within(t, db)
}

// Close ends looks that are under way, and writers that wait for them.
func TestMaxDiskClose(t *testing.T) {
	for round := range 10 {
		db := openTest(t, boundedOptions(vfstest.NewMem(), newFakeClock()))
		const writers = 4
		errs, begun := make(chan error, writers), make(chan struct{}, writers*100_000)
		for w := range writers {
			go func() {
				for i := 0; ; i++ {
					ttl := time.Duration(w%2) * time.Hour // half of what is written stays
					if err := db.Put(fmt.Appendf(nil, "%d %d", w, i), make([]byte, 3000), TTL(ttl)); err != nil && !errors.Is(err, ErrNoSpace) {
						errs <- err
						return
					}
					select {
					case begun <- struct{}{}:
					default:
					}
				}
			}()
		}
		for range 600 + 40*round {
			<-begun
		}
		must(t, db.Close())
		for range writers {
			if err := <-errs; !errors.Is(err, ErrClosed) {
				t.Error(err)
			}
		}
	}
}

// Expiries are reported and what is evicted is not, and neither stops the other.
func TestMaxDiskWithExpiryEvents(t *testing.T) {
	disk, clock := newWatchedDisk(vfstest.NewMem()), newFakeClock()
	o := boundedOptions(disk, clock)
	o.ExpiryEvents = true
	db := openTest(t, o)
	for i := range 3000 {
		must(t, db.Put(fmt.Appendf(nil, "key%06d", i), make([]byte, 2000), TTL(time.Duration(1+i%7)*time.Minute)))
		clock.add(time.Second / 2)
	}
	if s := db.Stats(); s.Evictions == 0 || s.ExpiryEvents == 0 {
		t.Errorf("%d evictions, %d expiries", s.Evictions, s.ExpiryEvents)
	}
	disk.within(t, db)
}

// An Ingest makes room for itself, or changes nothing.
func TestMaxDiskIngest(t *testing.T) {
	clock := newFakeClock()
	ingest := func(db *DB, n int) error {
		source := openTestIn(t, "source", &Options{fs: vfstest.NewMem(), Clock: clock.Now, Sync: SyncNever})
		for i := range n {
			must(t, source.Put(fmt.Appendf(nil, "ingested%06d", i), make([]byte, 2000)))
		}
		file, _ := takeBackup(t, source, nil)
		_, err := db.Ingest(context.Background(), bytes.NewReader(file), nil)
		return err
	}
	for _, manual := range []bool{false, true} {
		disk := newWatchedDisk(vfstest.NewMem())
		o := boundedOptions(disk, clock)
		o.manual = manual
		db := openTestIn(t, fmt.Sprint("db", manual), o)
		for i := range 1000 {
			must(t, db.Put(fmt.Appendf(nil, "key%06d", i), make([]byte, 2000), TTL(time.Hour)))
		}
		must(t, ingest(db, 150))
		content{db}.has(t, "ingested000149", string(make([]byte, 2000)))
		if err := ingest(db, 2500); !errors.Is(err, ErrNoSpace) {
			t.Errorf("ingest of more than fits: %v", err)
		}
		content{db}.has(t, "ingested000149", string(make([]byte, 2000)))
		content{db}.lacks(t, "ingested000150")
		must(t, db.Put([]byte("after"), make([]byte, 2000)))
		disk.within(t, db)
		must(t, db.Close())
	}
}

// A database that is larger than a new bound shrinks to it, as far as it has what may go.
func TestMaxDiskOfALargerDatabase(t *testing.T) {
	mem, clock := vfstest.NewMem(), newFakeClock()
	o := boundedOptions(mem, clock)
	o.MaxDisk = 0
	db := openTest(t, o)
	for i := range 2000 {
		must(t, db.Put(fmt.Appendf(nil, "key%06d", i), make([]byte, 2000), TTL(time.Hour+time.Duration(i)*time.Second)))
	}
	must(t, db.Compact(context.Background()))
	must(t, db.Close())
	o.MaxDisk = boundedOptions(mem, clock).MaxDisk
	db = openTest(t, o)
	for i := range 100 {
		must(t, db.Put(fmt.Appendf(nil, "new%06d", i), make([]byte, 2000)))
	}
	if n := diskBytes(t, mem, "db"); n > o.MaxDisk {
		t.Errorf("%d bytes", n)
	}
	content{db}.lacks(t, "key000000")
	content{db}.has(t, "new000099", string(make([]byte, 2000)))
}

func TestMaxDiskOptions(t *testing.T) {
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{MaxDisk: 8<<20 - 1}, "MaxDisk is 8388607, allowed: 0, which is no bound, and 8388608 and more"},
		{Options{MaxDisk: 9 << 20, RetainLog: 1<<20 + 1}, "and 9437185 and more"},
		{Options{MaxDisk: 1}, "and 8388608 and more"},
	} {
		c.o.fs = vfstest.NewMem()
		if _, err := Open("db", &c.o); !errors.Is(err, ErrInvalidOptions) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%d: %v", c.o.MaxDisk, err)
		}
		if _, err := OpenMemory(&c.o); !errors.Is(err, ErrInvalidOptions) {
			t.Errorf("in memory: %v", err)
		}
	}
	for _, o := range []*Options{{MaxDisk: 8 << 20}, {MaxDisk: 9 << 20, RetainLog: 1 << 20}} {
		db, err := OpenMemory(o)
		must(t, err)
		for i := range 8000 {
			must(t, db.Put(fmt.Appendf(nil, "key%06d", i), make([]byte, 2000), TTL(time.Hour)))
		}
		if s := db.Stats(); s.Evictions == 0 || s.DirectoryBytes > o.MaxDisk || s.DiskBytes < o.MaxDisk/4 {
			t.Errorf("%d evictions, %d bytes, %d of tables and log", s.Evictions, s.DirectoryBytes, s.DiskBytes)
		}
		must(t, db.Close())
	}
}

// boundedScript fills a bounded directory a few times with what has deadlines, so that it evicts.
func boundedScript(clock *fakeClock, size int) []step {
	var script []step
	value := strings.Repeat("v", size)
	for i := range 60 {
		script = append(script, putStep(fmt.Sprintf("key%02d", i%23), value, clock.ms()+int64(1+i)*60_000))
	}
	return script
}

// No crash brings back what was evicted, or loses anything else.
func TestMaxDiskCrashStates(t *testing.T) {
	options := func(fs vfs.FS, clock *fakeClock) *Options {
		o := manualOptions(fs, clock, SyncAlways)
		o.memtableSize, o.MaxDisk = 1<<10, 32<<10
		return o
	}
	mem, clock, v := vfstest.NewMem(), newFakeClock(), new(evictions)
	o := options(mem, clock)
	o.OnEvent = v.onEvent
	written := map[uint64]Entry{} // by version
	mem.Record()
	promises := vfstest.NewPromises(mem)
	db := openTest(t, o)
	var versions []uint64 // of the puts, in their order
	for _, s := range boundedScript(clock, 900) {
		promises.Begin()
		must(t, s.run(db))
		promises.Done()
		promises.Synced()
		versions = append(versions, lastSeq(db))
		key := strings.TrimPrefix(s.name, "put ")
		e, err := db.GetEntry([]byte(key))
		must(t, err)
		written[e.Version] = e
	}
	if db.Stats().Evictions < 3 {
		t.Fatalf("%d evictions", db.Stats().Evictions)
	}
	must(t, db.Close())
	var tried vfstest.Tried
	vfstest.EachCrash(t, mem, vfstest.CrashPoints{Step: 3, OneIn: 2}, func(c *vfstest.Crash) error {
		least, most := promises.At(c)
		if tried.Before(c, [2]int{least, most}) {
			return nil
		}
		db, err := Open("db", options(c.FS, newClockAt(clock.ms())))
		if err != nil {
			return err
		}
		defer db.Close()
		last, puts := map[string]Entry{}, 0
		for _, version := range versions {
			if version <= lastSeq(db) {
				puts++
				last[string(written[version].Key)] = written[version]
			}
		}
		if puts < least || puts > most {
			return fmt.Errorf("%d puts are there, want %d to %d", puts, least, most)
		}
		for key, want := range last {
			got, err := db.GetEntry([]byte(key))
			if err == nil && got.Version != want.Version || err != nil && (!errors.Is(err, ErrNotFound) || !v.takes(want, lastSeq(db))) {
				return fmt.Errorf("%s has version %d, %w, want %d", key, got.Version, err, want.Version)
			}
			if err == nil && v.takes(want, lastSeq(db)) {
				return fmt.Errorf("%s is back: it was evicted", key)
			}
		}
		return db.Put([]byte("after"), make([]byte, 500), TTL(time.Hour))
	})
}

// An operation of the disk that fails, whichever it is, stops nobody for ever, and takes nothing that stays.
func TestMaxDiskFaults(t *testing.T) {
	every := 31
	if testing.Short() {
		every = 149
	}
	for _, cause := range []error{syscall.EIO, syscall.ENOSPC} {
		for n, reached := 0, true; reached; n += every {
			clock, fault := newFakeClock(), vfstest.NewFault(vfstest.NewMem())
			var ops atomic.Int64
			fault.Inject(func(vfstest.Op) error {
				if int(ops.Add(1)) == n+1 {
					return cause
				}
				return nil
			})
			o := manualOptions(fault, clock, SyncAlways)
			o.memtableSize, o.MaxDisk = 16<<10, 32*16<<10
			stays, failed := map[string]string{}, 0
			if db, err := Open("db", o); err == nil {
				for i, s := range boundedScript(clock, 14_000) {
					if s.run(db) != nil {
						failed++
					}
					if stay := putStep(fmt.Sprint("stays", i%9), fmt.Sprint(i), 0); i%7 == 0 && stay.run(db) == nil {
						stays[fmt.Sprint("stays", i%9)] = fmt.Sprint(i)
					}
				}
				if db.health.failure() == nil && db.log.Err() == nil && failed > 2 {
					t.Errorf("%v at operation %d: %d writes failed, for one failure that heals", cause, n, failed)
				}
				db.Close()
			}
			fault.Inject(nil)
			reached = int(ops.Load()) > n
			db, err := Open("db", o)
			if err != nil {
				t.Fatalf("%v at operation %d: %v", cause, n, err)
			}
			for key, value := range stays {
				if got, err := db.Get([]byte(key)); err != nil || string(got) < value && len(got) <= len(value) {
					t.Errorf("%v at operation %d: %s is %q, %v, want %q", cause, n, key, got, err, value)
				}
			}
			if err := putStep("after", "1", 0).run(db); err != nil {
				t.Errorf("%v at operation %d: %v", cause, n, err)
			}
			must(t, db.Close())
		}
	}
}

// TestMaxDiskModel runs random histories of a bounded database that is nearly always full.
func TestMaxDiskModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		clock, v := newFakeClock(), new(evictions)
		disk := newWatchedDisk(vfstest.NewMem())
		o := boundedOptions(disk, clock)
		o.manual, o.OnEvent = rapid.Bool().Draw(rt, "manual"), v.onEvent
		o.memtableSize, o.MaxDisk = 16<<10, 32*16<<10
		db := openTest(t, o)
		last := map[string]Entry{}
		key := func() string { return fmt.Sprintf("key%03d", rapid.IntRange(0, 199).Draw(rt, "key")) }
		put := func(rt *rapid.T) {
			for range rapid.IntRange(1, 40).Draw(rt, "puts") {
				k, e := key(), Entry{Value: bytes.Repeat([]byte{'v'}, rapid.IntRange(0, 4000).Draw(rt, "size"))}
				if ttl := rapid.IntRange(0, 5).Draw(rt, "ttl"); ttl > 0 {
					e.Deadline = clock.ms() + int64(ttl)*60_000
				}
				err := db.Put([]byte(k), e.Value, ExpireAt(deadlineTime(e.Deadline)), VersionTo(&e.Version))
				if err == nil {
					last[k] = e
				} else if !errors.Is(err, ErrNoSpace) {
					rt.Fatal(err)
				}
			}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"put": put, "put2": put, "put3": put,
			"delete": func(*rapid.T) {
				k := key()
				if err := db.Delete([]byte(k)); err == nil {
					delete(last, k)
				} else if !errors.Is(err, ErrNoSpace) {
					rt.Fatal(err)
				}
			},
			"deleteRange": func(*rapid.T) {
				from, to := key(), key()
				if err := db.DeleteRange([]byte(from), []byte(to)); err != nil {
					if !errors.Is(err, ErrNoSpace) {
						rt.Fatal(err)
					}
					return
				}
				for k := range last {
					if from <= k && k < to {
						delete(last, k)
					}
				}
			},
			"flush": func(*rapid.T) { must(t, db.Flush()) },
			"compact": func(*rapid.T) {
				if rapid.IntRange(0, 9).Draw(rt, "seldom") == 0 {
					must(t, db.Compact(context.Background()))
				}
			},
			"tick": func(*rapid.T) {
				clock.add(time.Duration(rapid.IntRange(0, 30_000).Draw(rt, "ms")) * time.Millisecond)
				for k, e := range last {
					if e.Deadline != 0 && e.Deadline <= clock.ms() {
						delete(last, k)
					}
				}
			},
			"reopen": func(*rapid.T) {
				must(t, db.Close())
				db = openTest(t, o)
			},
			"": func(*rapid.T) { v.check(t, db, last) },
		})
		must(t, db.Close())
		disk.within(t, db)
		if t.Failed() {
			rt.FailNow()
		}
	})
}
