package ebb

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"pgregory.net/rapid"

	"github.com/ebbdb/ebb/internal/lsm"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// Update draws a transaction: reads, scans and writes, each held against the model as it goes, and the end.
func (m *machine) Update(t *rapid.T) {
	model := m.model.clone()
	failure := errors.New("not this time")
	fail := rapid.IntRange(0, 4).Draw(t, "fail") == 0
	err := m.db.Update(func(tx *Txn) error {
		for range rapid.IntRange(0, 8).Draw(t, "operations") {
			m.inTxn(t, tx, model)
		}
		if fail {
			return failure
		}
		return nil
	})
	if fail {
		if err != failure {
			t.Fatalf("update returns %v", err)
		}
		return
	}
	m.must(t, err)
	m.model = model
}

// TestTxnModel is TestModel for transactions above all: several operations in each, over what flushes and deletes have left.
func TestTxnModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newMachine(t, false)
		defer m.end(t)
		t.Repeat(map[string]func(*rapid.T){
			"put": m.Put, "batch": m.Batch, "delete": m.Delete, "flush": m.Flush, "tick": m.Tick, "compactRange": m.CompactRange,
			"update": m.Update, "update2": m.Update, "update3": m.Update, "update4": m.Update, "reopen": m.Reopen, "": m.Check,
		})
	})
}

// inTxn makes one operation in a transaction.
func (m *machine) inTxn(t *rapid.T, tx *Txn, model *model) {
	k := m.key(t)
	switch rapid.IntRange(0, 11).Draw(t, "operation") {
	case 8, 9:
		m.deleteRangeInTxn(t, tx, model, k)
	case 0:
		if err := model.compareKey(tx, k, m.now()); err != nil {
			t.Fatal(err)
		}
	case 1:
		if err := model.compare(tx, m.now()); err != nil {
			t.Fatal(err)
		}
	case 2:
		m.must(t, tx.Delete([]byte(k)))
		delete(model.entries, k)
	case 3:
		n := 0
		for e, err := range tx.Range(&IterOptions{Start: []byte(k), Limit: 3}) {
			m.must(t, err)
			m.must(t, model.same(string(e.Key), e, m.now()))
			n++
		}
	case 4:
		got, err := tx.Take([]byte(k))
		wantTaken(t, model, m.now(), k, got, err)
	case 5:
		m.touchInTxn(t, tx, model, k)
	case 6:
		m.addInTxn(t, tx, model, k)
	case 7:
		_, want := model.live(k, m.now())
		found := !want
		m.must(t, tx.Delete([]byte(k), FoundTo(&found)))
		if delete(model.entries, k); found != want {
			t.Fatalf("delete %q: found is %v, want %v", k, found, want)
		}
	default:
		v := m.value(t)
		opts, deadline := m.deadline(t)
		if old, ok := model.live(k, m.now()); len(opts) == 0 && rapid.Bool().Draw(t, "keep") {
			opts = append(opts, KeepTTL)
			if ok {
				deadline = old.deadline
			}
		}
		m.must(t, tx.Put([]byte(k), []byte(v), opts...))
		model.entries[k] = modelEntry{v, deadline}
	}
}

// deleteRangeInTxn deletes a range in a transaction, and walks over all with an iterator that was opened before.
func (m *machine) deleteRangeInTxn(t *rapid.T, tx *Txn, model *model, k string) {
	it, err := tx.NewIterator(nil)
	m.must(t, err)
	defer it.Close()
	before := model.keys(m.now())
	start, end := []byte(k), []byte(m.key(t))
	switch rapid.IntRange(0, 3).Draw(t, "bounds") {
	case 0:
		end = nil
		m.must(t, tx.DeleteRange(start, end))
	case 1:
		start = start[:rapid.IntRange(0, len(start)).Draw(t, "length of the prefix")]
		end = PrefixEnd(start)
		m.must(t, tx.DeletePrefix(start))
	default:
		m.must(t, tx.DeleteRange(start, end))
	}
	for key := range model.entries {
		if key >= string(start) && (end == nil || key < string(end)) {
			delete(model.entries, key)
		}
	}
	var shown []string
	for ok := it.First(); ok; ok = it.Next() {
		shown = append(shown, string(it.Key()))
	}
	if m.must(t, it.Err()); !slices.Equal(shown, before) {
		t.Fatalf("an iterator from before %q to %q were deleted shows %q, want %q", start, end, shown, before)
	}
	m.seekInTxn(t, tx, model)
}

