package ebb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ebbdb/ebb/internal/gap"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// keysShown returns the keys that a scan shows, without spaces between.
func keysShown(t *testing.T, r Reader, o *IterOptions) string {
	t.Helper()
	it, err := r.NewIterator(o)
	must(t, err)
	defer it.Close()
	var forward, back []string
	for ok := it.First(); ok; ok = it.Next() {
		forward = append(forward, string(it.Key()))
	}
	must(t, it.Err())
	for ok := it.Last(); ok; ok = it.Prev() {
		back = append(back, string(it.Key()))
	}
	must(t, it.Err())
	slices.Reverse(back)
	if !slices.Equal(forward, back) {
		t.Errorf("%q forward, %q back", forward, back)
	}
	return string(bytes.Join(bytes.Fields(fmt.Append(nil, forward)), nil))
}

func inGap(db *DB, key string) bool {
	return db.live.View().Gaps.Forward([]byte(key), gap.Moment{Seq: db.live.Visible(), Now: math.MaxInt64}).Hops > 0
}

// deadDB returns a database with keys a, m and z, and many between that were deleted or have expired, which is known.
func deadDB(t *testing.T) (*DB, *fakeClock) {
	t.Helper()
	clock := newFakeClock()
	db := openTest(t, manualOptions(vfstest.NewMem(), clock, SyncNever))
	for _, key := range []string{"a", "m", "z"} {
		must(t, db.Put([]byte(key), nil))
	}
	for i := range 20 {
		must(t, db.Put(fmt.Appendf(nil, "c%02d", i), nil, TTL(time.Second)))
		must(t, db.Put(fmt.Appendf(nil, "q%02d", i), nil))
	}
	clock.add(time.Second)
	for i := range 20 {
		must(t, db.Delete(fmt.Appendf(nil, "q%02d", i)))
	}
	if got := keysShown(t, db, nil); got != "[amz]" || !inGap(db, "c05") || !inGap(db, "q05") {
		t.Fatalf("%s; c is in a gap: %v, q: %v", got, inGap(db, "c05"), inGap(db, "q05"))
	}
	return db, clock
}

// Whatever puts a key shows it, though it is where nothing was; a snapshot shows what it did.
func TestWritesShowInGaps(t *testing.T) {
	source := openTest(t, manualOptions(vfstest.NewMem(), newFakeClock(), SyncNever))
	must(t, source.Put([]byte("q07"), []byte("v")))
	backup, _ := takeBackup(t, source, nil)
	must(t, source.Close())
	key, value := []byte("q07"), []byte("v")
	for _, c := range []struct {
		name  string
		write func(*DB) error
	}{
		{"put", func(db *DB) error { return db.Put(key, value) }},
		{"if absent", func(db *DB) error { return db.Put(key, value, IfAbsent) }},
		{"with a TTL", func(db *DB) error { return db.Put(key, value, TTL(time.Minute)) }},
		{"add", func(db *DB) error { _, err := db.Add(key, 1); return err }},
		{"batch", func(db *DB) error {
			var b Batch
			return errors.Join(b.Delete([]byte("q06")), b.Put(key, value), db.Apply(&b))
		}},
		{"transaction", func(db *DB) error {
			return db.Update(func(tx *Txn) error { return tx.Put(key, value) })
		}},
		{"larger transaction", func(db *DB) error {
			return db.Update(func(tx *Txn) error { return errors.Join(tx.Put(key, value), tx.Delete([]byte("q08"))) })
		}},
		{"ingest", func(db *DB) error {
			_, err := db.Ingest(context.Background(), bytes.NewReader(backup), nil)
			return err
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, flush := range []bool{false, true} {
				db, _ := deadDB(t)
				if flush {
					must(t, db.Flush())
				}
				s, err := db.Snapshot()
				must(t, err)
				must(t, c.write(db))
				for range 2 {
					if got := keysShown(t, s, nil); got != "[amz]" {
						t.Errorf("a snapshot from before shows %s", got)
					}
					if got := keysShown(t, db, nil); got != "[amq07z]" {
						t.Error(got)
					}
					if got := keysShown(t, db, &IterOptions{Start: []byte("q05"), End: []byte("q09")}); got != "[q07]" {
						t.Error(got)
					}
				}
				s.Close()
				must(t, db.DeleteRange([]byte("q"), []byte("r")))
				if got := keysShown(t, db, nil); got != "[amz]" {
					t.Errorf("%s, and a range delete: %s", c.name, got)
				}
				must(t, db.Close())
			}
		})
	}
}

