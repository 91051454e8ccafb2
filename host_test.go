package ebb

import (
	"bytes"
	"cmp"
	"errors"
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/ebbdb/ebb/internal/draft"
	"github.com/ebbdb/ebb/internal/host"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// TestHostTime opens databases whose time a host decides: it is what the host says, before and after a restart, whatever was
// marked, and nothing leaves the disk before the host allows it.
func TestHostTime(t *testing.T) {
	mem := vfstest.NewMem()
	now, drop := int64(1000), int64(0)
	o := manualOptions(mem, newFakeClock(), SyncNever)
	o.host = &host.Host{
		Now: func() int64 { return now }, DropBefore: func() int64 { return drop }, Hidden: []byte{0xff, 0xff},
	}
	db := openTest(t, o)
	must(t, db.Put([]byte("a"), []byte("1"), TTL(500*time.Millisecond)))
	now = 1499
	if left, err := db.TTL([]byte("a")); left != time.Millisecond || err != nil {
		t.Fatalf("a has %v left, %v", left, err)
	}
	now = 5000
	if _, err := db.Get([]byte("a")); err != ErrNotFound {
		t.Fatalf("a at its deadline: %v", err)
	}
	must(t, db.Flush())
	must(t, db.Close())

	now = 1200 // the writes since were lost, and come once more
	db = openTest(t, o)
	if v, err := db.Get([]byte("a")); string(v) != "1" || err != nil {
		t.Fatalf("a after a flush at a time that does not count: %q, %v", v, err)
	}
	now, drop = 5000, 1499
	must(t, db.Compact(t.Context()))
	now = 1200
	if v, err := db.Get([]byte("a")); string(v) != "1" || err != nil {
		t.Fatalf("a after a compaction before it may be dropped: %q, %v", v, err)
	}
	now, drop = 5000, 1500
	must(t, db.Compact(t.Context()))
	now = 1200
	if _, err := db.Get([]byte("a")); err != ErrNotFound {
		t.Fatalf("a after a compaction when it may be dropped: %v", err)
	}
}

// TestHostHidden walks over a database whose host has keys of its own.
func TestHostHidden(t *testing.T) {
	o := manualOptions(vfstest.NewMem(), newFakeClock(), SyncNever)
	one := func() int64 { return 1 }
	o.host = &host.Host{Now: one, DropBefore: one, Hidden: []byte{0xff, 0xff}}
	db := openTest(t, o)
	for _, k := range []string{"a", "\xff\xfe", "\xff\xff", "\xff\xff7"} {
		must(t, db.Put([]byte(k), nil))
	}
	keys := func(o *IterOptions) (keys []string) {
		for e, err := range db.Range(o) {
			must(t, err)
			keys = append(keys, e.string())
		}
		return keys
	}
	for _, c := range []struct {
		o    *IterOptions
		want []string
	}{
		{nil, []string{"a", "\xff\xfe"}},
		{&IterOptions{Reverse: true}, []string{"\xff\xfe", "a"}},
		{&IterOptions{Prefix: []byte{0xff}}, []string{"\xff\xfe"}},
		{&IterOptions{Prefix: []byte{0xff, 0xff}}, []string{"\xff\xff", "\xff\xff7"}},
		{&IterOptions{Start: []byte("\xff\xff"), End: []byte("\xff\xff8")}, []string{"\xff\xff", "\xff\xff7"}},
	} {
		if got := keys(c.o); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%+v shows %q, want %q", c.o, got, c.want)
		}
	}
	must(t, db.View(func(tx *Txn) error {
		if e, err := tx.Last(nil); err != nil || string(e.Key) != "\xff\xfe" {
			t.Errorf("the last is %q, %v", e.Key, err)
		}
		return nil
	}))
}

func (e Entry) string() string { return string(e.Key) }

