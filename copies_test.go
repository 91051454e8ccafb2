package ebb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// A copy knows the writers as of its last write, with the versions of their batches; those that are idle are left out.
func TestCopiesKeepWriters(t *testing.T) {
	mem, clock := vfstest.NewMem(), newFakeClock()
	o := keepLog(mem, clock)
	o.WriterIdle = time.Minute
	db := openTest(t, o)
	var first, second uint64
	must(t, applyAs(db, 9, 0, "idle", "1"))
	clock.add(50 * time.Second)
	must(t, applyAs(db, 1, 0, "a", "0", VersionTo(&first)))
	full, info := takeBackup(t, db, nil)
	clock.add(20 * time.Second) // writer 1 is now in both maps
	must(t, applyAs(db, 1, 1, "a", "1"))
	must(t, applyAs(db, 2, 0, "b", "0", VersionTo(&second)))
	clock.add(30 * time.Second)
	increment, _ := takeBackup(t, db, &BackupOptions{Since: info.Through})
	_, err := db.Checkpoint(context.Background(), "checkpoint", nil)
	must(t, err)
	must(t, restoreTo(mem, clock, "full", full))
	must(t, restoreTo(mem, clock, "both", full, increment))
	must(t, restoreTo(mem, clock, "old file last", full, increment, increment))

	for dir, last := range map[string]int32{"full": 0, "both": 1, "old file last": 1, "checkpoint": 1} {
		o := manualOptions(mem, clock, SyncAlways)
		o.WriterIdle = time.Minute
		copied, err := Open(dir, o)
		must(t, err)
		if got, err := copied.WriterSequence(1); err != nil || got != last {
			t.Errorf("%s: the last batch of writer 1 is %d, %v, want %d", dir, got, err, last)
		}
		wantExpected(t, applyAs(copied, 1, last+2, "a", "gap"), 1, last+2, last+1)
		must(t, applyAs(copied, 1, last, "a", "repeated"))
		content{copied}.has(t, "a", fmt.Sprint(last))
		if _, err := copied.WriterSequence(9); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: an idle writer: %v", dir, err)
		}
		if _, err := copied.WriterSequence(2); (err == nil) != (last == 1) {
			t.Errorf("%s: writer 2: %v", dir, err)
		}
		var version uint64
		if last == 1 {
			must(t, applyAs(copied, 2, 0, "b", "repeated", VersionTo(&version)))
			if version != second {
				t.Errorf("%s: version %d of the repeated batch, want %d", dir, version, second)
			}
		}
		must(t, applyAs(copied, 1, last+1, "a", "next"))
		must(t, copied.Close())
	}
}

