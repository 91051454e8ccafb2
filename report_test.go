package ebb

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/ebbdb/ebb/compaction"
	"github.com/ebbdb/ebb/internal/dir"
	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// ledger follows a history and holds that every version that expires is reported once: not before its deadline, and before
// whatever overwrites or deletes it later.
type ledger struct {
	live     map[string]Change // the newest put of each key that was not overwritten, deleted or reported
	reported int
}

// follow goes through changes. wroteAt tells when a write was made; now is the time.
func (l *ledger) follow(changes []Change, wroteAt func(seq uint64) int64, now int64) error {
	l.live, l.reported = map[string]Change{}, 0
	for i, c := range changes {
		if c.Seq != uint64(i+1) {
			return fmt.Errorf("change %d: %s", i+1, c.text())
		}
		gone := func(key string) error {
			old, ok := l.live[key]
			if ok && old.Deadline != 0 && old.Deadline <= wroteAt(c.Seq) {
				return fmt.Errorf("%s, made at %d, comes before the expiry of %s", c.text(), wroteAt(c.Seq), old.text())
			}
			delete(l.live, key)
			return nil
		}
		var err error
		key := string(c.Key)
		switch c.Kind {
		case ChangePut:
			err = gone(key)
			l.live[key] = c
		case ChangeDelete:
			err = gone(key)
		case ChangeDeleteRange:
			for k := range l.live {
				if key <= k && k < string(c.End) {
					err = errors.Join(err, gone(k))
				}
			}
		case ChangeEvict:
			for k, old := range l.live {
				if old.Deadline != 0 && old.Deadline <= c.Deadline {
					err = errors.Join(err, gone(k))
				}
			}
		case ChangeExpire:
			// A deadline that has passed when its log segment begins is in the log as that time.
			old, ok := l.live[key]
			if !ok || old.Seq != c.Version || old.Deadline < c.Deadline || c.Deadline > now {
				err = fmt.Errorf("%s at %d, but the newest is %s", c.text(), now, old.text())
			}
			delete(l.live, key)
			l.reported++
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// allReported holds that nothing has expired that was not reported.
func (l *ledger) allReported(now int64) error {
	for _, c := range l.live {
		if c.Deadline != 0 && c.Deadline <= now {
			return fmt.Errorf("not reported at %d: %s", now, c.text())
		}
	}
	return nil
}

// expiryMachine is a watchMachine that reports expiries.
type expiryMachine struct {
	*watchMachine
	at map[uint64]int64 // when the write of a sequence was made
}

func newExpiryMachine(t *rapid.T) *expiryMachine {
	m := &expiryMachine{newWatchMachine(t, func(fs *vfstest.Mem, clock *fakeClock) *Options {
		return manualOptions(fs, clock, SyncAlways)
	}), map[uint64]int64{}}
	m.opts.RetainLog, m.opts.ExpiryEvents = 1<<30, true
	m.opts.expiryMemory = rapid.SampledFrom([]int64{1, 300, 1000, 1 << 20}).Draw(t, "memory")
	m.wrote = m.noteTime
	m.open(t)
	return m
}

// noteTime notes the changes of a write, and when it was made.
func (m *expiryMachine) noteTime(changes ...Change) {
	m.note(changes...)
	for _, c := range m.groups[len(m.groups)-1] {
		m.at[c.Seq] = m.now()
	}
}

func (m *expiryMachine) Sweep(t *rapid.T) {
	m.db.sweep()
	var l ledger
	m.follow(t, &l)
	m.must(t, l.allReported(m.clock.ms()))
}

// Expire gives a key another deadline.
func (m *expiryMachine) Expire(t *rapid.T) {
	key := m.key(t)
	err := m.db.Expire([]byte(key), time.Duration(rapid.IntRange(1, 3000).Draw(t, "ms"))*time.Millisecond)
	if errors.Is(err, ErrNotFound) {
		return
	}
	m.must(t, err)
	e, err := m.db.GetEntry([]byte(key))
	m.must(t, err)
	m.wrote(Change{Kind: ChangePut, Key: e.Key, Value: e.Value, Deadline: e.Deadline})
}

func (m *expiryMachine) follow(t *rapid.T, l *ledger) {
	t.Helper()
	changes, err := allChanges(m.db, 1)
	m.must(t, err)
	m.must(t, l.follow(changes, func(seq uint64) int64 { return m.at[seq] }, m.clock.ms()))
	i := 0
	want := m.expected(1, "")
	for _, c := range changes {
		if c.Kind != ChangeExpire {
			if i == len(want) || c.text() != want[i].text() {
				t.Fatalf("%s, want the %d. of %v", c.text(), i, want)
			}
			i++
		}
	}
	if i != len(want) {
		t.Fatalf("%d writes, want %d", i, len(want))
	}
}

// Check holds the history against the rules, and reads against the history.
func (m *expiryMachine) Check(t *rapid.T) {
	var l ledger
	m.follow(t, &l)
	model := newModel(m.clock)
	for key, c := range l.live {
		model.entries[key] = modelEntry{string(c.Value), c.Deadline}
	}
	m.must(t, model.compare(m.db, m.clock.ms()))
}

// TestExpiryModel runs random histories, across restarts, with more and with less room than what expires takes.
func TestExpiryModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newExpiryMachine(t)
		defer func() { m.must(t, m.db.Close()) }()
		t.Repeat(map[string]func(*rapid.T){
			"put": m.Put, "put2": m.Put, "put3": m.Put, "delete": m.Delete, "batch": m.Batch, "deleteRange": m.DeleteRange,
			"expire": m.Expire, "evict": m.Evict, "flush": m.Flush, "compact": m.Compact,
			"pass": m.Pass, "pass2": m.Pass, "sweep": m.Sweep, "reopen": m.Reopen, "": m.Check,
		})
	})
}