// seekInTxn seeks, and turns round where that leads to.
func (m *machine) seekInTxn(t *rapid.T, tx *Txn, model *model) {
	it, err := tx.NewIterator(nil)
	m.must(t, err)
	defer it.Close()
	keys := model.keys(m.now())
	for range 3 {
		to := m.key(t)
		i, _ := slices.BinarySearch(keys, to)
		move := it.Seek
		if rapid.Bool().Draw(t, "before") {
			move = it.SeekBefore
			i--
		}
		var path []int
		ok := move([]byte(to))
		for at := i; ok; at = i {
			if path = append(path, i); i < 0 || i >= len(keys) || string(it.Key()) != keys[i] {
				t.Fatalf("seek %q, then %v: %q, want number %d of %q", to, path, it.Key(), at, keys)
			}
			if len(path) == 4 {
				break
			}
			if rapid.Bool().Draw(t, "next") {
				i++
				ok = it.Next()
			} else {
				i--
				ok = it.Prev()
			}
		}
		if m.must(t, it.Err()); !ok && i >= 0 && i < len(keys) {
			t.Fatalf("seek %q, then %v: nothing, want %q", to, path, keys[i])
		}
	}
}

// touchInTxn gives a key another deadline in a transaction.
func (m *machine) touchInTxn(t *rapid.T, tx *Txn, model *model, k string) {
	d := m.duration(t)
	deadline := m.after(d)
	old, ok := model.live(k, m.now())
	holds := true
	var opts []WriteOption
	var err error
	got := []byte(old.value)
	switch rapid.IntRange(0, 3).Draw(t, "way") {
	case 0:
		deadline, err = 0, tx.Persist([]byte(k))
	case 1:
		opts, holds = append(opts, IfNoDeadline), old.deadline == 0
		err = tx.Expire([]byte(k), d, opts...)
	case 2:
		opts, holds = append(opts, IfDeadline), old.deadline != 0
		fallthrough
	default:
		got, err = tx.GetTouch([]byte(k), d, opts...)
	}
	if !ok {
		if !errors.Is(err, ErrNotFound) {
			t.Fatalf("touch of an absent key: %v", err)
		}
		return
	}
	if wantFailed(t, err, holds) {
		if string(got) != old.value {
			t.Fatalf("touch returns %q, want %q", got, old.value)
		}
		model.change(m.put(k, old.value, deadline))
	}
}

// addInTxn adds to a counter in a transaction.
func (m *machine) addInTxn(t *rapid.T, tx *Txn, model *model, k string) {
	opts, deadline := m.deadline(t)
	old, want := model.live(k, m.now())
	n, wantErr := int64(0), error(nil)
	if want {
		deadline = old.deadline
		if n, wantErr = Counter([]byte(old.value)); wantErr != nil {
			wantErr = ErrNotCounter
		} else if n > math.MaxInt64-7 {
			wantErr = ErrOverflow
		}
	}
	found := !want
	sum, err := tx.Add([]byte(k), 7, append(opts, FoundTo(&found))...)
	if !errors.Is(err, wantErr) || err == nil && (sum != n+7 || found != want) {
		t.Fatalf("add to %q: %d, %v, found: %v; want %d, %v, %v", old.value, sum, err, found, n+7, wantErr, want)
	}
	if err == nil {
		model.change(m.put(k, fmt.Sprint(sum), deadline))
	}
}

