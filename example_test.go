package ebb_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/ebbdb/ebb"
)

// openMemory opens a database in memory, as a test or a cache would.
func openMemory(o *ebb.Options) *ebb.DB {
	db, err := ebb.OpenMemory(o)
	must(err)
	return db
}

// openTemp opens a database in a directory of its own, which done removes.
func openTemp(o *ebb.Options) (db *ebb.DB, done func()) {
	dir, err := os.MkdirTemp("", "ebb")
	must(err)
	db, err = ebb.Open(dir, o)
	must(err)
	return db, func() {
		must(db.Close())
		must(os.RemoveAll(dir))
	}
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// testClock stands still until it is moved. The database reads it from goroutines of its own, so it is atomic.
type testClock struct{ ms atomic.Int64 }

func newTestClock(t time.Time) *testClock {
	c := &testClock{}
	c.ms.Store(t.UnixMilli())
	return c
}

func (c *testClock) Now() time.Time          { return time.UnixMilli(c.ms.Load()).UTC() }
func (c *testClock) Advance(d time.Duration) { c.ms.Add(d.Milliseconds()) }

var noon = time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)

// What is written is there after the database has been closed and opened again.
func Example() {
	dir, err := os.MkdirTemp("", "ebb")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	db, err := ebb.Open(dir, nil)
	if err != nil {
		log.Fatal(err)
	}
	if err := db.Put([]byte("user:1"), []byte("alice")); err != nil {
		log.Fatal(err)
	}
	if err := db.Put([]byte("session:1"), []byte("token"), ebb.TTL(30*time.Minute)); err != nil {
		log.Fatal(err)
	}
	if err := db.Close(); err != nil {
		log.Fatal(err)
	}

	db, err = ebb.Open(dir, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	user, err := db.Get([]byte("user:1"))
	fmt.Printf("%s %v\n", user, err)
	session, err := db.Get([]byte("session:1"))
	fmt.Printf("%s %v\n", session, err)
	_, err = db.Get([]byte("user:2"))
	fmt.Println(err)
	// Output:
	// alice <nil>
	// token <nil>
	// ebb: not found
}

// A database for a test, or for what need not outlive the process: without a directory.
func ExampleOpenMemory() {
	db, err := ebb.OpenMemory(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	must(db.Put([]byte("user:1"), []byte("alice")))
	user, err := db.Get([]byte("user:1"))
	fmt.Printf("%s %v\n", user, err)
	// Output: alice <nil>
}

// A key is absent from the millisecond of its deadline on. A test moves the clock instead of waiting.
func ExampleTTL() {
	clock := newTestClock(noon)
	db := openMemory(&ebb.Options{Clock: clock.Now})
	defer db.Close()

	must(db.Put([]byte("code"), []byte("4711"), ebb.TTL(time.Minute)))

	clock.Advance(time.Minute - time.Millisecond)
	value, err := db.Get([]byte("code"))
	fmt.Printf("%s %v\n", value, err)

	clock.Advance(time.Millisecond)
	_, err = db.Get([]byte("code"))
	fmt.Println(err)
	// Output:
	// 4711 <nil>
	// ebb: not found
}

// A key that is good until a given moment.
func ExampleExpireAt() {
	clock := newTestClock(noon)
	db := openMemory(&ebb.Options{Clock: clock.Now})
	defer db.Close()

	midnight := noon.Add(12 * time.Hour)
	must(db.Put([]byte("daily-quota"), []byte("100"), ebb.ExpireAt(midnight)))

	entry, err := db.GetEntry([]byte("daily-quota"))
	must(err)
	at, ok := entry.Expires()
	fmt.Println(at.UTC(), ok)
	// Output: 2030-01-02 00:00:00 +0000 UTC true
}

// A put replaces the deadline together with the value, unless it is told to keep it.
func ExampleDB_Put_keepTTL() {
	clock := newTestClock(noon)
	db := openMemory(&ebb.Options{Clock: clock.Now})
	defer db.Close()
	key := []byte("cart")

	must(db.Put(key, []byte("apples"), ebb.TTL(time.Hour)))
	clock.Advance(10 * time.Minute)

	must(db.Put(key, []byte("apples, pears"), ebb.KeepTTL))
	left, err := db.TTL(key)
	fmt.Println(left, err)

	must(db.Put(key, []byte("nothing")))
	left, err = db.TTL(key)
	fmt.Println(left, err) // 0 is no deadline
	// Output:
	// 50m0s <nil>
	// 0s <nil>
}

// Deadlines of keys that exist can be moved and taken away.
func ExampleDB_Expire() {
	clock := newTestClock(noon)
	db := openMemory(&ebb.Options{Clock: clock.Now})
	defer db.Close()
	key := []byte("upload")
	must(db.Put(key, []byte("parts")))

	must(db.Expire(key, time.Hour))
	left, err := db.TTL(key)
	fmt.Println(left, err)

	must(db.Persist(key))
	left, err = db.TTL(key)
	fmt.Println(left, err)

	fmt.Println(db.Expire([]byte("no such key"), time.Hour))
	// Output:
	// 1h0m0s <nil>
	// 0s <nil>
	// ebb: not found
}

// A session lives for half an hour after its last use.
func ExampleDB_GetTouch() {
	const idle = 30 * time.Minute
	clock := newTestClock(noon)
	db := openMemory(&ebb.Options{Clock: clock.Now})
	defer db.Close()
	key := []byte("session:1")
	must(db.Put(key, []byte("alice"), ebb.TTL(idle)))

	for _, pause := range []time.Duration{20 * time.Minute, 29 * time.Minute, 30 * time.Minute} {
		clock.Advance(pause)
		user, err := db.GetTouch(key, idle)
		fmt.Printf("after %v: %q %v\n", pause, user, err)
	}
	// Output:
	// after 20m0s: "alice" <nil>
	// after 29m0s: "alice" <nil>
	// after 30m0s: "" ebb: not found
}

// A one-time code is good once: of two who show it, one gets the user.
func ExampleDB_Take() {
	db, done := openTemp(nil)
	defer done()
	must(db.Put([]byte("code:5309"), []byte("alice"), ebb.TTL(10*time.Minute)))

	for range 2 {
		user, err := db.Take([]byte("code:5309"))
		fmt.Printf("%q, %v\n", user, err)
	}
	// Output:
	// "alice", <nil>
	// "", ebb: not found
}

// A delete that tells whether there was something.
func ExampleFoundTo() {
	db, done := openTemp(nil)
	defer done()
	must(db.Put([]byte("a"), nil))

	for _, key := range []string{"a", "b"} {
		var found bool
		must(db.Delete([]byte(key), ebb.FoundTo(&found)))
		fmt.Println(key, found)
	}
	// Output:
	// a true
	// b false
}

// One call counts a request, and tells when the window ends.
func ExampleDeadlineTo() {
	db := openMemory(&ebb.Options{Clock: func() time.Time { return time.UnixMilli(0) }})
	defer db.Close()

	var ends int64
	n, err := db.Add([]byte("requests:alice"), 1, ebb.TTL(time.Minute), ebb.DeadlineTo(&ends))
	fmt.Println(n, err, time.UnixMilli(ends).UTC().Format(time.TimeOnly))
	// Output: 1 <nil> 00:01:00
}

// The operations of a batch are made all at once or, after a crash, not at all.
func ExampleDB_Apply() {
	db := openMemory(nil)
	defer db.Close()
	must(db.Put([]byte("inbox:7"), []byte("hello")))

	var b ebb.Batch
	must(b.Delete([]byte("inbox:7")))
	must(b.Put([]byte("archive:7"), []byte("hello")))
	must(b.Put([]byte("undo:7"), []byte("inbox"), ebb.TTL(time.Minute)))
	must(db.Apply(&b))

	for entry, err := range db.Range(nil) {
		must(err)
		fmt.Printf("%s = %s\n", entry.Key, entry.Value)
	}
	// Output:
	// archive:7 = hello
	// undo:7 = inbox
}

// A batch that replaces all that begins with a prefix: no read sees the old list without the new.
func ExampleBatch_DeletePrefix() {
	db, done := openTemp(nil)
	defer done()
	for _, name := range []string{"ann", "bob", "eve"} {
		must(db.Put([]byte("member/"+name), nil))
	}

	var b ebb.Batch
	must(b.DeletePrefix([]byte("member/")))
	must(b.Put([]byte("member/ann"), nil))
	must(b.Put([]byte("member/dan"), nil))
	for op := range b.All() {
		fmt.Printf("%v %s\n", op.Kind, op.Key)
	}
	must(db.Apply(&b))

	for entry, err := range db.Range(&ebb.IterOptions{KeysOnly: true}) {
		must(err)
		fmt.Printf("%s\n", entry.Key)
	}
	// Output:
	// delete range member/
	// put member/ann
	// put member/dan
	// member/ann
	// member/dan
}

// A batch that is made only if nobody has changed what it rests on.
func ExampleConditionError() {
	db, done := openTemp(nil)
	defer done()
	must(db.Put([]byte("account/a"), []byte("10")))
	must(db.Put([]byte("account/b"), []byte("0")))
	a, err := db.GetEntry([]byte("account/a"))
	must(err)

	var transfer ebb.Batch
	must(transfer.Put([]byte("account/a"), []byte("3"), ebb.IfVersion(a.Version)))
	must(transfer.Put([]byte("account/b"), []byte("7")))
	must(transfer.Put([]byte("transfer/1"), nil, ebb.IfAbsent))
	must(db.Apply(&transfer))

	err = db.Apply(&transfer) // once more
	var failed *ebb.ConditionError
	if errors.As(err, &failed) {
		fmt.Printf("%s has version %d, wanted %v\n", failed.Key, failed.Version, failed.Condition)
	}
	fmt.Println(err)
	// Output:
	// account/a has version 3, wanted IfVersion(1)
	// ebb: condition failed: IfVersion(1), but "account/a" has version 3
}

// A batch keeps its memory from one use to the next.
func ExampleBatch_Reset() {
	db := openMemory(nil)
	defer db.Close()

	var b ebb.Batch
	for i := range 10 {
		must(b.Put(fmt.Appendf(nil, "row:%02d", i), []byte("...")))
		if b.Len() == 4 {
			must(db.Apply(&b))
			b.Reset()
		}
	}
	fmt.Println("left for the last:", b.Len())
	must(db.Apply(&b))
	// Output: left for the last: 2
}

// A snapshot shows neither later writes nor the passing of time.
func ExampleDB_Snapshot() {
	clock := newTestClock(noon)
	db := openMemory(&ebb.Options{Clock: clock.Now})
	defer db.Close()
	must(db.Put([]byte("price"), []byte("10")))
	must(db.Put([]byte("offer"), []byte("8"), ebb.TTL(time.Minute)))

	snapshot, err := db.Snapshot()
	must(err)
	defer snapshot.Close()

	must(db.Put([]byte("price"), []byte("12")))
	clock.Advance(time.Hour)

	for entry, err := range snapshot.Range(nil) {
		must(err)
		fmt.Printf("%s = %s\n", entry.Key, entry.Value)
	}
	// Output:
	// offer = 8
	// price = 10
}

// All keys with a prefix, in order.
func ExampleDB_Range() {
	db := openMemory(nil)
	defer db.Close()
	for _, key := range []string{"fruit:pear", "fruit:apple", "nut:hazel", "fruit:plum"} {
		must(db.Put([]byte(key), []byte("1 kg")))
	}

	for entry, err := range db.Range(&ebb.IterOptions{Prefix: []byte("fruit:")}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s: %s\n", entry.Key, entry.Value)
	}
	// Output:
	// fruit:apple: 1 kg
	// fruit:pear: 1 kg
	// fruit:plum: 1 kg
}

// The last two events before a moment: from the end, and no more than that.
func ExampleDB_Range_reverse() {
	db := openMemory(nil)
	defer db.Close()
	for hour := range 6 {
		must(db.Put(fmt.Appendf(nil, "event:%02d", hour), nil))
	}

	last := &ebb.IterOptions{
		Prefix:   []byte("event:"),
		End:      []byte("event:04"),
		Reverse:  true,
		Limit:    2,
		KeysOnly: true,
	}
	for entry, err := range db.Range(last) {
		must(err)
		fmt.Printf("%s\n", entry.Key)
	}
	// Output:
	// event:03
	// event:02
}

// An iterator goes where it is told to.
func ExampleDB_NewIterator() {
	db := openMemory(nil)
	defer db.Close()
	for _, key := range []string{"a", "c", "e", "g"} {
		must(db.Put([]byte(key), nil))
	}

	it, err := db.NewIterator(nil)
	must(err)
	defer it.Close()

	if it.Seek([]byte("d")) { // the first at "d" or after it
		fmt.Printf("at or after d: %s\n", it.Key())
	}
	if it.SeekBefore([]byte("d")) { // the last before "d"
		fmt.Printf("before d: %s\n", it.Key())
	}
	for ok := it.First(); ok; ok = it.Next() {
		fmt.Printf("%s ", it.Key())
	}
	for ok := it.Last(); ok; ok = it.Prev() {
		fmt.Printf("%s ", it.Key())
	}
	fmt.Println()
	must(it.Err()) // nil: the walk has come to its end
	// Output:
	// at or after d: e
	// before d: c
	// a c e g g e c a
}

// A range goes at the cost of one record, whatever it holds.
func ExampleDB_DeleteRange() {
	db := openMemory(nil)
	defer db.Close()
	for _, day := range []string{"log:2029-12-30", "log:2029-12-31", "log:2030-01-01"} {
		must(db.Put([]byte(day), nil))
	}

	must(db.DeleteRange([]byte("log:"), []byte("log:2030"))) // the end is not in it

	for entry, err := range db.Range(nil) {
		must(err)
		fmt.Printf("%s\n", entry.Key)
	}
	// Output: log:2030-01-01
}

// All that one user has goes at once, however much it is.
func ExampleDB_DeletePrefix() {
	db := openMemory(nil)
	defer db.Close()
	for _, key := range []string{"user:7:mail", "user:7:name", "user:70:name"} {
		must(db.Put([]byte(key), nil))
	}

	must(db.DeletePrefix([]byte("user:7:")))

	for entry, err := range db.Range(nil) {
		must(err)
		fmt.Printf("%s\n", entry.Key)
	}
	// Output: user:70:name
}

// A service that can lose the last tenth of a second to a power cut, but not a payment.
func ExampleOptions_durability() {
	db, done := openTemp(&ebb.Options{Sync: ebb.SyncInterval, SyncEvery: 100 * time.Millisecond})
	defer done()

	must(db.Put([]byte("views"), []byte("1017")))             // synced within SyncEvery
	must(db.Put([]byte("payment"), []byte("9.99"), ebb.Sync)) // and with it all before it
	fmt.Println("paid")
	// Output: paid
}

// Many writes that share one sync.
func ExampleDB_Sync() {
	db, done := openTemp(nil)
	defer done()

	for i := range 1000 {
		must(db.Put(fmt.Appendf(nil, "row:%04d", i), nil, ebb.NoSync))
	}
	must(db.Sync()) // from here on a power cut takes none of them
	fmt.Println("durable")
	// Output: durable
}

// A version changes with every write to its key.
func ExampleDB_GetEntry() {
	db := openMemory(nil)
	defer db.Close()
	key := []byte("config")
	must(db.Put(key, []byte("a=1")))
	before, err := db.GetEntry(key)
	must(err)
	must(db.Put(key, []byte("a=2")))
	after, err := db.GetEntry(key)
	must(err)

	fmt.Printf("%s -> %s, newer: %v\n", before.Value, after.Value, after.Version > before.Version)
	_, expires := after.Expires()
	fmt.Println("expires:", expires)
	// Output:
	// a=1 -> a=2, newer: true
	// expires: false
}

// One buffer serves many look-ups.
func ExampleDB_AppendGet() {
	db := openMemory(nil)
	defer db.Close()
	must(db.Put([]byte("a"), []byte("one")))
	must(db.Put([]byte("b"), []byte("two")))

	var buf []byte
	for _, key := range []string{"a", "x", "b"} {
		value, err := db.AppendGet(buf[:0], []byte(key))
		if errors.Is(err, ebb.ErrNotFound) {
			continue
		}
		must(err)
		fmt.Printf("%s\n", value)
		buf = value // it may have grown
	}
	// Output:
	// one
	// two
}

func ExampleDB_Has() {
	db := openMemory(nil)
	defer db.Close()
	must(db.Put([]byte("seen:42"), nil, ebb.TTL(time.Hour)))

	for _, key := range []string{"seen:42", "seen:43"} {
		ok, err := db.Has([]byte(key))
		must(err)
		fmt.Println(key, ok)
	}
	// Output:
	// seen:42 true
	// seen:43 false
}

// All that belongs to an account is replaced in one step: nobody sees the old and the new, or neither.
func ExampleTxn_DeletePrefix() {
	db, done := openTemp(nil)
	defer done()
	must(db.Put([]byte("cart:7:apples"), []byte("2")))
	must(db.Put([]byte("cart:7:pears"), []byte("1")))

	must(db.Update(func(tx *ebb.Txn) error {
		if err := tx.DeletePrefix([]byte("cart:7:")); err != nil {
			return err
		}
		if _, err := tx.Get([]byte("cart:7:pears")); !errors.Is(err, ebb.ErrNotFound) {
			return errors.New("its reads see what it has done")
		}
		return tx.Put([]byte("cart:7:plums"), []byte("9"))
	}))
	for e, err := range db.Range(&ebb.IterOptions{Prefix: []byte("cart:7:")}) {
		must(err)
		fmt.Printf("%s %s\n", e.Key, e.Value)
	}
	// Output: cart:7:plums 9
}

// A transaction without a function.
func ExampleDB_Begin() {
	db, done := openTemp(nil)
	defer done()
	must(db.Put([]byte("seats"), []byte("1")))

	first, err := db.Begin(true)
	must(err)
	defer first.Discard() // does nothing after Commit
	second, err := db.Begin(true)
	must(err)
	defer second.Discard()
	for _, tx := range []*ebb.Txn{first, second} {
		_, err := tx.Add([]byte("seats"), -1)
		must(err)
		err = tx.Commit()
		fmt.Println(err == nil, errors.Is(err, ebb.ErrConflict))
	}
	// Output:
	// true false
	// false true
}

// Many keys at once, as of one moment: nil stands for one that is absent.
func ExampleDB_GetMany() {
	db, done := openTemp(nil)
	defer done()
	must(db.Put([]byte("a"), []byte("one")))
	must(db.Put([]byte("b"), nil))

	values, err := db.GetMany([]byte("a"), []byte("x"), []byte("b"))
	must(err)
	for _, value := range values {
		fmt.Printf("%q, absent: %v\n", value, value == nil)
	}
	// Output:
	// "one", absent: false
	// "", absent: true
	// "", absent: false
}

// How large a value is, without reading it.
func ExampleDB_Stat() {
	db, done := openTemp(nil)
	defer done()
	must(db.Put([]byte("photo"), make([]byte, 100_000)))

	e, err := db.Stat([]byte("photo"))
	must(err)
	fmt.Println(e.ValueSize, "bytes")
	for e, err := range db.Range(&ebb.IterOptions{KeysOnly: true}) {
		must(err)
		fmt.Printf("%s: %d bytes\n", e.Key, e.ValueSize)
	}
	// Output:
	// 100000 bytes
	// photo: 100000 bytes
}

// The newest entry of a log, whose keys grow.
func ExampleDB_Last() {
	db, done := openTemp(nil)
	defer done()
	for _, day := range []string{"2030-01-01", "2030-01-02", "2030-01-03"} {
		must(db.Put([]byte("log:"+day), []byte("a line of "+day)))
	}
	must(db.Put([]byte("other"), nil))

	newest, err := db.Last(&ebb.IterOptions{Prefix: []byte("log:")})
	must(err)
	fmt.Printf("%s\n", newest.Value)
	_, err = db.First(&ebb.IterOptions{Prefix: []byte("queue:")})
	fmt.Println(err)
	// Output:
	// a line of 2030-01-03
	// ebb: not found
}

// What only reads takes the database, a snapshot or a transaction.
func ExampleReader() {
	db, done := openTemp(nil)
	defer done()
	total := func(r ebb.Reader, prefix string) (n int) {
		for e, err := range r.Range(&ebb.IterOptions{Prefix: []byte(prefix), KeysOnly: true}) {
			must(err)
			n += e.ValueSize
		}
		return n
	}
	must(db.Put([]byte("file:1"), []byte("four")))
	snapshot, err := db.Snapshot()
	must(err)
	defer snapshot.Close()
	must(db.Put([]byte("file:2"), []byte("seven b")))
	must(db.View(func(tx *ebb.Txn) error {
		fmt.Println(total(db, "file:"), total(tx, "file:"), total(snapshot, "file:"))
		return nil
	}))
	// Output: 11 11 4
}

// What an operator does: all of it while reads and writes go on, and none of it ever needed for them.
func ExampleDB_Compact() {
	ctx := context.Background()
	db, done := openTemp(nil)
	defer done()
	for i := range 1000 {
		must(db.Put(fmt.Appendf(nil, "k%03d", i%100), nil, ebb.NoSync))
	}
	must(db.Flush())
	must(db.Put([]byte("k000"), nil))
	must(db.Compact(ctx))
	must(db.Verify(ctx)) // an error matches ebb.ErrCorrupt

	var tables, entries int
	for _, level := range db.Stats().Levels {
		tables += level.Tables
		entries += int(level.Entries)
	}
	fmt.Println(tables, "table,", entries, "entries")
	// Output: 1 table, 100 entries
}

// The part of the keys that nobody will write to again: its tables are rewritten, the others are not.
func ExampleDB_CompactRange() {
	ctx := context.Background()
	db, done := openTemp(nil)
	defer done()
	for _, day := range []string{"2030-01-01", "2030-01-02"} {
		for i := range 100 {
			must(db.Put(fmt.Appendf(nil, "log:%s:%02d", day, i), nil, ebb.NoSync))
		}
	}
	must(db.DeletePrefix([]byte("log:2030-01-01:")))
	must(db.CompactRange(ctx, []byte("log:2030-01-01:"), ebb.PrefixEnd([]byte("log:2030-01-01:"))))

	var entries int
	for _, level := range db.Stats().Levels {
		entries += int(level.Entries)
	}
	fmt.Println(entries, "entries are left")
	// Output: 100 entries are left
}

// Errors are told apart with errors.Is, and their details got at with errors.As.
func Example_errors() {
	db := openMemory(nil)
	_, err := db.Get([]byte("nobody"))
	fmt.Println("not found:", errors.Is(err, ebb.ErrNotFound))
	err = db.Put(nil, []byte("value"))
	fmt.Println("empty key:", errors.Is(err, ebb.ErrKeyEmpty))
	err = db.Put(bytes.Repeat([]byte("k"), ebb.MaxKeySize+1), nil)
	fmt.Println("key too large:", errors.Is(err, ebb.ErrKeyTooLarge), "-", err)
	err = db.Put([]byte("k"), nil, ebb.KeepTTL, ebb.TTL(time.Hour))
	fmt.Println("invalid option:", errors.Is(err, ebb.ErrInvalidOption), "-", err)
	must(db.Close())
	_, err = db.Get([]byte("anybody"))
	fmt.Println("closed:", errors.Is(err, ebb.ErrClosed))
	// Output:
	// not found: true
	// empty key: true
	// key too large: true - ebb: key too large: "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"... (65537 bytes), the limit is 65536 bytes
	// invalid option: true - ebb: invalid write option: TTL beside KeepTTL
	// closed: true
}

// Others look at a database while its owner has it open, and see later writes when they ask to.
func ExampleDB_Refresh() {
	dir, err := os.MkdirTemp("", "ebb")
	must(err)
	defer os.RemoveAll(dir)
	owner, err := ebb.Open(dir, nil)
	must(err)
	defer owner.Close()
	must(owner.Put([]byte("state"), []byte("starting")))

	db, err := ebb.Open(dir, &ebb.Options{ReadOnly: true}) // in any process on this machine
	must(err)
	defer db.Close()
	must(owner.Put([]byte("state"), []byte("ready")))
	for range 2 {
		value, err := db.Get([]byte("state"))
		must(err)
		fmt.Printf("%s\n", value)
		must(db.Refresh())
	}
	fmt.Println(db.Put([]byte("state"), nil))
	// Output:
	// starting
	// ready
	// ebb: read-only
}

// A database is for one process that writes, and for one DB in it.
func ExampleOpen_errors() {
	dir, err := os.MkdirTemp("", "ebb")
	must(err)
	defer os.RemoveAll(dir)
	must(os.WriteFile(filepath.Join(dir, "notes.txt"), nil, 0o600))
	_, err = ebb.Open(dir, nil)
	fmt.Println("not a database:", errors.Is(err, ebb.ErrNotDatabase))

	dir = filepath.Join(dir, "db")
	db, err := ebb.Open(dir, nil)
	must(err)
	defer db.Close()
	_, err = ebb.Open(dir, nil)
	fmt.Println("locked:", errors.Is(err, ebb.ErrLocked))
	var locked *ebb.LockedError
	if errors.As(err, &locked) {
		fmt.Println("by this process:", locked.PID == os.Getpid())
	}
	// Output:
	// not a database: true
	// locked: true
	// by this process: true
}