// expiryScript is a life in which versions expire in the memtable, in tables, under an overwrite, under a range delete and
// while nobody looks.
func expiryScript(clock *fakeClock) []step {
	start := clock.ms()
	pick := otherStep("pick", func(db *DB) error { return db.compacter.runPlans(context.Background(), compaction.Pick) })
	return []step{
		putStep("a", "1", start+500), putStep("b", "1", start+500), putStep("c", "1", start+500), putStep("d", "1", 0),
		batchStep("batch", start+700, "e", "f", "g", "d"),
		sweepStep(clock, 100*time.Millisecond), flushStep,
		putStep("b", "2", start+900),
		otherStep("pass", func(*DB) error { clock.add(500 * time.Millisecond); return nil }),
		putStep("a", "2", 0), deleteStep("c"), // expired, and nobody has looked
		sweepStep(clock, 100*time.Millisecond), // e and f
		putStep("h", "1", start+2000), flushStep,
		sweepStep(clock, 500*time.Millisecond), flushStep, compactStep, // b
		putStep("i", "1", start+1500), putStep("j", "1", start+2500),
		otherStep("pass", func(*DB) error { clock.add(500 * time.Millisecond); return nil }),
		deleteRangeStep("i", "z"), // i has expired, j has not
		batchStep("late", start+2600, "k", "l", "m", "a"),
		sweepStep(clock, 400*time.Millisecond), flushStep, // h
		sweepStep(clock, time.Second), compactStep, sweepStep(clock, time.Second),
		putStep("p", "1", start+4500), putStep("q", "1", start+8000), flushStep,
		otherStep("pass", func(*DB) error { clock.add(time.Second); return nil }),
		evictStep(start + 8000), // p has expired, q has not, and never will
		putStep("n", "1", start+7000), flushStep,
		sweepStep(clock, 4*time.Second), pick, putStep("o", "1", 0), // n's table goes, and nobody has synced
		putStep("end", strings.Repeat("e", 9000), start+1<<40), flushStep, sweepStep(clock, time.Second), compactStep,
	}
}