// TestConflicts makes every kind of read in a transaction and then, from outside, every kind of write, and holds that the
// transaction runs a second time just where the write touches what was read.
func TestConflicts(t *testing.T) {
	scan := func(o IterOptions) func(*testing.T, *Txn) {
		return func(t *testing.T, tx *Txn) {
			for _, err := range tx.Range(&o) {
				must(t, err)
			}
		}
	}
	get := func(key string) func(*testing.T, *Txn) {
		return func(t *testing.T, tx *Txn) { tx.Get([]byte(key)) }
	}
	iterate := func(do func(it *Iterator)) func(*testing.T, *Txn) {
		return func(t *testing.T, tx *Txn) {
			it, err := tx.NewIterator(&IterOptions{Start: []byte("b"), End: []byte("y")})
			must(t, err)
			defer it.Close()
			do(it)
			must(t, it.Err())
		}
	}
	reads := []struct {
		name  string
		do    func(*testing.T, *Txn)
		reads string // keys that it has read, of c to o
	}{
		{"nothing", func(*testing.T, *Txn) {}, ""},
		{"get", get("g"), "g"},
		{"get absent", get("h"), "h"},
		{"get deleted", get("i"), "i"},
		{"has", func(t *testing.T, tx *Txn) { tx.Has([]byte("m")) }, "m"},
		{"get many", func(t *testing.T, tx *Txn) { tx.GetMany([]byte("m"), []byte("h"), []byte("i")) }, "him"},
		{"get many own writes", func(t *testing.T, tx *Txn) {
			must(t, errors.Join(tx.Put([]byte("m"), nil), tx.Delete([]byte("k"))))
			tx.GetMany([]byte("m"), []byte("k"), []byte("n"))
		}, "n"},
		{"take", func(t *testing.T, tx *Txn) { tx.Take([]byte("h")) }, "h"},
		{"delete, found or not", func(t *testing.T, tx *Txn) {
			var found bool
			must(t, tx.Delete([]byte("g"), FoundTo(&found)))
		}, "g"},
		{"put, found or not", func(t *testing.T, tx *Txn) {
			var found bool
			must(t, tx.Put([]byte("h"), nil, FoundTo(&found)))
		}, "h"},
		{"expire", func(t *testing.T, tx *Txn) { tx.Expire([]byte("h"), time.Hour) }, "h"},
		{"persist", func(t *testing.T, tx *Txn) { must(t, tx.Persist([]byte("e"))) }, "e"},
		{"touch", func(t *testing.T, tx *Txn) { must(t, second(tx.GetTouch([]byte("e"), time.Hour))) }, "e"},
		{"add", func(t *testing.T, tx *Txn) { must(t, second(tx.Add([]byte("n"), 1))) }, "n"},
		{"add twice", func(t *testing.T, tx *Txn) {
			must(t, tx.Put([]byte("n"), []byte("1")))
			must(t, second(tx.Add([]byte("n"), 1)))
		}, ""},
		{"delete range", func(t *testing.T, tx *Txn) { must(t, tx.DeleteRange([]byte("e"), []byte("k"))) }, ""},
		{"delete range and get", func(t *testing.T, tx *Txn) {
			must(t, tx.DeleteRange([]byte("e"), []byte("k")))
			tx.GetMany([]byte("e"), []byte("h"), []byte("k"))
			must(t, notFoundIsNil(second(tx.Take([]byte("g")))))
		}, "k"},
		{"delete range and scan", func(t *testing.T, tx *Txn) {
			must(t, tx.DeleteRange([]byte("e"), nil))
			scan(IterOptions{Start: []byte("d"), End: []byte("f")})(t, tx)
		}, "de"},
		{"stat", func(t *testing.T, tx *Txn) { tx.Stat([]byte("g")) }, "g"},
		{"TTL", func(t *testing.T, tx *Txn) { tx.TTL([]byte("d")) }, "d"},
		{"first entry", func(t *testing.T, tx *Txn) { tx.First(&IterOptions{Start: []byte("h")}) }, "hijk"},
		{"last entry", func(t *testing.T, tx *Txn) { tx.Last(&IterOptions{End: []byte("j")}) }, "ghi"},
		{"keep TTL", func(t *testing.T, tx *Txn) { must(t, tx.Put([]byte("m"), nil, KeepTTL)) }, "m"},
		{"scan all", scan(IterOptions{}), "cdefghijklmno"},
		{"scan bounds", scan(IterOptions{Start: []byte("d"), End: []byte("j")}), "defghi"},
		{"scan a prefix", scan(IterOptions{Prefix: []byte("g")}), "g"},
		{"scan the first two", scan(IterOptions{Start: []byte("e"), Limit: 2}), "efg"},
		{"scan the last two", scan(IterOptions{End: []byte("n"), Limit: 2, Reverse: true}), "klm"},
		{"scan back to the bound", scan(IterOptions{Start: []byte("d"), End: []byte("j"), Reverse: true}), "defghi"},
		{"scan back to nothing", scan(IterOptions{Start: []byte("h"), End: []byte("j"), Reverse: true}), "hi"},
		{"scan a gap", scan(IterOptions{Start: []byte("h"), End: []byte("j")}), "hi"},
		{"seek", iterate(func(it *Iterator) { it.Seek([]byte("h")) }), "hijk"},
		{"seek and next", iterate(func(it *Iterator) { it.Seek([]byte("h")); it.Next() }), "hijklm"},
		{"seek and prev", iterate(func(it *Iterator) { it.Seek([]byte("h")); it.Prev() }), "ghijk"},
		{"seek before and prev", iterate(func(it *Iterator) { it.SeekBefore([]byte("j")); it.Prev() }), "efghi"},
		{"seek before and next", iterate(func(it *Iterator) { it.SeekBefore([]byte("j")); it.Next() }), "ghijk"},
		{"first, next, prev", func(t *testing.T, tx *Txn) {
			it, err := tx.NewIterator(nil)
			must(t, err)
			defer it.Close()
			it.First()
			it.Next()
			it.Next()
			it.Prev()
		}, "cdefg"},
		{"last, prev, next", iterate(func(it *Iterator) { it.Last(); it.Prev(); it.Next() }), "mno"},
		{"seek to where it stands", iterate(func(it *Iterator) {
			it.Seek([]byte("g"))
			it.Next()
			it.Next()
			it.Seek(it.Key())
		}), "ghijklm"},
		{"seek before where it stands", iterate(func(it *Iterator) {
			it.Seek([]byte("g"))
			it.Next()
			it.Next()
			it.SeekBefore(it.Key())
		}), "ghijklm"},
		{"back to the bound", func(t *testing.T, tx *Txn) {
			it, err := tx.NewIterator(&IterOptions{Start: []byte("f")})
			must(t, err)
			defer it.Close()
			for ok := it.SeekBefore([]byte("l")); ok; ok = it.Prev() {
			}
			must(t, it.Err())
		}, "fghijk"},
		{"seek twice", iterate(func(it *Iterator) { it.Seek([]byte("n")); it.Seek([]byte("d")) }), "deno"},
		{"first", iterate(func(it *Iterator) { it.First() }), "c"},
		{"last", iterate(func(it *Iterator) { it.Last() }), "o"},
		{"next from nowhere", iterate(func(it *Iterator) { it.Next(); it.Prev() }), ""},
		{"own write", func(t *testing.T, tx *Txn) {
			must(t, tx.Put([]byte("g"), nil))
			tx.Get([]byte("g"))
		}, ""},
	}
	writes := []struct {
		name string
		do   func(*DB, string) error
	}{
		{"put", func(db *DB, k string) error { return db.Put([]byte(k), []byte("w")) }},
		{"delete", func(db *DB, k string) error { return db.Delete([]byte(k)) }},
		{"delete range", func(db *DB, k string) error { return db.DeleteRange([]byte(k), []byte(k+"\x00")) }},
		{"batch", func(db *DB, k string) error {
			var b Batch
			return errors.Join(b.Put([]byte("~"), nil), b.Put([]byte(k), nil), db.Apply(&b))
		}},
		{"transaction", func(db *DB, k string) error {
			return db.Update(func(tx *Txn) error {
				return errors.Join(tx.DeleteRange([]byte(k), []byte(k+"\x00")), tx.Put([]byte("~"), nil))
			})
		}},
		{"put, delete and flush", func(db *DB, k string) error {
			return errors.Join(db.Put([]byte(k), nil), db.Delete([]byte(k)), db.Flush(), compactStep.run(db))
		}},
	}
	for _, read := range reads {
		for _, write := range writes {
			for k := 'c'; k <= 'o'; k++ {
				db := openTest(t, manualOptions(vfstest.NewMem(), newFakeClock(), SyncNever))
				for i, key := range []string{"c", "e", "g", "i", "k", "m", "o"} { // an iterator's memory moves on with each value
					must(t, db.Put([]byte(key), bytes.Repeat([]byte("v"), 1+3*i)))
				}
				must(t, db.Delete([]byte("i")))
				attempts := 0
				err := db.Update(func(tx *Txn) error {
					if attempts++; attempts == 1 {
						read.do(t, tx)
						must(t, write.do(db, string(k)))
						_, walked := tx.s.reads.Check(tx.s.view.Mem, tx.s.seq, nil)
						_, noted := tx.s.reads.Check(tx.s.view.Mem, tx.s.seq, &db.pipeline.trail.last)
						if walked != noted {
							t.Errorf("%s, then %s of %c: unchanged: %t, by the last writes %t", read.name, write.name, k, walked, noted)
						}
					}
					return tx.Put([]byte("z"), []byte("done"))
				})
				want := 1
				if strings.ContainsRune(read.reads, k) {
					want = 2
				}
				if err != nil || attempts != want {
					t.Errorf("%s, then %s of %c: %d attempts, want %d; %v", read.name, write.name, k, attempts, want, err)
				}
				content{db}.has(t, "z", "done")
				must(t, db.Close())
			}
		}
	}
}

