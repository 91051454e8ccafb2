package ebb

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// deadlineWrites are the ways to give a key a deadline d from now. Some need a key that is there.
var deadlineWrites = map[string]func(db *DB, key, value []byte, d time.Duration) error{
	"Put": func(db *DB, key, value []byte, d time.Duration) error { return db.Put(key, value, TTL(d)) },
	"Put ExpireAt": func(db *DB, key, value []byte, d time.Duration) error {
		return db.Put(key, value, ExpireAt(time.UnixMilli(db.clock.Now()).Add(d)))
	},
	"Put IfAbsent": func(db *DB, key, value []byte, d time.Duration) error { return db.Put(key, value, TTL(d), IfAbsent) },
	"Put KeepTTL": func(db *DB, key, value []byte, d time.Duration) error {
		return errors.Join(db.Put(key, value, TTL(2*d)), db.Put(key, value, KeepTTL))
	},
	"Expire": func(db *DB, key, value []byte, d time.Duration) error {
		return errors.Join(db.Put(key, value), db.Expire(key, d))
	},
	"GetTouch": func(db *DB, key, value []byte, d time.Duration) error {
		err := db.Put(key, value)
		_, terr := db.GetTouch(key, d)
		return errors.Join(err, terr)
	},
	"Apply": func(db *DB, key, value []byte, d time.Duration) error {
		var b Batch
		return errors.Join(b.Put(key, value, TTL(d)), b.Put(append(key, '2'), value, TTL(2*d)), db.Apply(&b))
	},
	"Update of one": func(db *DB, key, value []byte, d time.Duration) error {
		return db.Update(func(tx *Txn) error { return tx.Put(key, value, TTL(d)) })
	},
	"Update": func(db *DB, key, value []byte, d time.Duration) error {
		return db.Update(func(tx *Txn) error {
			return errors.Join(tx.Put(key, value, TTL(d)), tx.Put(append(key, '2'), value, TTL(2*d)))
		})
	},
}

// Whoever looks at a version sees one deadline: readers, watchers, reports of expiries, and the same again after the next Open.
// The clock moves with each look, and segments of the log are short, so that deadlines pass at every point of a write, and
// before the segment begins that the write goes to.
func TestOneDeadline(t *testing.T) {
	for name, write := range deadlineWrites {
		for _, reports := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/reports=%v", name, reports), func(t *testing.T) {
				mem, running := vfstest.NewMem(), newFakeClock()
				o := manualOptions(mem, running, SyncNever)
				o.segmentSize, o.memtableSize, o.RetainLog, o.ExpiryEvents = 512, 1<<20, 1<<30, reports
				o.Clock = func() time.Time { running.add(10 * time.Millisecond); return running.Now() }
				db := openTest(t, o)
				value := bytes.Repeat([]byte{'v'}, 300)
				for i := range 40 {
					err := write(db, fmt.Appendf(nil, "key%03d", i), value, time.Duration(5*i+1)*time.Millisecond)
					if err != nil && !errors.Is(err, ErrNotFound) {
						t.Fatal(err)
					}
				}
				held := heldDeadlines(t, db)
				shown, reported := watchedDeadlines(t, db)
				compareDeadlines(t, "Watch", shown, held)
				must(t, db.Close())
				db = openTest(t, o)
				compareDeadlines(t, "the next Open", shown, heldDeadlines(t, db))
				for seq, deadline := range reported {
					if deadline != shown[seq] {
						t.Errorf("the expiry of %d is reported for %d, Watch showed %d", seq, deadline, shown[seq])
					}
				}
				if len(shown) < 20 || reports != (len(reported) > 0) {
					t.Errorf("%d deadlines, %d reports", len(shown), len(reported))
				}
			})
		}
	}
}

// watchedDeadlines returns the deadlines of all versions that the log has, and of all that it reports as expired.
func watchedDeadlines(t *testing.T, db *DB) (shown, reported map[uint64]int64) {
	t.Helper()
	if db.reporter != nil {
		must(t, db.reporter.catchUp())
	}
	changes, err := allChanges(db, 1)
	must(t, err)
	shown, reported = make(map[uint64]int64), make(map[uint64]int64)
	for _, c := range changes {
		switch c.Kind {
		case ChangePut:
			shown[c.Seq] = c.Deadline
		case ChangeExpire:
			reported[c.Version] = c.Deadline
		}
	}
	return shown, reported
}

// heldDeadlines returns the deadlines of the versions that the database holds, expired ones included, of each key the newest.
func heldDeadlines(t *testing.T, db *DB) map[uint64]int64 {
	t.Helper()
	held := make(map[uint64]int64)
	it := db.live.View().Scan(math.MaxUint64)
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		if e := it.Entry(); e.Kind == kv.Put {
			held[e.Seq] = e.Deadline
		}
	}
	must(t, it.Err())
	return held
}

func compareDeadlines(t *testing.T, where string, shown, held map[uint64]int64) {
	t.Helper()
	for seq, deadline := range held {
		if shown[seq] != deadline {
			t.Errorf("version %d expires at %d, %s says %d", seq, deadline, where, shown[seq])
		}
	}
}