// After a crash anywhere, whatever was reported stays reported, and the rest is reported once.
func TestExpiryCrashStates(t *testing.T) {
	eachPolicy(t, func(t *testing.T, policy SyncPolicy) {
		options := func(fs vfs.FS, clock *fakeClock) *Options {
			o := manualOptions(fs, clock, policy)
			o.RetainLog, o.ExpiryEvents = 1<<30, true
			return o
		}
		mem, clock := vfstest.NewMem(), newFakeClock()
		at := map[uint64]int64{} // when each sequence was written
		var complete []Change
		h := record(t, mem, options(mem, clock), clock, expiryScript(clock), func(db *DB) {
			more, err := allChanges(db, uint64(len(complete))+1)
			must(t, err)
			complete = append(complete, more...)
			for seq := lastSeq(db); seq > 0 && at[seq] == 0; seq-- {
				at[seq] = clock.ms()
			}
		})
		var l ledger
		must(t, l.follow(complete, func(seq uint64) int64 { return at[seq] }, clock.ms()))
		must(t, l.allReported(clock.ms()))
		if l.reported != 13 { // b is overwritten in time, j and d are deleted, q is evicted
			t.Errorf("%d versions were reported", l.reported)
		}
		var tried vfstest.Tried
		vfstest.EachCrash(t, mem, vfstest.CrashPoints{}, func(c *vfstest.Crash) error {
			if tried.Before(c, h.times[c.Op]) {
				return nil
			}
			return checkExpiries(options(c.FS, h.clockAt(c)), complete, at)
		})
	})
}

// checkExpiries opens a database after a crash, holds that its history is a beginning of the complete one, lets time pass,
// and holds that everything is reported once.
func checkExpiries(o *Options, complete []Change, at map[uint64]int64) error {
	db, err := Open("db", o)
	if err != nil {
		return err
	}
	defer db.Close()
	before, err := allChanges(db, 1)
	if err != nil {
		return err
	}
	for i, c := range before {
		if c.text() != complete[i].text() {
			return fmt.Errorf("change %d: %s, want %s", i, c.text(), complete[i].text())
		}
	}
	clock := newClockAt(db.clock.Now())
	clock.add(time.Hour)
	if err := db.Close(); err != nil {
		return err
	}
	again := *o
	again.Clock = clock.Now
	if db, err = Open("db", &again); err != nil {
		return err
	}
	defer db.Close()
	for range 2 {
		db.sweep()
		if err := errors.Join(db.Flush(), db.Compact(context.Background())); err != nil {
			return err
		}
	}
	after, err := allChanges(db, 1)
	if err != nil {
		return err
	}
	var l ledger
	now := clock.ms()
	if err := l.follow(after, func(seq uint64) int64 { return at[seq] }, now); err != nil {
		return err
	}
	if db.Stats().DeadlineEntries > 1 {
		return fmt.Errorf("%d entries with a deadline are left", db.Stats().DeadlineEntries)
	}
	return l.allReported(now)
}

// What expires is reported by itself, beside writers, and then its tables go.
func TestExpiryInBackground(t *testing.T) {
	clock := newFakeClock()
	o := tinyOptions(vfstest.NewMem(), clock)
	o.ExpiryEvents, o.RetainLog, o.expiryMemory = true, 1<<30, 20<<10
	db := openTest(t, o)
	const n = 2000
	done := make(chan error)
	go func() {
		var err error
		for i := 0; i < n && err == nil; i++ {
			err = db.Put(fmt.Appendf(nil, "key%04d", i), make([]byte, 50), TTL(time.Duration(1+i%5)*time.Second), NoSync)
			if i%100 == 0 {
				clock.add(time.Second)
			}
		}
		done <- errors.Join(err, db.Sync())
	}()
	seen, written := 0, 0
	for c, err := range db.Watch(context.Background(), &WatchOptions{From: 1}) {
		must(t, err)
		switch c.Kind {
		case ChangePut:
			if written++; written == n {
				clock.add(time.Minute)
			}
		case ChangeExpire:
			seen++
		}
		if seen == n {
			break
		}
	}
	must(t, <-done)
	must(t, db.Compact(context.Background()))
	if s := db.Stats(); s.DeadlineEntries > 0 || s.ExpiryEvents != n {
		t.Errorf("%d entries with a deadline are left, %d expiries were reported", s.DeadlineEntries, s.ExpiryEvents)
	}
	changes, err := allChanges(db, 1)
	must(t, err)
	var l ledger
	must(t, l.follow(changes, func(uint64) int64 { return 0 }, clock.ms()))
}