// TestHostOptions takes write options apart.
func TestHostOptions(t *testing.T) {
	if host.TTL != host.Life(draft.TTL) || host.At != host.Life(draft.At) || host.KeepTTL != host.Life(draft.KeepTTL) {
		t.Fatal("a host.Life has not the number that a draft has")
	}
	var version uint64
	var found bool
	for _, c := range []struct {
		call host.Call
		opts []WriteOption
		want host.Options
	}{
		{host.Put, nil, host.Options{}},
		{host.Put, []WriteOption{TTL(5), IfVersion(7), VersionTo(&version), FoundTo(&found)}, host.Options{Life: host.TTL,
			LifeValue: 5, Cond: host.IfVersion, CondValue: 7, VersionTo: &version, FoundTo: &found}},
		{host.Put, []WriteOption{KeepTTL, IfAbsent, Sync}, host.Options{Life: host.KeepTTL, Cond: host.IfAbsent}},
		{host.Delete, []WriteOption{IfPresent}, host.Options{Cond: host.IfPresent}},
		{host.Add, []WriteOption{ExpireAt(time.UnixMilli(9))}, host.Options{Life: host.At, LifeValue: 9}},
		{host.Expire, []WriteOption{IfLater}, host.Options{Cond: host.IfLater}},
		{host.GetTouch, []WriteOption{IfEarlier}, host.Options{Cond: host.IfEarlier}},
		{host.Condition, []WriteOption{IfNoDeadline}, host.Options{Cond: host.IfNoDeadline}},
		{host.Expire, []WriteOption{IfDeadline}, host.Options{Cond: host.IfDeadline}},
	} {
		if got, err := host.Root.Options(c.call, c.opts); err != nil || got != c.want {
			t.Errorf("%v: %+v, %v", c.opts, got, err)
		}
	}
	if _, err := host.Root.Options(host.Persist, []WriteOption{TTL(1)}); !errors.Is(err, ErrInvalidOption) {
		t.Errorf("Persist with a TTL: %v", err)
	}
}

// TestHostState takes a transaction apart: what it has read as it was before its own writes.
func TestHostState(t *testing.T) {
	db := openTest(t, manualOptions(vfstest.NewMem(), newFakeClock(), SyncNever))
	var version uint64
	must(t, db.Put([]byte("b"), []byte("1")))
	must(t, db.Put([]byte("c"), []byte("1"), VersionTo(&version)))
	aborted := errors.New("aborted")
	state := func(fn func(*Txn)) (s *host.Txn) {
		if err := db.Update(func(tx *Txn) (err error) {
			fn(tx)
			if s, err = host.Root.State(tx); err == nil {
				err = aborted
			}
			return err
		}); err != aborted {
			t.Fatal(err)
		}
		return s
	}
	walk := func(tx *Txn) {
		for range tx.Range(&IterOptions{Start: []byte("b")}) {
		}
	}
	s := state(func(tx *Txn) {
		must(t, tx.Put([]byte("c"), []byte("2"), TTL(time.Second)))
		must(t, tx.DeleteRange([]byte("x"), nil))
		_, _ = tx.Get([]byte("a"))
		_, _ = tx.Get([]byte("b"))
		walk(tx)
	})
	if len(s.Keys) != 2 || s.Keys[0].Version != 0 || s.Keys[1].Version != version-1 {
		t.Errorf("keys %+v", s.Keys)
	}
	sum := host.NewSummer()
	sum.Add([]byte("b"), version-1)
	sum.Add([]byte("c"), version)
	if len(s.Ranges) != 1 || string(s.Ranges[0].Start) != "b" || s.Ranges[0].End != nil || s.Ranges[0].Sum != sum.Sum() {
		t.Errorf("ranges %+v", s.Ranges)
	}
	if len(s.Writes) != 1 || s.Writes[0].Life != host.TTL || s.Writes[0].LifeValue != int64(time.Second) || len(s.Gone) != 1 {
		t.Errorf("writes %+v, gone %+v", s.Writes, s.Gone)
	}
	must(t, db.Put([]byte("c"), []byte("1")))
	if again := state(walk); again.Ranges[0].Sum == s.Ranges[0].Sum {
		t.Error("a new version of a key does not change the digest")
	}
}

