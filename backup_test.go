package ebb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// takeBackup returns a snapshot file and what Backup says of it.
func takeBackup(t *testing.T, db *DB, o *BackupOptions) ([]byte, BackupInfo) {
	t.Helper()
	var out bytes.Buffer
	info, err := db.Backup(context.Background(), &out, o)
	must(t, err)
	if info.Bytes != int64(out.Len()) {
		t.Fatalf("%d bytes, but Backup says %d", out.Len(), info.Bytes)
	}
	return out.Bytes(), info
}

// restoreTo restores snapshot files on a file system.
func restoreTo(fs vfs.FS, clock *fakeClock, dir string, files ...[]byte) error {
	readers := make([]io.Reader, len(files))
	for i, f := range files {
		readers[i] = bytes.NewReader(f)
	}
	return Restore(context.Background(), dir, &RestoreOptions{Options: tinyOptions(fs, clock)}, readers...)
}

// entriesOf returns all that a reader shows, with versions and deadlines.
func entriesOf(r interface {
	NewIterator(*IterOptions) (*Iterator, error)
}) ([]Entry, error) {
	it, err := r.NewIterator(nil)
	if err != nil {
		return nil, err
	}
	defer it.Close()
	var all []Entry
	for ok := it.First(); ok; ok = it.Next() {
		e := it.Entry()
		e.Key, e.Value = bytes.Clone(e.Key), bytes.Clone(e.Value)
		all = append(all, e)
	}
	return all, it.Err()
}

// sameEntries holds that two readers show the same, versions and deadlines included.
func sameEntries(t *testing.T, what string, got, want []Entry) {
	t.Helper()
	if !slices.EqualFunc(got, want, func(a, b Entry) bool {
		return string(a.Key) == string(b.Key) && string(a.Value) == string(b.Value) && a.Version == b.Version && a.Deadline == b.Deadline
	}) {
		t.Fatalf("%s: %d entries, want %d:\n%v\n%v", what, len(got), len(want), got, want)
	}
}

// checkRestored opens a restored database, holds it against what the original showed, and uses it.
func checkRestored(t *testing.T, what string, fs vfs.FS, clock *fakeClock, dir string, want []Entry, through uint64, m *model) {
	t.Helper()
	o := manualOptions(fs, newClockAt(clock.ms()), SyncAlways)
	db, err := Open(dir, o)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	got, err := entriesOf(db)
	must(t, err)
	sameEntries(t, what, got, want)
	must(t, m.compare(db, db.clock.Now()))
	if lastSeq(db) != through {
		t.Fatalf("%s: goes on behind sequence %d, want %d", what, lastSeq(db), through)
	}
	must(t, db.Verify(context.Background()))
	if err := db.Put([]byte("restored"), []byte("1")); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if e, err := db.GetEntry([]byte("restored")); err != nil || e.Version != through+1 {
		t.Fatalf("%s: the next version is %d, %v, want %d", what, e.Version, err, through+1)
	}
	must(t, db.Compact(context.Background()))
	must(t, db.Close())
}

// At every point of a database's life a full backup restores to the same keys, values, deadlines and versions.
func TestBackupRestore(t *testing.T) {
	for _, compression := range []Compression{CompressionNone, CompressionZstd} {
		mem, clock := vfstest.NewMem(), newFakeClock()
		db := openTest(t, manualOptions(mem, clock, SyncNever))
		m := newModel(clock)
		for i, s := range lifeScript(clock) {
			must(t, s.run(db))
			if s.apply != nil {
				s.apply(m)
			}
			data, info := takeBackup(t, db, &BackupOptions{Compression: compression})
			want, err := entriesOf(db)
			must(t, err)
			if info.Through != lastSeq(db) || info.Since != 0 || info.Entries != uint64(len(want)) {
				t.Fatalf("after %s: %+v, want %d entries through %d", s.name, info, len(want), lastSeq(db))
			}
			dir := fmt.Sprintf("copies/%d", i)
			must(t, restoreTo(mem, clock, dir, data))
			checkRestored(t, "after "+s.name, mem, clock, dir, want, info.Through, m)
		}
		must(t, m.compare(db, clock.ms()))
	}
}