// Expiry events can be switched on for a database that has lived without, and off again.
func TestExpirySwitched(t *testing.T) {
	mem, clock := vfstest.NewMem(), newFakeClock()
	o := manualOptions(mem, clock, SyncAlways)
	o.RetainLog = 1 << 30
	kinds := func(db *DB) (kinds []string) {
		changes, err := allChanges(db, 1)
		must(t, err)
		for _, c := range changes {
			kinds = append(kinds, fmt.Sprintf("%v %s", c.Kind, c.Key))
		}
		return kinds
	}
	db := openTest(t, o)
	must(t, db.Put([]byte("a"), nil, TTL(time.Second)))
	must(t, db.Put([]byte("b"), nil, TTL(time.Hour)))
	must(t, db.Flush())
	clock.add(time.Minute)
	must(t, db.Close())
	o.ExpiryEvents = true
	db = openTest(t, o)
	db.sweep()
	if got := kinds(db); len(got) != 3 || got[2] != "expire a" {
		t.Errorf("switched on: %v", got)
	}
	clock.add(time.Hour)
	must(t, db.Close())
	o.ExpiryEvents = false
	db = openTest(t, o)
	content{db}.lacks(t, "b")
	db.sweep()
	must(t, db.Compact(context.Background()))
	if got := kinds(db); len(got) != 3 {
		t.Errorf("switched off: %v", got)
	}
	if left := files(t, mem, path.Join("db", dir.TablesName)); len(left) != 0 {
		t.Errorf("%v are left", left)
	}
}

// Whoever writes beside the sweeper, every version that expires is reported once.
func TestExpiryBesideWriters(t *testing.T) {
	clock := newFakeClock()
	o := tinyOptions(vfstest.NewMem(), clock)
	o.ExpiryEvents, o.RetainLog, o.expiryMemory, o.Sync = true, 1<<30, 2000, SyncNever
	db := openTest(t, o)
	const writers, writes = 4, 600
	errs := make(chan error)
	for w := range writers {
		go func() {
			r := rand.New(rand.NewPCG(uint64(w), 1))
			var err error
			for i := 0; i < writes && err == nil; i++ {
				if err = expiringWrite(db, r); errors.Is(err, ErrNotFound) {
					err = nil
				}
				clock.add(time.Millisecond)
				if i%50 == 0 {
					err = errors.Join(err, db.reporter.catchUp())
				}
			}
			errs <- err
		}()
	}
	for range writers {
		must(t, <-errs)
	}
	clock.add(time.Hour)
	must(t, db.Compact(context.Background()))
	changes, err := allChanges(db, 1)
	must(t, err)
	var l ledger
	must(t, l.follow(changes, func(uint64) int64 { return 0 }, clock.ms()))
	must(t, l.allReported(clock.ms()))
	if s := db.Stats(); l.reported == 0 || s.ExpiryEvents != int64(l.reported) || s.DeadlineEntries != 0 {
		t.Errorf("%d expiries are in the log, %d were counted, %d entries are left", l.reported, s.ExpiryEvents, s.DeadlineEntries)
	}
}