// TestExpiryConflicts holds that what expires between read and commit is a conflict, and so is seen as absent.
func TestExpiryConflicts(t *testing.T) {
	for _, c := range []struct {
		name string
		read func(*Txn) bool
	}{
		{"get", func(tx *Txn) bool { ok, _ := tx.Has([]byte("k")); return ok }},
		{"scan", func(tx *Txn) bool {
			for range tx.Range(nil) {
				return true
			}
			return false
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			clock := newFakeClock()
			db := openTest(t, manualOptions(vfstest.NewMem(), clock, SyncNever))
			must(t, db.Put([]byte("k"), nil, TTL(time.Second)))
			var saw []bool
			must(t, db.Update(func(tx *Txn) error {
				saw = append(saw, c.read(tx))
				clock.add(1100 * time.Millisecond)
				saw = append(saw, c.read(tx)) // no time passes inside
				return tx.Put([]byte("z"), nil)
			}))
			if want := []bool{true, true, false, false}; !slices.Equal(saw, want) {
				t.Errorf("saw %v", saw)
			}
			must(t, db.Close())
		})
	}
}

// TestOldTransaction holds that a transaction that has seen too many memtables pass gives up, and lets go of them.
func TestOldTransaction(t *testing.T) {
	db := openTest(t, manualOptions(vfstest.NewMem(), newFakeClock(), SyncNever))
	attempts := 0
	err := db.Update(func(tx *Txn) error {
		attempts++
		tx.Get([]byte("k"))
		for i := range lsm.MaxFrozen + 2 {
			must(t, db.Put([]byte("other"), []byte{byte(i)}))
			must(t, db.Flush())
		}
		if next, whole := tx.s.view.Mem.Next(); next != nil || whole {
			t.Error("the transaction keeps all memtables since it began")
		}
		return tx.Put([]byte("z"), nil)
	})
	if !errors.Is(err, ErrConflict) || attempts < maxAttempts {
		t.Errorf("%d attempts, %v", attempts, err)
	}
	content{db}.lacks(t, "z")
}