// keepLog makes nothing leave the log: memtables are never frozen but by rotation of tiny segments.
func keepLog(fs vfs.FS, clock *fakeClock) *Options {
	o := roomyOptions(fs, clock)
	o.segmentSize = 1 << 10
	return o
}

// writesOf returns the steps of the script that write, and those that move the clock without sweeping.
func writesOf(clock *fakeClock) []step {
	var steps []step
	for _, s := range lifeScript(clock) {
		switch {
		case s.apply != nil:
			steps = append(steps, s)
		case s.name == "sweep":
			steps = append(steps, otherStep("time", func(*DB) error { clock.add(700 * time.Millisecond); return nil }))
		}
	}
	return steps
}

// A full backup and any number of increments, whole or overlapping, restore to what there was at the last.
func TestIncrements(t *testing.T) {
	mem, clock := vfstest.NewMem(), newFakeClock()
	db := openTest(t, keepLog(mem, clock))
	m := newModel(clock)
	var files [][]byte
	var infos []BackupInfo
	for i, s := range writesOf(clock) {
		must(t, s.run(db))
		if s.apply != nil {
			s.apply(m)
		}
		o := &BackupOptions{Compression: []Compression{CompressionNone, CompressionLZ4}[i%2]}
		if i > 0 {
			o.Since = infos[i-1].Through
			if i%5 == 4 {
				o.Since = infos[i-3].Through // overlaps
			}
		}
		data, info := takeBackup(t, db, o)
		files, infos = append(files, data), append(infos, info)
		want, err := entriesOf(db)
		must(t, err)
		dir := fmt.Sprintf("copies/%d", i)
		must(t, restoreTo(mem, clock, dir, files...))
		checkRestored(t, fmt.Sprintf("%d: %s", i, s.name), mem, clock, dir, want, lastSeq(db), m)
	}
}

// An increment that was contained in the one before it changes nothing.
func TestIncrementOlderThanTheLast(t *testing.T) {
	mem, clock := vfstest.NewMem(), newFakeClock()
	db := openTest(t, keepLog(mem, clock))
	m := newModel(clock)
	var files [][]byte
	for i, s := range []step{putStep("a", "1", 0), putStep("a", "2", 0), deleteRangeStep("a", "c"), putStep("b", "3", 0)} {
		must(t, s.run(db))
		s.apply(m)
		data, _ := takeBackup(t, db, &BackupOptions{Since: uint64(min(i, 1))})
		files = append(files, data)
	}
	want, err := entriesOf(db)
	must(t, err)
	must(t, restoreTo(mem, clock, "copy", files[0], files[3], files[2], files[1]))
	copied, err := Open("copy", manualOptions(mem, clock, SyncAlways))
	must(t, err)
	content{copied}.lacks(t, "a")
	must(t, copied.Close())
	checkRestored(t, "copy", mem, clock, "copy", want, 4, m)
}

// An increment since the middle of a batch has the rest of it.
func TestIncrementSinceInsideBatch(t *testing.T) {
	clock := newFakeClock()
	db := openTest(t, keepLog(vfstest.NewMem(), clock))
	must(t, batchStep("v", 0, "a", "b", "c", "d").run(db))
	_, info := takeBackup(t, db, &BackupOptions{Since: 2})
	if info.Entries != 2 || info.Through != 4 {
		t.Errorf("%+v", info)
	}
}