// expiringWrite makes a random write of a version that expires soon.
func expiringWrite(db *DB, r *rand.Rand) error {
	key := fmt.Appendf(nil, "key%02d", r.IntN(60))
	ttl := TTL(time.Duration(1+r.IntN(100)) * time.Millisecond)
	switch r.IntN(10) {
	case 0:
		return db.Delete(key)
	case 1:
		return db.DeleteRange(key, append(key[:len(key):len(key)], 'z'))
	case 2:
		return db.Expire(key, time.Duration(r.IntN(100))*time.Millisecond)
	case 3:
		var b Batch
		for range 5 {
			if err := b.Put(fmt.Appendf(nil, "key%02d", r.IntN(60)), []byte("batch"), ttl); err != nil {
				return err
			}
		}
		return db.Apply(&b)
	}
	return db.Put(key, make([]byte, r.IntN(200)), ttl)
}

// Errors and full disks at every operation lose no expiry and report none twice.
func TestExpiryFaults(t *testing.T) {
	run := func(fault *vfstest.Fault, o *Options, clock *fakeClock) (at map[uint64]int64) {
		at = map[uint64]int64{}
		db, err := Open("db", o)
		if err != nil {
			return at
		}
		for _, s := range expiryScript(clock) {
			s.run(db) // what failed is not in the log, or the log has failed
			db.health.workers.Wait()
			for seq := lastSeq(db); seq > 0 && at[seq] == 0; seq-- {
				at[seq] = clock.ms()
			}
		}
		fault.Inject(nil)
		db.Close()
		return at
	}
	options := func(fs vfs.FS, clock *fakeClock) *Options {
		o := manualOptions(fs, clock, SyncAlways)
		o.RetainLog, o.ExpiryEvents = 1<<30, true
		return o
	}
	counter, clock := vfstest.NewFault(vfstest.NewMem()), newFakeClock()
	run(counter, options(counter, clock), clock)
	count := counter.Count(vfstest.OpAny)
	stride := 1
	if testing.Short() {
		stride = 7
	}
	for _, cause := range []error{syscall.EIO, syscall.ENOSPC} {
		for n := 1; n <= count; n += stride {
			mem, clock := vfstest.NewMem(), newFakeClock()
			fault := vfstest.NewFault(mem)
			fault.Inject(vfstest.FailNth(vfstest.OpAny, "", n, cause))
			at := run(fault, options(fault, clock), clock)
			if err := checkFaulted(options(mem, clock), clock, at); err != nil {
				t.Fatalf("%v at operation %d of %d: %v", cause, n, count, err)
			}
		}
	}
}

func checkFaulted(o *Options, clock *fakeClock, at map[uint64]int64) error {
	clock.add(time.Hour)
	db, err := Open("db", o)
	if err != nil {
		return err
	}
	defer db.Close()
	db.sweep()
	changes, err := allChanges(db, 1)
	if err != nil {
		return err
	}
	var l ledger
	if err := l.follow(changes, func(seq uint64) int64 { return at[seq] }, clock.ms()); err != nil {
		return err
	}
	return l.allReported(clock.ms())
}

// A version that cannot be read holds up neither the others nor the writers of other keys, and is not dropped unreported.
func TestExpiryUnreadable(t *testing.T) {
	mem, clock := vfstest.NewMem(), newFakeClock()
	o := roomyOptions(mem, clock)
	o.ExpiryEvents, o.RetainLog = true, 1<<30
	db := openTest(t, o)
	must(t, db.Put([]byte("good"), nil, TTL(time.Second)))
	must(t, db.Flush())
	must(t, db.Put([]byte("bad"), make([]byte, 100), TTL(time.Second)))
	must(t, db.Flush())
	must(t, db.Close())
	must(t, mem.Corrupt(files(t, mem, "db/tables")[1], 120, 1)) // the newer one, which is read first
	db = openTest(t, o)
	clock.add(time.Minute)
	if err := db.reporter.catchUp(); !errors.Is(err, ErrCorrupt) {
		t.Errorf("sweep: %v", err)
	}
	if n := db.Stats().ExpiryEvents; n != 1 {
		t.Errorf("%d expiries were reported, want that of the good key", n)
	}
	must(t, db.Put([]byte("other"), nil))
	if err := db.DeleteRange([]byte("x"), []byte("y")); !errors.Is(err, ErrCorrupt) {
		t.Errorf("delete of a range of which nobody knows what has expired: %v", err)
	}
	if err := db.Put([]byte("bad"), nil); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a put over what cannot be read: %v", err)
	}
	if s := db.Stats(); s.DeadlineEntries != 2 {
		t.Errorf("%d entries are left", s.DeadlineEntries)
	}
}