func TestTxnEnds(t *testing.T) {
	db := openTest(t, manualOptions(vfstest.NewMem(), newFakeClock(), SyncNever))
	must(t, db.Put([]byte("k"), []byte("v")))
	var kept *Txn
	for _, c := range []struct {
		name string
		run  func(func(*Txn) error) error
	}{
		{"view", db.View},
		{"update", func(fn func(*Txn) error) error { return db.Update(fn) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			must(t, c.run(func(tx *Txn) error { kept = tx; return nil }))
			func() {
				defer func() { recover() }()
				c.run(func(tx *Txn) error { panic("in a transaction") })
				t.Errorf("%s swallows a panic", c.name)
			}()
			k := []byte("k")
			for _, err := range []error{second(kept.Get(k)), second(kept.NewIterator(nil)), second(kept.GetMany(k)),
				second(kept.Stat(k)), second(kept.TTL(k)), second(kept.First(nil)), second(kept.Last(nil)), second(kept.Time()),
				kept.Put(k, nil), kept.Delete(k), second(kept.Take(k)), kept.Expire(k, 1), kept.Persist(k),
				second(kept.GetTouch(k, 1)), second(kept.Add(k, 1)), kept.DeleteRange(k, nil), kept.DeletePrefix(nil)} {
				if !errors.Is(err, ErrTxnDone) {
					t.Errorf("after the end: %v", err)
				}
			}
		})
	}
	must(t, db.View(func(tx *Txn) error {
		for _, k := range [][]byte{[]byte("k"), []byte("absent")} {
			for i, err := range []error{tx.Put(k, nil), tx.Delete(k), second(tx.Take(k)), tx.Expire(k, 1), tx.Persist(k),
				second(tx.GetTouch(k, 1)), second(tx.Add(k, 1)), tx.DeleteRange(k, k), tx.DeletePrefix(nil)} {
				if !errors.Is(err, ErrReadOnly) {
					t.Errorf("write %d of %s in a view: %v", i, k, err)
				}
			}
		}
		return nil
	}))
	if refs := db.live.View().Version.Pins(); refs != 1 {
		t.Errorf("%d references to the tables are left", refs)
	}
	must(t, db.Close())
	if err := db.View(func(*Txn) error { return nil }); !errors.Is(err, ErrClosed) {
		t.Errorf("view of a closed database: %v", err)
	}
}