// A snapshot from before does not take the ways of those that came later, as for it there is something.
func TestGapsOfLater(t *testing.T) {
	clock := newFakeClock()
	db := openTest(t, manualOptions(vfstest.NewMem(), clock, SyncNever))
	for i := range 9 {
		must(t, db.Put(fmt.Appendf(nil, "a%d", i), nil, TTL(time.Second)))
		must(t, db.Put(fmt.Appendf(nil, "b%d", i), nil))
		must(t, db.Put(fmt.Appendf(nil, "c%d", i), nil))
	}
	s, err := db.Snapshot()
	must(t, err)
	defer s.Close()
	all := keysShown(t, db, nil)
	clock.add(time.Second)
	expired := keysShown(t, db, nil)
	if len(expired) != len(all)-18 || !inGap(db, "a5") {
		t.Errorf("%s: a5 is in a gap: %v", expired, inGap(db, "a5"))
	}
	if got := keysShown(t, s, nil); got != all {
		t.Errorf("at the same sequence, but an earlier time, there is %s, want %s", got, all)
	}
	for i := range 9 {
		must(t, db.Delete(fmt.Appendf(nil, "b%d", i)))
	}
	must(t, db.DeleteRange([]byte("c"), []byte("d")))
	if got := keysShown(t, db, nil); got != "[]" || !inGap(db, "b5") || !inGap(db, "c5") {
		t.Errorf("%s: b5 is in a gap: %v, c5: %v", got, inGap(db, "b5"), inGap(db, "c5"))
	}
	if got := keysShown(t, s, nil); got != all {
		t.Errorf("a snapshot shows %s, want %s", got, all)
	}
}

// What an iterator has walked over as of a sequence is not known for what was put there since.
func TestGapsOfOlder(t *testing.T) {
	db := openTest(t, manualOptions(vfstest.NewMem(), newFakeClock(), SyncNever))
	for i := range 20 {
		must(t, db.Put(fmt.Appendf(nil, "q%02d", i), nil))
		must(t, db.Delete(fmt.Appendf(nil, "q%02d", i)))
	}
	s, err := db.Snapshot()
	must(t, err)
	defer s.Close()
	must(t, db.Put([]byte("q07"), nil))
	if got := keysShown(t, s, nil); got != "[]" {
		t.Error(got)
	}
	if got := keysShown(t, db, nil); got != "[q07]" {
		t.Error(got)
	}
	must(t, db.Delete([]byte("q07")))
	for range 2 {
		if got := keysShown(t, db, nil); got != "[]" || keysShown(t, s, nil) != "[]" {
			t.Error(got)
		}
	}
	if !inGap(db, "q03") || !inGap(db, "q07") {
		t.Error("what an old reader and a new one have found is not known")
	}
}

// A gap ends where the next key begins, however near that is.
func TestGapEnds(t *testing.T) {
	db := openTest(t, manualOptions(vfstest.NewMem(), newFakeClock(), SyncNever))
	for _, key := range []string{"q\x00", "q\x01\x00\x00", "q\x01\x01"} {
		must(t, db.Put([]byte(key), nil))
	}
	for _, key := range []string{"p", "p\x00", "q", "q\x00\x00", "q\x01", "q\x01\x00", "q\x01\x02", "r"} {
		must(t, db.Delete([]byte(key)))
	}
	for range 3 {
		if got := keysShown(t, db, nil); got != "[q\x00q\x01\x00\x00q\x01\x01]" {
			t.Errorf("%q", got)
		}
	}
}