// TestHostDue asks when something expires next, of memtables and of tables.
func TestHostDue(t *testing.T) {
	now := int64(1000)
	o := manualOptions(vfstest.NewMem(), newFakeClock(), SyncNever)
	o.host = &host.Host{Now: func() int64 { return now }, DropBefore: func() int64 { return 0 }, Hidden: []byte{0xff}}
	db := openTest(t, o)
	due := func(want int64) {
		t.Helper()
		if got, err := host.Root.Due(db); got != want || err != nil {
			t.Errorf("at %d: due at %d, %v, want %d", now, got, err, want)
		}
	}
	due(0)
	must(t, db.Put([]byte("a"), nil))
	due(0)
	must(t, db.Put([]byte("b"), nil, TTL(time.Second)))
	must(t, db.Put([]byte("c"), nil, TTL(time.Hour)))
	due(2000)
	must(t, db.Flush())
	due(2000)
	must(t, db.Put([]byte("d"), nil, TTL(time.Minute)))
	due(2000)
	now = 2000
	due(61000)
	now = 61000
	due(3601000)
	now = 3601000
	due(0)
}

// hostedDB is a database whose host reports what expires.
type hostedDB struct {
	db        *DB
	now, drop int64
	next      uint64 // the sequence of the first change that was not looked at
}

func openHosted(t *rapid.T, memory int64) *hostedDB {
	h := &hostedDB{now: 1, next: 1}
	o := manualOptions(vfstest.NewMem(), newFakeClock(), SyncNever)
	o.RetainLog, o.expiryMemory = 1<<30, memory
	o.host = &host.Host{Now: func() int64 { return h.now }, DropBefore: func() int64 { return h.drop }, Hidden: []byte{0xff}}
	db, err := Open("db", o)
	if err != nil {
		t.Fatal(err)
	}
	h.db = db
	return h
}

// changes returns the changes up to a sequence that were not looked at.
func (h *hostedDB) changes(t *rapid.T, upTo uint64) (list []string) {
	if h.next > upTo {
		return nil
	}
	for c, err := range h.db.Watch(t.Context(), &WatchOptions{From: h.next}) {
		if err != nil {
			t.Fatal(err)
		}
		if list = append(list, c.text()); c.Seq == upTo {
			break
		}
	}
	h.next = upTo + 1
	return list
}

