package ebb

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ebbdb/ebb/internal/vfs/vfstest"
	"github.com/ebbdb/ebb/wal"
)

// fillLog writes much of all kinds, nothing of which becomes a table: the memtable takes all.
func fillLog(t *testing.T, o *Options) *DB {
	t.Helper()
	c := *o
	c.memtableSize = 64 << 20
	db := openTest(t, &c)
	batches := int32(0)
	for i := range 1000 {
		key := func(i int) []byte { return fmt.Appendf(nil, "k%04d", i*7919%1000) }
		must(t, db.Put(key(i), fmt.Appendf(nil, "%d", i)))
		switch {
		case i%50 == 0:
			must(t, db.Put(fmt.Appendf(nil, "large%d", i), []byte(strings.Repeat("x", 1000+i))))
		case i%31 == 0:
			must(t, db.DeleteRange(key(i/2), append(key(i/2), 'z')))
		case i%23 == 0:
			must(t, db.Put(key(i/2), []byte("brief"), TTL(time.Duration(i)*time.Second)))
		case i%19 == 0:
			must(t, db.Delete(key(i/3)))
		case i%17 == 0:
			var b Batch
			must(t, b.SetWriter(7, batches))
			must(t, b.Put(key(i/4), []byte("of a batch")))
			must(t, b.Delete(key(i/5)))
			must(t, db.Apply(&b))
			batches++
		}
	}
	return db
}

// contentOf returns all that a database shows.
func contentOf(t *testing.T, db *DB) string {
	t.Helper()
	var all strings.Builder
	for e, err := range db.Range(nil) {
		must(t, err)
		fmt.Fprintf(&all, "%s=%.20s, %d bytes, version %d until %d\n", e.Key, e.Value, len(e.Value), e.Version, e.Deadline)
	}
	n, err := db.WriterSequence(7)
	fmt.Fprintf(&all, "writer: %d, %v", n, err)
	return all.String()
}

// A log of many batches comes back as one of a few entries does, in memtables no larger than allowed, whoever applies them.
func TestReplay(t *testing.T) {
	mem, clock := vfstest.NewMem(), newFakeClock()
	o := manualOptions(mem, clock, SyncNever)
	db := fillLog(t, o)
	want, killed := contentOf(t, db), mem.Clone()
	must(t, db.Close())
	for _, batch := range []int{1, 100, 512, 8 << 10, 1 << 20} {
		for _, readOnly := range []bool{false, true} {
			t.Run(fmt.Sprint("batches of ", batch, ", read-only ", readOnly), func(t *testing.T) {
				o := manualOptions(killed.Clone(), clock, SyncNever)
				o.replayBatch = batch
				if readOnly {
					o = readOnlyOptions(o)
				}
				db := openTest(t, o)
				if got := contentOf(t, db); got != want {
					t.Errorf("got\n%s\nwant\n%s", got, want)
				}
				v := db.live.View()
				for i, m := range v.Frozen {
					if m.Size() > o.memtableSize+4<<10 || m.LastSeq != m.Stats().MaxSeq || i > 0 && m.LastSeq >= v.Frozen[i-1].LastSeq {
						t.Errorf("frozen memtable %d of %d: %d bytes up to %d", i, len(v.Frozen), m.Size(), m.LastSeq)
					}
				}
				if len(v.Frozen) < 3 {
					t.Errorf("%d frozen memtables", len(v.Frozen))
				}
				must(t, db.Close())
			})
		}
	}
}

// An entry of the log that cannot be applied is damage, wherever it lies, and then no file has been changed, though the log
// ends in a torn tail. An error in the log behind the entry is not what is told.
func TestReplayFails(t *testing.T) {
	for _, after := range []int{0, 5, 500} {
		for _, damaged := range []bool{false, true} {
			t.Run(fmt.Sprint(after, " entries behind, another damage behind it ", damaged), func(t *testing.T) {
				mem, clock := vfstest.NewMem(), newFakeClock()
				o := manualOptions(mem, clock, SyncAlways)
				o.segmentSize = 1 << 20
				db := fillLog(t, o)
				bad := []wal.Entry{{Kind: wal.KindBatch, Value: []byte("none"), Ops: 1}}
				next, err := db.log.Write(bad)
				must(t, err)
				at := bad[0].Pos
				for i := range after {
					_, err := db.log.Write([]wal.Entry{{Key: fmt.Appendf(nil, "after%d", i), Value: make([]byte, 20)}})
					must(t, err)
				}
				must(t, db.Sync())
				if damaged {
					must(t, freeze(db)) // the next segment proves that what is damaged was on the disk
					must(t, db.Put([]byte("next"), nil))
				}
				killed := mem.Clone()
				name := fmt.Sprintf("db/wal/%06d.wal", at.Segment)
				if damaged {
					must(t, killed.Corrupt(name, int64(next.Offset)+10, 1))
				}
				before := killed.Clone()
				_, err = Open("db", manualOptions(killed, clock, SyncAlways))
				var c *CorruptError
				if err == nil || !errors.As(err, &c) || c.File != fmt.Sprintf("log position %v", at) {
					t.Errorf("%v, want damage at %v", err, at)
				}
				if diff := killed.Diff(before); len(diff) > 0 {
					t.Errorf("Open has changed %v", diff)
				}
				if _, err := Open("db", readOnlyOptions(manualOptions(killed, clock, SyncAlways))); !errors.As(err, &c) ||
					c.File != fmt.Sprintf("log position %v", at) {
					t.Errorf("read-only: %v, want damage at %v", err, at)
				}
			})
		}
	}
}