// TestLargeTransactions holds that one that does not fit a memtable works, and that one over the limit is refused early.
func TestLargeTransactions(t *testing.T) {
	db := openTest(t, manualOptions(vfstest.NewMem(), newFakeClock(), SyncNever))
	value := bytes.Repeat([]byte("v"), 100)
	const n = 2000 // 25 memtables
	must(t, db.Update(func(tx *Txn) error {
		for i := range n {
			if err := tx.Put(fmt.Appendf(nil, "%05d", i*7919%n), value); err != nil {
				return err
			}
		}
		seen := 0
		for _, err := range tx.Range(nil) {
			must(t, err)
			seen++
		}
		if seen != n {
			t.Errorf("the transaction sees %d of its writes", seen)
		}
		return nil
	}))
	seen := 0
	for _, err := range db.Range(nil) {
		must(t, err)
		seen++
	}
	if seen != n {
		t.Errorf("%d entries", seen)
	}
	err := db.Update(func(tx *Txn) error {
		tx.s.size = MaxBatchSize - 1000
		must(t, tx.Put([]byte("k"), value))
		must(t, tx.Put([]byte("k"), value)) // in the place of the first
		return tx.Put([]byte("l"), bytes.Repeat(value, 10))
	})
	if !errors.Is(err, ErrBatchTooLarge) {
		t.Errorf("too large: %v", err)
	}
}