// TestHostReportsModel has two databases of the same content, with little room and with enough for what expires next, flushed and
// compacted each in its own way, report the same in the same order: all that has expired, once, by deadline and key.
func TestHostReportsModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := openHosted(t, rapid.SampledFrom([]int64{200, 300, 1000}).Draw(t, "memory"))
		defer a.db.Close()
		b := openHosted(t, 0)
		defer b.db.Close()
		both := []*hostedDB{a, b}
		now, on := int64(1), false
		live := map[string]Change{}
		seq := uint64(0)
		key := func(name string) []byte { return []byte{byte(rapid.IntRange('a', 'p').Draw(t, name))} }
		each := func(fn func(*hostedDB) error) {
			for _, h := range both {
				if err := fn(h); err != nil {
					t.Fatal(err)
				}
			}
		}
		report := func(*rapid.T) {
			now += int64(rapid.IntRange(0, 4).Draw(t, "time passes"))
			var want []string
			for _, c := range slices.SortedFunc(maps.Values(live), func(a, b Change) int {
				return cmp.Or(cmp.Compare(a.Deadline, b.Deadline), bytes.Compare(a.Key, b.Key))
			}) {
				if c.Deadline > now {
					break
				}
				if delete(live, string(c.Key)); on {
					seq++
					r := Change{Kind: ChangeExpire, Key: c.Key, Seq: seq, Version: c.Seq, Deadline: c.Deadline}
					want = append(want, r.text())
				}
			}
			each(func(h *hostedDB) error {
				h.changes(t, seq-uint64(len(want)))
				h.now = now
				got, err := host.Root.Report(h.db, now)
				if err != nil || got != seq || host.Root.Unreported(h.db) <= now {
					t.Fatalf("the sequence is %d, %v, and should be %d; what comes next is at %d", got, err, seq, host.Root.Unreported(h.db))
				}
				h.drop = now
				if list := h.changes(t, seq); !slices.Equal(list, want) {
					t.Fatalf("at %d reported %v, want %v", now, list, want)
				}
				return nil
			})
		}
		t.Repeat(map[string]func(*rapid.T){
			"switch": func(*rapid.T) {
				report(t)
				on = !on
				each(func(h *hostedDB) error { host.Root.ReportFrom(h.db, now, on); return nil })
			},
			"put": func(*rapid.T) {
				c := Change{Key: key("key"), Deadline: now + int64(rapid.IntRange(1, 6).Draw(t, "left"))}
				seq++
				c.Seq = seq
				each(func(h *hostedDB) error {
					return h.db.Put(c.Key, make([]byte, 100), ExpireAt(time.UnixMilli(c.Deadline)))
				})
				live[string(c.Key)] = c
			},
			"delete": func(*rapid.T) {
				k := key("key")
				seq++
				each(func(h *hostedDB) error { return h.db.Delete(k) })
				delete(live, string(k))
			},
			"delete range": func(*rapid.T) {
				start, end := key("start"), key("end")
				if bytes.Compare(start, end) >= 0 {
					return
				}
				seq++
				each(func(h *hostedDB) error { return h.db.DeleteRange(start, end) })
				maps.DeleteFunc(live, func(k string, _ Change) bool { return k >= string(start) && k < string(end) })
			},
			"report": report, "report2": report,
			"look ahead": func(*rapid.T) { _, _ = hostReporterOf(both[rapid.IntRange(0, 1).Draw(t, "of")].db).lookAhead() },
			"flush":      func(*rapid.T) { _ = both[rapid.IntRange(0, 1).Draw(t, "of")].db.Flush() },
			"compact":    func(*rapid.T) { _ = both[rapid.IntRange(0, 1).Draw(t, "of")].db.Compact(t.Context()) },
		})
	})
}

// TestHostReportsBehindScan reports when a scan has read a part of what there is, and failed: what it has found is not reported before
// what it has not come to.
func TestHostReportsBehindScan(t *testing.T) {
	now := int64(1)
	o := manualOptions(vfstest.NewMem(), newFakeClock(), SyncNever)
	o.RetainLog = 1 << 20
	o.host = &host.Host{Now: func() int64 { return now }, DropBefore: func() int64 { return 0 }, Hidden: []byte{0xff}}
	db := openTest(t, o)
	for deadline, key := range map[int64]string{10: "a", 5: "b", 7: "c"} {
		must(t, db.Put([]byte(key), nil, ExpireAt(time.UnixMilli(deadline))))
	}
	host.Root.ReportFrom(db, now, true)
	h := hostReporterOf(db)
	e, err := db.Stat([]byte("a"))
	must(t, err)
	turn := h.pipeline.lock()
	h.upcoming.Fill()
	h.upcoming.Set([]byte("a"), e.Version, e.Deadline)
	h.upcoming.Filled(false)
	h.publish(turn)
	turn.end()
	now = 10
	if seq, err := host.Root.Report(db, now); seq != 6 || err != nil {
		t.Fatalf("the sequence is %d, %v", seq, err)
	}
	var got []string
	for c, err := range db.Watch(t.Context(), &WatchOptions{From: 4}) {
		must(t, err)
		if got = append(got, string(c.Key)); c.Seq == 6 {
			break
		}
	}
	if want := []string{"b", "c", "a"}; !slices.Equal(got, want) {
		t.Errorf("%q were reported, want %q", got, want)
	}
}