// A transaction sees what it has put into a gap, and others do not learn of what it has deleted.
func TestGapsOfTransactions(t *testing.T) {
	db, _ := deadDB(t)
	errAborted := errors.New("aborted")
	for _, own := range [][]string{{"q07"}, {"q00"}, {"q07", "q08", "q12"}, {"c03", "q19"}, {"b", "d", "p", "r"}} {
		err := db.Update(func(tx *Txn) error {
			want := append([]string{"a", "m", "z"}, own...)
			slices.Sort(want)
			for _, key := range own {
				must(t, tx.Put([]byte(key), nil))
			}
			got := keysShown(t, txReader{tx}, nil)
			if joined := string(bytes.Join(bytes.Fields(fmt.Append(nil, want)), nil)); got != joined {
				t.Errorf("with %q of its own a transaction sees %s", own, got)
			}
			must(t, tx.Delete([]byte("m")))
			must(t, tx.Delete([]byte("n")))
			must(t, tx.Delete([]byte("z")))
			for _, key := range own {
				must(t, tx.Delete([]byte(key)))
			}
			for range 2 {
				if got := keysShown(t, txReader{tx}, nil); got != "[a]" {
					t.Errorf("without its own a transaction sees %s", got)
				}
			}
			return errAborted
		})
		if err != errAborted {
			t.Fatal(err)
		}
		if got := keysShown(t, db, nil); got != "[amz]" {
			t.Errorf("after a transaction that was aborted there is %s", got)
		}
	}
}

// txReader is a transaction as a reader.
type txReader struct{ *Txn }

// A transaction that has jumped over a gap has read it: who puts something there is in conflict.
func TestGapsAreRead(t *testing.T) {
	for _, reverse := range []bool{false, true} {
		db, _ := deadDB(t)
		attempts := 0
		must(t, db.Update(func(tx *Txn) error {
			attempts++
			for e, err := range tx.Range(&IterOptions{Start: []byte("n"), Reverse: reverse, Limit: 1}) {
				if must(t, err); attempts == 1 {
					must(t, db.Put([]byte("q07"), nil))
				} else if got := string(e.Key); got != map[bool]string{false: "q07", true: "z"}[reverse] {
					t.Errorf("reverse %v: %s", reverse, got)
				}
			}
			return tx.Put([]byte("~result"), nil)
		}))
		if want := map[bool]int{false: 2, true: 1}[reverse]; attempts != want {
			t.Errorf("reverse %v: %d attempts", reverse, attempts)
		}
		attempts = 0
		must(t, db.Update(func(tx *Txn) error {
			attempts++
			it, err := tx.NewIterator(&IterOptions{End: []byte("z"), Start: []byte("q08")})
			must(t, err)
			defer it.Close()
			if it.Last() && attempts == 1 || it.First() && attempts == 1 {
				t.Errorf("there is %s", it.Key())
			}
			if attempts == 1 {
				must(t, db.Put([]byte("q13"), nil))
			}
			return tx.Put([]byte("~result"), nil)
		}))
		if attempts != 2 {
			t.Errorf("%d attempts where a key was put into what was scanned", attempts)
		}
	}
}

// A read-only database learns of what its owner has put where it has found nothing.
func TestGapsReadOnly(t *testing.T) {
	fs, clock := vfstest.NewMem(), newFakeClock()
	owner := openTest(t, manualOptions(fs, clock, SyncNever))
	for i := range 20 {
		must(t, owner.Put(fmt.Appendf(nil, "q%02d", i), nil))
		must(t, owner.Delete(fmt.Appendf(nil, "q%02d", i)))
	}
	o := readOnlyOptions(manualOptions(fs, clock, SyncNever))
	db := openTest(t, o)
	s, err := db.Snapshot()
	must(t, err)
	defer s.Close()
	if got := keysShown(t, db, nil); got != "[]" || !inGap(db, "q07") {
		t.Errorf("%s: q07 is in a gap: %v", got, inGap(db, "q07"))
	}
	must(t, owner.Put([]byte("q07"), nil))
	must(t, db.Refresh())
	if got := keysShown(t, db, nil); got != "[q07]" {
		t.Error(got)
	}
	if got := keysShown(t, s, nil); got != "[]" {
		t.Error(got)
	}
}