// TestTxnDeletesRanges commits ranges of every kind, with puts before and after them, beside a range without end, with
// expiries reported and not, with precedence and without.
func TestTxnDeletesRanges(t *testing.T) {
	for _, reports := range []bool{false, true} {
		for _, first := range []bool{false, true} {
			t.Run(fmt.Sprintf("reports %v, precedence %v", reports, first), func(t *testing.T) {
				clock := newFakeClock()
				o := manualOptions(vfstest.NewMem(), clock, SyncNever)
				o.ExpiryEvents = reports
				db := openTest(t, o)
				m := newModel(clock)
				update := func(fn func(*Txn) error) {
					t.Helper()
					if first {
						must(t, db.attemptFirst(fn, &params{}))
					} else {
						must(t, db.Update(fn))
					}
					if err := m.compare(db, clock.ms()); err != nil {
						t.Error(err)
					}
				}
				fill := func() {
					for _, k := range []string{"a", "b", "c", "d", "e"} {
						deadline := int64(0)
						if k > "b" {
							deadline = clock.ms() + 50
						}
						must(t, putStep(k, "old", deadline).run(db))
						m.entries[k] = modelEntry{"old", deadline}
					}
				}
				fill()
				update(func(tx *Txn) error {
					clear(m.entries)
					m.entries["b"] = modelEntry{value: "new"}
					return errors.Join(tx.Put([]byte("c"), []byte("gone")), tx.DeleteRange(nil, nil), tx.Put([]byte("b"), []byte("new")))
				})
				fill()
				clock.add(time.Second)
				update(func(tx *Txn) error {
					m.change(Change{Kind: ChangeDeleteRange, Key: []byte("a"), End: []byte("b")},
						Change{Kind: ChangeDeleteRange, Key: []byte("c"), End: []byte("e")})
					return errors.Join(tx.DeleteRange([]byte("c"), []byte("e")), tx.DeleteRange([]byte("a"), []byte("b")))
				})
				fill()
				update(func(tx *Txn) error {
					m.change(Change{Kind: ChangeDeleteRange, Key: []byte("d"), End: []byte("x")})
					return tx.DeleteRange([]byte("d"), nil)
				})
				ones := strings.Repeat("\xff", MaxKeySize)
				must(t, db.Put([]byte(ones), nil)) // no bound is behind it
				update(func(tx *Txn) error {
					clear(m.entries)
					m.entries[ones] = modelEntry{value: "kept"}
					return errors.Join(tx.DeleteRange(nil, nil), tx.Put([]byte(ones), []byte("kept")))
				})
				update(func(tx *Txn) error {
					clear(m.entries)
					return tx.DeleteRange([]byte("a"), nil)
				})
				must(t, db.Close())
				db = openTest(t, o)
				if err := m.compare(db, clock.ms()); err != nil {
					t.Error("opened again:", err)
				}
				must(t, db.Close())
			})
		}
	}
	db := openTest(t, manualOptions(vfstest.NewMem(), newFakeClock(), SyncNever))
	must(t, db.Update(func(tx *Txn) error {
		long := make([]byte, MaxKeySize+1)
		if err := tx.DeleteRange(long, nil); !errors.Is(err, ErrKeyTooLarge) {
			t.Errorf("from a long key: %v", err)
		}
		tx.s.size = MaxBatchSize - 10
		if err := tx.DeleteRange([]byte("a"), []byte("b")); !errors.Is(err, ErrBatchTooLarge) {
			t.Errorf("too large: %v", err)
		}
		return errors.Join(tx.DeleteRange([]byte("b"), []byte("a")), tx.DeleteRange(nil, []byte{}))
	}))
	if n := lastSeq(db); n != 0 {
		t.Errorf("empty ranges have taken %d sequences", n)
	}
}

// txnOp is what a transaction has seen and written, for the checker.
type txnOp struct {
	reads  map[string]string // "" is absent
	scan   []string          // keys and values from "" to "~", if scanned
	writes map[string]string // "" is a delete
}

// TestSerializable runs random transactions and single writes at the same time and looks for an order that explains what
// each has seen, and that respects which ended before which began.
func TestSerializable(t *testing.T) {
	rounds := 12
	if testing.Short() {
		rounds = 3
	}
	for seed := range uint64(rounds) {
		t.Run(fmt.Sprint("seed", seed), func(t *testing.T) { checkSerializable(t, seed) })
	}
}