// Writers go on while backups are taken: in each, what a writer has written and what is remembered of it are the same.
func TestBackupOfWritersIsOfOneMoment(t *testing.T) {
	const batches = 400
	mem, clock := vfstest.NewMem(), newFakeClock()
	o := tinyOptions(mem, clock)
	o.Sync = SyncNever
	db := openTest(t, o)
	done := make(chan error, 1)
	go func() {
		for n := range int32(batches) {
			if err := applyAs(db, 1, n, "last", fmt.Sprint(n)); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for running := true; running; {
		select {
		case err := <-done:
			must(t, err)
			running = false
		default:
		}
		data, _ := takeBackup(t, db, nil)
		must(t, restoreTo(mem, clock, "copy", data))
		copied, err := Open("copy", manualOptions(mem, clock, SyncNever))
		must(t, err)
		last, err := copied.WriterSequence(1)
		if errors.Is(err, ErrNotFound) {
			content{copied}.lacks(t, "last")
		} else {
			must(t, err)
			content{copied}.has(t, "last", fmt.Sprint(last))
		}
		must(t, copied.Close())
		must(t, vfs.RemoveAll(mem, "copy"))
	}
}

// A transaction that has read what an Ingest replaces, or where it adds, conflicts with it.
func TestIngestConflicts(t *testing.T) {
	clock := newFakeClock()
	for _, c := range []struct {
		name string
		read func(*Txn) (int, error)
	}{
		{"a key", func(tx *Txn) (int, error) {
			v, err := tx.Get([]byte("a"))
			return len(v), err
		}},
		{"a range", func(tx *Txn) (n int, err error) {
			for _, err := range tx.Range(nil) {
				if err != nil {
					return 0, err
				}
				n++
			}
			return n, nil
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, when := range []string{"at once", "after a flush", "on an empty memtable"} {
				db := openTest(t, manualOptions(vfstest.NewMem(), clock, SyncAlways))
				must(t, putStep("a", "1", 0).run(db))
				if when == "on an empty memtable" {
					must(t, db.Flush())
				}
				ingest := ingestStep(snapshotOf(t, clock, map[string]modelEntry{"a": {"22", 0}, "b": {"22", 0}}), nil)
				attempts, seen := 0, 0
				err := db.Update(func(tx *Txn) error {
					attempts++
					n, err := c.read(tx)
					if err != nil {
						return err
					}
					seen = n
					if attempts == 1 {
						if when == "after a flush" {
							must(t, putStep("other", "1", 0).run(db))
							must(t, db.Flush())
						}
						must(t, ingest.run(db))
					}
					return tx.Put([]byte("result"), []byte(strings.Repeat("x", n)))
				})
				must(t, err)
				if attempts != 2 || seen < 2 {
					t.Errorf("%s, %s: %d attempts, and the last has read %d", c.name, when, attempts, seen)
				}
			}
		})
	}
}

// A read-only database can be backed up in full, and does nothing that needs its log or changes it.
func TestCopiesOfReadOnly(t *testing.T) {
	ctx := context.Background()
	mem, clock := vfstest.NewMem(), newFakeClock()
	db := openTest(t, keepLog(mem, clock))
	m := newModel(clock)
	for _, s := range []step{putStep("a", "1", 0), flushStep, putStep("b", "1", 0)} {
		must(t, s.run(db))
		if s.apply != nil {
			s.apply(m)
		}
	}
	must(t, applyAs(db, 1, 0, "c", "1"))
	m.entries["c"] = modelEntry{"1", 0}
	o := readOnlyOptions(keepLog(mem, clock))
	reader := openTest(t, o)
	want, err := entriesOf(db)
	must(t, err)
	data, info := takeBackup(t, reader, nil)
	must(t, restoreTo(mem, clock, "copy", data))
	checkRestored(t, "copy", mem, clock, "copy", want, lastSeq(db), m)
	copied, err := Open("copy", manualOptions(mem, clock, SyncAlways))
	must(t, err)
	if last, err := copied.WriterSequence(1); err != nil || last != 0 {
		t.Errorf("the last batch is %d, %v", last, err)
	}
	must(t, copied.Close())

	if _, err := reader.Backup(ctx, io.Discard, &BackupOptions{Since: info.Through}); !errors.Is(err, ErrReadOnly) {
		t.Errorf("an increment: %v", err)
	}
	if _, err := reader.Checkpoint(ctx, "checkpoint", nil); !errors.Is(err, ErrReadOnly) {
		t.Errorf("a checkpoint: %v", err)
	}
	if _, err := reader.Ingest(ctx, bytes.NewReader(data), nil); !errors.Is(err, ErrReadOnly) {
		t.Errorf("an ingest: %v", err)
	}
	must(t, putStep("d", "1", 0).run(db))
	must(t, reader.Refresh())
	if _, next := takeBackup(t, reader, nil); next.Through != info.Through+1 {
		t.Errorf("through %d after %d", next.Through, info.Through)
	}
	must(t, ingestStep(data, nil).run(db))
	must(t, reader.Refresh())
	if _, next := takeBackup(t, reader, nil); next.Through != lastSeq(db) {
		t.Errorf("through %d, want %d", next.Through, lastSeq(db))
	}
}