// A walk over many dead entries leaves the epoch now and then, for who waits to free a table or to close the database.
func TestLongMovesLeaveTheEpoch(t *testing.T) {
	o := manualOptions(vfstest.NewMem(), newFakeClock(), SyncNever)
	o.memtableSize, o.worthGap = 8<<20, math.MaxInt
	db := openTest(t, o)
	const n = 5 * maxMoves
	for i := range n {
		must(t, db.Put(fmt.Appendf(nil, "%08d", i), nil))
		must(t, db.Delete(fmt.Appendf(nil, "%08d", i)))
	}
	must(t, db.Put([]byte("a"), nil))
	must(t, db.Put([]byte("!"), nil))
	for _, reverse := range []bool{false, true} {
		it, err := db.NewIterator(nil)
		must(t, err)
		c, step, stays := it.c, it.c.step, 0
		db.live.Wait()
		c.step = func() {
			before := c.moves
			step()
			if stays++; c.moves-before > maxMoves+1 {
				t.Errorf("%d moves at a time", c.moves-before)
			}
		}
		move, next := it.First, it.Next
		if reverse {
			move, next = it.Last, it.Prev
		}
		if !move() {
			t.Fatal(it.Err())
		}
		for next() {
		}
		if must(t, it.Err()); stays < n/maxMoves {
			t.Errorf("reverse %v: %d entries in %d stays", reverse, n, stays)
		}
		c.step = func() {
			step()
			db.health.closed.Store(true)
		}
		for ok := move(); ok; ok = next() {
			db.health.closed.Store(false)
		}
		if it.Err() != ErrClosed {
			t.Errorf("a walk beside Close ends with %v", it.Err())
		}
		db.health.closed.Store(false)
		c.step = step
		it.Close()
	}
}

// Pushers, poppers, range deletes, snapshots and transactions at once: nothing is lost, nothing comes twice, and a snapshot
// shows the same whichever way it is read.
func TestGapsConcurrently(t *testing.T) {
	for _, policy := range []SyncPolicy{SyncNever, SyncAlways} {
		o := tinyOptions(vfstest.NewMem(), newFakeClock())
		o.Sync, o.memtableSize = policy, 64<<10
		db := openTest(t, o)
		const pushers, each = 3, 400
		var pushing, others sync.WaitGroup
		done := make(chan struct{})
		for p := range pushers {
			pushing.Go(func() {
				for i := range each {
					must(t, db.Put(fmt.Appendf(nil, "q/%d/%05d", p, i), nil))
					must(t, db.Put(fmt.Appendf(nil, "r/%d/%05d", p, i), nil, TTL(time.Hour)))
				}
			})
		}
		var mu sync.Mutex
		popped := map[string]int{}
		pop := func(prefix string, reverse bool) (key string) {
			must(t, db.Update(func(tx *Txn) error {
				key = ""
				for e, err := range tx.Range(&IterOptions{Prefix: []byte(prefix), Limit: 1, Reverse: reverse}) {
					if err != nil {
						return err
					}
					key = string(e.Key)
					return tx.Delete(e.Key)
				}
				return nil
			}))
			return key
		}
		for p := range pushers {
			others.Go(func() {
				prefix := fmt.Sprintf("q/%d/", p)
				for running := true; ; {
					key := pop(prefix, p == 1)
					if key == "" {
						if !running {
							return
						}
						select {
						case <-done:
							running = false
						default:
						}
						continue
					}
					mu.Lock()
					popped[key]++
					mu.Unlock()
				}
			})
		}
		others.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(policy)))
			for {
				select {
				case <-done:
					return
				default:
				}
				from := r.IntN(each)
				must(t, db.DeleteRange(fmt.Appendf(nil, "r/1/%05d", from), fmt.Appendf(nil, "r/1/%05d", from+r.IntN(20)+1)))
				s, err := db.Snapshot()
				must(t, err)
				first := keysShown(t, s, nil)
				if got := keysShown(t, s, nil); got != first {
					t.Errorf("a snapshot shows %s, and then %s", first, got)
				}
				for range 20 {
					key := fmt.Appendf(nil, "%c/%d/%05d", "qr"[r.IntN(2)], r.IntN(pushers), r.IntN(each))
					has, err := s.Has(key)
					if must(t, err); has != bytes.Contains([]byte(first), key) {
						t.Errorf("has %s: %v, unlike a scan", key, has)
					}
				}
				s.Close()
			}
		})
		pushing.Wait()
		close(done)
		others.Wait()
		if len(popped) != pushers*each {
			t.Errorf("%d of %d were popped", len(popped), pushers*each)
		}
		for key, n := range popped {
			if n != 1 {
				t.Errorf("%s was popped %d times", key, n)
			}
		}
		must(t, db.Close())
	}
}