func checkSerializable(t *testing.T, seed uint64) {
	o := tinyOptions(vfstest.NewMem(), newFakeClock())
	if seed%2 == 1 {
		o.Sync = SyncNever
	}
	db := openTest(t, o)
	const clients, each = 4, 40
	var mu sync.Mutex
	var history []porcupine.Operation
	start := time.Now()
	var wg sync.WaitGroup
	for client := range clients {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(client)))
			for i := range each {
				call := time.Since(start).Nanoseconds()
				op, err := randomTxn(db, rng, fmt.Sprintf("%d.%d.%s", client, i, strings.Repeat("x", rng.IntN(200))))
				if err != nil {
					t.Error(err)
					return
				}
				done := time.Since(start).Nanoseconds()
				mu.Lock()
				history = append(history, porcupine.Operation{ClientId: client, Output: op, Call: call, Return: done})
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	result := porcupine.CheckOperationsTimeout(txnModel(), history, time.Minute)
	if result != porcupine.Ok {
		t.Fatalf("seed %d: %v", seed, result)
	}
}

// take takes a key, and notes what that tells of the database.
func (op *txnOp) take(tx *Txn, k string) error {
	got, err := tx.Take([]byte(k))
	if err != nil && err != ErrNotFound {
		return err
	}
	if own, ok := op.writes[k]; !ok {
		op.reads[k] = string(got)
	} else if own != string(got) {
		return fmt.Errorf("%s is %q, own writes make it %q", k, got, own)
	}
	op.writes[k] = ""
	return nil
}

// randomTxn runs one transaction, or a single write, and tells what it has seen and done.
func randomTxn(db *DB, rng *rand.Rand, value string) (op txnOp, err error) {
	key := func() string { return string(rune('a' + rng.IntN(5))) }
	if rng.IntN(4) == 0 {
		k := key()
		if rng.IntN(3) == 0 {
			return txnOp{writes: map[string]string{k: ""}}, db.Delete([]byte(k))
		}
		return txnOp{writes: map[string]string{k: value}}, db.Put([]byte(k), []byte(value))
	}
	err = db.Update(func(tx *Txn) error {
		op = txnOp{reads: map[string]string{}, writes: map[string]string{}}
		for range 1 + rng.IntN(2) {
			k := key()
			got, err := tx.Get([]byte(k))
			if err != nil && err != ErrNotFound {
				return err
			}
			op.reads[k] = string(got)
		}
		if rng.IntN(3) == 0 {
			op.scan = []string{}
			for e, err := range tx.Range(&IterOptions{Reverse: rng.IntN(2) == 0}) {
				if err != nil {
					return err
				}
				op.scan = append(op.scan, string(e.Key)+"="+string(e.Value))
			}
			slices.Sort(op.scan)
		}
		for range rng.IntN(3) {
			k := key()
			switch rng.IntN(6) {
			case 0:
				op.writes[k] = ""
				if err := tx.Delete([]byte(k)); err != nil {
					return err
				}
				continue
			case 1:
				if err := op.take(tx, k); err != nil {
					return err
				}
				continue
			case 2:
				end := key()
				if err := tx.DeleteRange([]byte(k), []byte(end)); err != nil {
					return err
				}
				for ; k < end; k = string(k[0] + 1) {
					op.writes[k] = ""
				}
				continue
			}
			op.writes[k] = value
			if err := tx.Put([]byte(k), []byte(value)); err != nil {
				return err
			}
		}
		return nil
	})
	return op, err
}

// txnModel is a map of five keys, as a string to compare.
func txnModel() porcupine.Model {
	type state [5]string
	return porcupine.Model{
		Init: func() any { return state{} },
		Step: func(s, _, output any) (bool, any) {
			now, op := s.(state), output.(txnOp)
			for k, v := range op.reads {
				if now[k[0]-'a'] != v {
					return false, s
				}
			}
			if op.scan != nil {
				var all []string
				for i, v := range now {
					if v != "" {
						all = append(all, string(rune('a'+i))+"="+v)
					}
				}
				if !slices.Equal(all, op.scan) {
					return false, s
				}
			}
			for k, v := range op.writes {
				now[k[0]-'a'] = v
			}
			return true, now
		},
	}
}