func TestIncrementRefused(t *testing.T) {
	ctx, clock := context.Background(), newFakeClock()
	db := openTest(t, manualOptions(vfstest.NewMem(), clock, SyncAlways))
	must(t, putStep("a", "1", 0).run(db))
	full, _ := takeBackup(t, db, nil)
	since := func(seq uint64) error {
		_, err := db.Backup(ctx, io.Discard, &BackupOptions{Since: seq})
		return err
	}
	if err := since(2); !errors.Is(err, ErrSequenceAhead) {
		t.Errorf("since a sequence to come: %v", err)
	}
	must(t, since(1))
	for _, key := range []string{"b", "c"} {
		must(t, putStep(key, "1", 0).run(db))
		must(t, db.Flush())
	}
	if err := since(1); !errors.Is(err, ErrLogTrimmed) {
		t.Errorf("since what is no longer in the log: %v", err)
	}
	must(t, putStep("d", "1", 0).run(db))
	must(t, since(3))
	before := lastSeq(db)
	_, err := db.Ingest(ctx, bytes.NewReader(full), nil)
	must(t, err)
	if err := since(before); !errors.Is(err, ErrLogTrimmed) {
		t.Errorf("across an Ingest: %v", err)
	}
	after := lastSeq(db)
	must(t, since(after))
	must(t, putStep("e", "1", 0).run(db))
	if err := since(before); !errors.Is(err, ErrLogTrimmed) {
		t.Errorf("across an Ingest, with writes behind it: %v", err)
	}
	_, info := takeBackup(t, db, &BackupOptions{Since: after})
	if info.Entries != 1 {
		t.Errorf("since the Ingest: %+v", info)
	}
	must(t, db.Close())
	if err := since(after); !errors.Is(err, ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

// numbered is operation n of a random history that depends on n alone, so that a model of any length can be made.
func numbered(n uint64) step {
	rng := rand.New(rand.NewPCG(n, 7))
	key := func() string { return fmt.Sprintf("key%03d", rng.IntN(200)) }
	switch rng.IntN(12) {
	case 0:
		return deleteStep(key())
	case 1:
		a := rng.IntN(200)
		return deleteRangeStep(fmt.Sprintf("key%03d", a), fmt.Sprintf("key%03d", a+rng.IntN(10)+1))
	}
	return putStep(key(), strings.Repeat(fmt.Sprint(n), 1+rng.IntN(20)), 0)
}

// While a writer, flushes and compactions run, each backup is the database at its sequence, and no write waits for it.
func TestBackupWhileWriting(t *testing.T) {
	const writes = 6000
	mem, clock := vfstest.NewMem(), newFakeClock()
	o := tinyOptions(mem, clock)
	o.Sync = SyncNever
	db := openTest(t, o)
	done := make(chan error, 1)
	go func() {
		for n := uint64(1); n <= writes; n++ {
			if err := numbered(n).run(db); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	m, at := newModel(clock), uint64(0)
	for i, running := 0, true; running; i++ {
		select {
		case err := <-done:
			must(t, err)
			running = false
		default:
		}
		data, info := takeBackup(t, db, nil)
		for ; at < info.Through; at++ {
			numbered(at + 1).apply(m)
		}
		dir := fmt.Sprintf("copies/%d", i)
		must(t, restoreTo(mem, clock, dir, data))
		restored, err := Open(dir, manualOptions(mem, clock, SyncNever))
		must(t, err)
		if err := m.compare(restored, clock.ms()); err != nil {
			t.Fatalf("backup %d, through %d: %v", i, info.Through, err)
		}
		must(t, restored.Close())
		must(t, vfs.RemoveAll(mem, dir))
	}
	if at != writes {
		t.Errorf("the last backup goes to %d, want %d", at, writes)
	}
}

// slowWriter lets a test act while a backup waits for its writer.
type slowWriter struct {
	writes int
	then   func(writes int)
}

func (w *slowWriter) Write(p []byte) (int, error) {
	w.writes++
	w.then(w.writes)
	return len(p), nil
}

// fill writes enough for some records of a snapshot file.
func fill(t *testing.T, db *DB, keys int) {
	t.Helper()
	value := strings.Repeat("value", 200)
	for i := range keys {
		must(t, db.Put([]byte(fmt.Sprintf("key%05d", i)), []byte(value), NoSync))
	}
}

// A backup that nobody reads from holds up neither writes, nor compaction, nor Close; a context ends it.
func TestBackupInterrupted(t *testing.T) {
	clock := newFakeClock()
	for _, since := range []uint64{0, 1} {
		db := openTest(t, roomyOptions(vfstest.NewMem(), clock))
		db.pipeline.memtableSize = 1 << 30
		fill(t, db, 3000)
		_, err := db.Backup(context.Background(), &slowWriter{then: func(n int) {
			if n == 2 {
				must(t, db.Put([]byte("meanwhile"), nil))
				if since == 0 {
					must(t, db.Compact(context.Background()))
				}
			}
		}}, &BackupOptions{Since: since})
		must(t, err)

		if since != 0 {
			db = openTest(t, roomyOptions(vfstest.NewMem(), clock))
			db.pipeline.memtableSize = 1 << 30
			fill(t, db, 3000)
		}
		ctx, cancel := context.WithCancel(context.Background())
		w := &slowWriter{then: func(n int) {
			if n == 2 {
				cancel()
			}
		}}
		if _, err := db.Backup(ctx, w, &BackupOptions{Since: since}); !errors.Is(err, context.Canceled) || w.writes != 2 {
			t.Errorf("cancelled: %v after %d writes", err, w.writes)
		}
		w = &slowWriter{then: func(n int) {
			if n == 2 {
				must(t, db.Close())
			}
		}}
		if _, err := db.Backup(context.Background(), w, &BackupOptions{Since: since}); !errors.Is(err, ErrClosed) {
			t.Errorf("closed meanwhile: %v", err)
		}
	}
}

func TestBackupProgress(t *testing.T) {
	mem, clock := vfstest.NewMem(), newFakeClock()
	db := openTest(t, roomyOptions(mem, clock))
	fill(t, db, 3000)
	var seen []Progress
	note := func(p Progress) {
		if n := len(seen); n > 0 && (p.Entries < seen[n-1].Entries || p.Bytes < seen[n-1].Bytes) {
			t.Errorf("%+v after %+v", p, seen[n-1])
		}
		seen = append(seen, p)
	}
	last := func(what string, entries uint64, bytes int64) {
		if n := len(seen); n < 3 || seen[n-1] != (Progress{entries, bytes}) {
			t.Errorf("%s: %+v, want at last %d entries and %d bytes", what, seen, entries, bytes)
		}
		seen = nil
	}
	data, info := takeBackup(t, db, &BackupOptions{Progress: note})
	last("backup", 3000, info.Bytes)
	o := &RestoreOptions{Options: tinyOptions(mem, clock), Progress: note}
	must(t, Restore(context.Background(), "copy", o, bytes.NewReader(data)))
	last("restore", 3000, info.Bytes)
	_, err := db.Ingest(context.Background(), bytes.NewReader(data), &IngestOptions{Progress: note})
	must(t, err)
	last("ingest", 3000, info.Bytes)
}

// A backup of a database whose log cannot be synced would hold what a crash takes from the database.
func TestBackupSyncs(t *testing.T) {
	mem, clock := vfstest.NewMem(), newFakeClock()
	mem.Record()
	db := openTest(t, manualOptions(mem, clock, SyncNever))
	must(t, putStep("a", "1", 0).run(db))
	takeBackup(t, db, nil)
	vfstest.EachCrash(t, mem, vfstest.CrashPoints{From: mem.OpCount()}, func(c *vfstest.Crash) error {
		db, err := Open("db", manualOptions(c.FS, clock, SyncNever))
		if err != nil {
			return err
		}
		content{db}.has(t, "a", "1")
		return db.Close()
	})
}

// wantNothing holds that a failed Restore or Checkpoint has left nothing behind.
func wantNothing(t *testing.T, what string, fs vfs.FS, names ...string) {
	t.Helper()
	got, err := fs.ReadDir(".")
	must(t, err)
	if !slices.Equal(got, names) {
		t.Fatalf("%s: %q is there, want %q", what, got, names)
	}
}

// chainOf returns a full backup and two increments, and the database.
func chainOf(t *testing.T, mem *vfstest.Mem, clock *fakeClock) (db *DB, files [][]byte) {
	db = openTest(t, keepLog(mem, clock))
	through := uint64(0)
	for i, s := range writesOf(clock) {
		if s.name == "put l" {
			continue // large
		}
		must(t, s.run(db))
		if i == 6 || i == 12 || i == 20 {
			data, info := takeBackup(t, db, &BackupOptions{Since: through})
			files, through = append(files, data), info.Through
		}
	}
	return db, files
}

// Whatever is done to the bytes of one of the files, Restore says so and leaves nothing.
func TestRestoreDamaged(t *testing.T) {
	clock := newFakeClock()
	_, files := chainOf(t, vfstest.NewMem(), clock)
	mem := vfstest.NewMem()
	try := func(what string, i int, data []byte) {
		t.Helper()
		damaged := slices.Clone(files)
		damaged[i] = data
		if err := restoreTo(mem, clock, "copy", damaged...); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("file %d, %s: %v", i, what, err)
		}
		wantNothing(t, what, mem)
	}
	stride := 1
	if testing.Short() {
		stride = 11
	}
	for i, data := range files {
		for n := 0; n < len(data); n += stride {
			try(fmt.Sprintf("cut at %d", n), i, data[:n])
			flipped := bytes.Clone(data)
			flipped[n] ^= 1 << (n % 8)
			try(fmt.Sprintf("bit flipped in byte %d", n), i, flipped)
		}
		try("doubled", i, append(bytes.Clone(data), data...))
		try("foreign", i, []byte(strings.Repeat("not a snapshot file ", 20)))
		other := files[(i+1)%len(files)]
		try("spliced", i, append(bytes.Clone(data[:len(data)/2]), other[len(other)/2:]...))
	}
	must(t, restoreTo(mem, clock, "copy", files...))
}

func TestRestoreRefuses(t *testing.T) {
	mem, clock := vfstest.NewMem(), newFakeClock()
	db, files := chainOf(t, mem, clock)
	must(t, db.Close())
	other, err := Open("other", manualOptions(vfstest.NewMem(), clock, SyncAlways))
	must(t, err)
	must(t, putStep("a", "1", 0).run(other))
	foreign, _ := takeBackup(t, other, nil)
	must(t, other.Close())
	for _, c := range []struct {
		name  string
		files [][]byte
	}{
		{"no file", nil},
		{"an increment first", files[1:]},
		{"two full files", [][]byte{files[0], files[0]}},
		{"an increment missing", [][]byte{files[0], files[2]}},
		{"increments swapped", [][]byte{files[0], files[2], files[1]}},
		{"a full file of another database", [][]byte{foreign, files[1]}},
	} {
		if err := restoreTo(mem, clock, "copy", c.files...); !errors.Is(err, ErrSnapshotOrder) {
			t.Errorf("%s: %v", c.name, err)
		}
		wantNothing(t, c.name, mem, "db")
	}
	for _, dir := range []string{"db", "db/MANIFEST", ".", "..", "/", ""} {
		before := files0(t, mem)
		if err := restoreTo(mem, clock, dir, files...); !errors.Is(err, ErrTargetExists) {
			t.Errorf("to %q: %v", dir, err)
		}
		if after := files0(t, mem); !slices.Equal(before, after) {
			t.Errorf("to %q: %q has become %q", dir, before, after)
		}
	}
	must(t, mem.MkdirAll("empty"))
	must(t, restoreTo(mem, clock, "empty/", files...))
	must(t, restoreTo(mem, clock, "some/where/else", files...))
}

// files0 lists the root and the database.
func files0(t *testing.T, fs vfs.FS) []string {
	return append(files(t, fs, "."), files(t, fs, "db")...)
}

// A newer version is not damage.
func TestRestoreNewerVersion(t *testing.T) {
	clock := newFakeClock()
	_, files := chainOf(t, vfstest.NewMem(), clock)
	data := newerVersion(t, files[0])
	err := restoreTo(vfstest.NewMem(), clock, "copy", data)
	if !errors.Is(err, ErrVersion) || errors.Is(err, ErrCorrupt) {
		t.Error(err)
	}
}

// Deadlines that have passed when a backup is restored leave nothing; those that have not are kept; and a clock that was
// ahead stays ahead.
func TestRestoreDeadlines(t *testing.T) {
	mem, clock := vfstest.NewMem(), newFakeClock()
	db := openTest(t, manualOptions(mem, clock, SyncAlways))
	start := clock.ms()
	must(t, putStep("soon", "1", start+1000).run(db))
	must(t, putStep("late", "1", start+9000).run(db))
	data, _ := takeBackup(t, db, nil)
	must(t, restoreTo(mem, newClockAt(start+1000), "later", data))
	must(t, restoreTo(mem, newClockAt(start-5000), "earlier", data))
	later, err := Open("later", manualOptions(mem, newClockAt(start+1000), SyncAlways))
	must(t, err)
	defer later.Close()
	content{later}.lacks(t, "soon")
	if e, err := later.GetEntry([]byte("late")); err != nil || e.Deadline != start+9000 {
		t.Errorf("%+v, %v", e, err)
	}
	if n := later.Stats().Levels[6].Entries; n != 1 {
		t.Errorf("%d entries in the last level, want 1", n)
	}
	earlier, err := Open("earlier", manualOptions(mem, newClockAt(start-5000), SyncAlways))
	must(t, err)
	defer earlier.Close()
	if now := earlier.clock.Now(); now != start {
		t.Errorf("the clock is at %d, want %d", now, start)
	}
}

// What was restored is another database: files of the one are refused by the other.
func TestRestoredIsAnother(t *testing.T) {
	mem, clock := vfstest.NewMem(), newFakeClock()
	db, files := chainOf(t, mem, clock)
	must(t, restoreTo(mem, clock, "copy", files[0]))
	copied, err := Open("copy", manualOptions(mem, clock, SyncAlways))
	must(t, err)
	defer copied.Close()
	if copied.log.ID() == db.log.ID() {
		t.Error("the same id")
	}
	must(t, putStep("fork", "1", 0).run(copied))
	_, through := takeBackup(t, copied, nil)
	increment, _ := takeBackup(t, copied, &BackupOptions{Since: through.Through - 1})
	if err := restoreTo(mem, clock, "mixed", files[0], increment); !errors.Is(err, ErrSnapshotOrder) {
		t.Errorf("an increment of the copy on the original: %v", err)
	}
}

// The largest value goes through all of it.
func TestBackupLargeValue(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds and 500 MB")
	}
	dir := t.TempDir()
	db, err := Open(path.Join(dir, "db"), &Options{Sync: SyncNever})
	must(t, err)
	defer db.Close()
	value := bytes.Repeat([]byte("0123456789abcdef"), 4<<20) // 64 MiB
	must(t, db.Put([]byte("a"), []byte("1")))
	must(t, db.Put([]byte("b"), value))
	data, _ := takeBackup(t, db, nil)
	must(t, Restore(context.Background(), path.Join(dir, "copy"), nil, bytes.NewReader(data)))
	copied, err := Open(path.Join(dir, "copy"), nil)
	must(t, err)
	defer copied.Close()
	if got, err := copied.Get([]byte("b")); err != nil || !bytes.Equal(got, value) {
		t.Errorf("%d bytes: %v", len(got), err)
	}
}

// takeSnapshotBackup is takeBackup for a snapshot.
func takeSnapshotBackup(t *testing.T, s *Snapshot, o *BackupOptions) []byte {
	t.Helper()
	var out bytes.Buffer
	info, err := s.Backup(context.Background(), &out, o)
	must(t, err)
	if info.Bytes != int64(out.Len()) || info.Through != s.Seq() {
		t.Fatalf("%d bytes through %d, but Backup says %+v", out.Len(), s.Seq(), info)
	}
	return out.Bytes()
}

// TestSnapshotBackup: what a snapshot has pinned can be backed up at the end of the database's life, in full and as an
// increment, with the writers as they were.
func TestSnapshotBackup(t *testing.T) {
	mem, clock := vfstest.NewMem(), newFakeClock()
	o := manualOptions(mem, clock, SyncNever)
	o.RetainLog = 1 << 30
	db := openTest(t, o)
	m := newModel(clock)
	type held struct {
		*Snapshot
		step    string
		model   *model
		entries []Entry
	}
	var all []held
	for _, s := range lifeScript(clock) {
		must(t, s.run(db))
		if s.apply != nil {
			s.apply(m)
		}
		snapshot, err := db.Snapshot()
		must(t, err)
		defer snapshot.Close()
		entries, err := entriesOf(snapshot)
		must(t, err)
		h := held{snapshot, s.name, m.clone(), entries}
		h.model.clock = newClockAt(int64(snapshot.now))
		all = append(all, h)
	}
	full := takeSnapshotBackup(t, all[10].Snapshot, nil)
	for i, h := range all {
		files := [][]byte{takeSnapshotBackup(t, h.Snapshot, nil)}
		if i > 10 {
			files = [][]byte{full, takeSnapshotBackup(t, h.Snapshot, &BackupOptions{Since: all[10].Seq()})}
		}
		dir := fmt.Sprintf("copies/%d", i)
		must(t, restoreTo(mem, h.model.clock, dir, files...))
		restored, err := Open(dir, readOnlyOptions(manualOptions(mem, h.model.clock, SyncNever)))
		must(t, err)
		if err := h.model.writerIs(restored); err != nil {
			t.Errorf("after %s: %v", h.step, err)
		}
		must(t, restored.Close())
		checkRestored(t, "after "+h.step, mem, h.model.clock, dir, h.entries, h.Seq(), h.model)
	}
}

// TestSnapshotBackupRefused also holds that a read-only database knows the writers of a snapshot after a Refresh.
func TestSnapshotBackupRefused(t *testing.T) {
	mem, clock := vfstest.NewMem(), newFakeClock()
	o := manualOptions(mem, clock, SyncNever)
	db := openTest(t, o)
	must(t, applyAs(db, lifeWriter, 0, "writer", "0"))
	aside, err := Open("db", readOnlyOptions(o))
	must(t, err)
	defer aside.Close()
	old, err := aside.Snapshot()
	must(t, err)
	defer old.Close()
	for i := range int32(3) {
		must(t, errors.Join(applyAs(db, lifeWriter, i+1, "writer", "later"), aside.Refresh()))
	}
	must(t, restoreTo(mem, clock, "restored", takeSnapshotBackup(t, old, nil)))
	restored, err := Open("restored", readOnlyOptions(o))
	must(t, err)
	defer restored.Close()
	if last, err := restored.WriterSequence(lifeWriter); last != 0 || err != nil {
		t.Errorf("the writer's last batch is %d, %v", last, err)
	}
	s, err := db.Snapshot()
	must(t, err)
	for _, c := range []struct {
		name string
		s    *Snapshot
		o    BackupOptions
		want error
	}{
		{"since later", s, BackupOptions{Since: s.Seq() + 1}, ErrSequenceAhead},
		{"no such compression", s, BackupOptions{Compression: 9}, ErrInvalidOptions},
		{"an increment of a read-only database", old, BackupOptions{Since: 1}, ErrReadOnly},
	} {
		if _, err := c.s.Backup(context.Background(), io.Discard, &c.o); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	s.Close()
	if _, err := s.Backup(context.Background(), io.Discard, nil); err != ErrClosed {
		t.Errorf("closed: %v", err)
	}
	must(t, aside.Close())
	if _, err := old.Backup(context.Background(), io.Discard, nil); err != ErrClosed {
		t.Errorf("the database is closed: %v", err)
	}
}