// Sessions that are touched take no more room among what expires next than one version each, and tables are not scanned
// for them again and again: neither where all sessions fit, nor where a part of them does.
func TestExpiryTouches(t *testing.T) {
	const sessions = 1000
	touches := 100_000 / vfstest.Step(10)
	for _, c := range []struct {
		name   string
		memory int64
		scans  int64 // at most
	}{
		{"room for all", 1 << 20, 1},
		// 83 minutes of touches, and each scan finds what expires in the next ten or so.
		{"room for 400", 400 * 160, 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			clock := newFakeClock()
			o := &Options{fs: vfstest.NewMem(), Clock: clock.Now, Sync: SyncNever, manual: true, ExpiryEvents: true, expiryMemory: c.memory}
			db := openTest(t, o)
			key := func(i int) []byte { return fmt.Appendf(nil, "session%09d", i) }
			for i := range sessions {
				must(t, db.Put(key(i), make([]byte, 100), TTL(30*time.Minute)))
			}
			must(t, db.Flush())
			r := rand.New(rand.NewPCG(1, 1))
			for i := range touches {
				clock.add(50 * time.Millisecond)
				_, err := db.GetTouch(key(r.IntN(sessions)), 30*time.Minute)
				must(t, err)
				if i%100 == 0 {
					must(t, db.reporter.catchUp())
				}
				if n, b := db.reporter.upcoming.Len(), db.reporter.upcoming.Bytes(); n > sessions || b > c.memory {
					t.Fatalf("after %d touches %d versions of %d sessions are kept, %d bytes", i, n, sessions, b)
				}
			}
			scans := db.reporter.scans.Load()
			t.Logf("%d scans, %d versions, %d bytes", scans, db.reporter.upcoming.Len(), db.reporter.upcoming.Bytes())
			if scans > c.scans {
				t.Errorf("%d scans for %d touches, want at most %d", scans, touches, c.scans)
			}
			clock.add(time.Hour)
			must(t, db.reporter.catchUp())
			if n := db.Stats().ExpiryEvents; n != sessions {
				t.Errorf("%d expiries were reported, want %d", n, sessions)
			}
		})
	}
}

// A scan that was dear is repeated after a rest of 19 times what it took, unless soon is complete no longer.
func TestExpiryScansRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := newFakeClock()
		o := roomyOptions(vfstest.NewMem(), clock)
		o.ExpiryEvents, o.expiryMemory = true, 2000
		db := openTest(t, o)
		defer db.Close()
		for i := range 100 {
			must(t, db.Put(fmt.Appendf(nil, "key%03d", i), nil, TTL(time.Duration(10+i)*time.Second)))
		}
		x := db.reporter
		due := func(want bool) {
			t.Helper()
			got, err := x.scanDue()
			if must(t, err); got != want {
				t.Errorf("%d ms are left, and %d versions: scan %v", x.upcoming.Complete()-clock.ms(), x.upcoming.Len(), got)
			}
		}
		due(true)
		must(t, x.catchUp())
		due(false)
		start := time.Now()
		x.rest.ended(start.Add(-time.Second), start)
		clock.add(time.Duration(x.upcoming.Complete()-clock.ms()-1900) * time.Millisecond)
		due(false) // it is full
		must(t, x.reportDue())
		due(false)
		time.Sleep(19*time.Second - 1)
		due(false)
		time.Sleep(time.Nanosecond)
		due(true)
		x.rest.ended(start, time.Now())
		due(false)
		clock.add(1900 * time.Millisecond)
		due(true)
	})
}
