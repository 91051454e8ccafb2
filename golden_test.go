package ebb

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ebbdb/ebb/codec"
	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// Golden databases are what a format is held to: testdata/format has a directory for each set, written once and never again,
// with a directory for each of its databases:
//
//	db/           the directory of a database, with every kind of file, record and operation, and a log that is in no table
//	full, next    a full backup and the increment after it, which restored are db
//	content       what all of this holds, as text
//
// A change of a format adds a set: go test . -run TestWriteGolden -golden NAME
var writeGolden = flag.String("golden", "", "the `name` of a new set of golden databases")

const goldenDir = "testdata/format"

// goldenTables says how the databases of a set differ.
var goldenTables = []struct {
	name        string
	compression Compression
	closed      bool // else it is what a killed process has left
}{
	{"none", CompressionNone, false}, {"lz4", CompressionLZ4, false}, {"zstd", CompressionZstd, true},
}

func goldenOptions(fs vfs.FS, clock *fakeClock) *Options {
	return &Options{fs: fs, Clock: clock.Now, memtableSize: 64 << 10, tableSize: 3 << 10, segmentSize: 8 << 10, manual: true}
}

// golden is one database of a set, in memory.
type golden struct {
	fs         *vfstest.Mem // with "db"
	full, next []byte
	content    string
}

// newGolden writes a database with all that the format has.
func newGolden(t *testing.T, compression Compression, closed bool) golden {
	g := golden{fs: vfstest.NewMem()}
	clock := newFakeClock()
	o := goldenOptions(g.fs, clock)
	o.Compression, o.ExpiryEvents, o.RetainLog = compression, true, 1<<20
	ids := byte(0)
	o.sys = system{secret: func(b []byte) { ids++; b[0] = ids }, now: clock.Now}
	db := openTest(t, o)
	put := func(key, value string, opts ...WriteOption) {
		t.Helper()
		must(t, db.Put([]byte(key), []byte(value), opts...))
	}
	for i := range 120 { // for the last level; some is overwritten and deleted above it
		put(fmt.Sprintf("key%03d", i), strings.Repeat(fmt.Sprintf("value %d ", i), 6))
	}
	put("\x00\xff", "", TTL(100*365*24*time.Hour))
	must(t, db.Flush())
	must(t, db.Compact(context.Background()))
	from := ingestGolden(t, db, clock) + 1 // the log reaches back to it

	for round := range 3 { // for the levels above
		for i := range 16 {
			put(fmt.Sprintf("key%03d", 30*round+i), fmt.Sprint("newer ", round), TTL(time.Duration(i%3)*50*365*24*time.Hour))
		}
		must(t, db.Flush())
		if round == 1 {
			must(t, db.compacter.compactPicked())
		}
	}
	must(t, db.Delete([]byte("key061")))
	must(t, db.DeleteRange([]byte("key050"), []byte("key060")))
	writeGoldenKinds(t, db, clock, "table", time.Hour)
	must(t, db.Flush())
	full, info := takeBackup(t, db, &BackupOptions{Compression: compression})

	must(t, db.Delete([]byte("key062")))
	must(t, db.DeleteRange([]byte("key070"), []byte("key080")))
	writeGoldenKinds(t, db, clock, "log", 2*time.Hour)
	put("soon", "has five minutes", TTL(5*time.Minute))
	put("last", "of the log")
	g.full = full
	g.next, _ = takeBackup(t, db, &BackupOptions{Since: info.Through, Compression: compression})
	g.content = fmt.Sprintf("now %d\n", clock.ms()) + goldenEntries(t, db) + goldenChanges(t, db, from)
	if closed {
		must(t, db.Close())
		return g
	}
	g.fs = g.fs.Clone()
	return g
}

// ingestGolden ingests a snapshot file, and returns the version of what is in it.
func ingestGolden(t *testing.T, db *DB, clock *fakeClock) uint64 {
	other, _ := openMemoryTest(t, &Options{Clock: clock.Now})
	must(t, other.Put([]byte("ingested"), bytes.Repeat([]byte("from another database "), 40)))
	file, _ := takeBackup(t, other, nil)
	info, err := db.Ingest(context.Background(), bytes.NewReader(file), nil)
	must(t, err)
	return info.Version
}

// writeGoldenKinds writes each kind of operation under keys that begin with prefix.
func writeGoldenKinds(t *testing.T, db *DB, clock *fakeClock, prefix string, horizon time.Duration) {
	key := func(name string) []byte { return []byte(prefix + "/" + name) }
	must(t, db.Put(key("brief"), []byte("expires"), TTL(time.Second)))
	must(t, db.Put(key("victim"), []byte("is evicted"), TTL(time.Minute)))
	must(t, db.Put(key("touched"), nil, TTL(time.Minute)))
	_, err := db.GetTouch(key("touched"), 99*365*24*time.Hour)
	must(t, err)
	must(t, db.Put(key("persisted"), []byte{0, 0xff}, TTL(time.Minute)))
	must(t, db.Persist(key("persisted")))
	for range 2 {
		_, err := db.Add(key("counter"), 1<<40)
		must(t, err)
	}
	typed := NewTyped(db, key("typed/"), codec.PairOf(codec.String(), codec.Int64()), codec.JSON[map[string]int]())
	must(t, typed.Put(codec.MakePair("a", int64(-1)), map[string]int{"n": 7}, IfAbsent))

	var plain, ranges Batch
	must(t, plain.Put(key("batch"), []byte("whole")))
	must(t, plain.Put(key("batch deadline"), []byte("whole"), TTL(98*365*24*time.Hour)))
	must(t, plain.Delete(key("batch deleted")))
	must(t, plain.SetWriter(7, int32(horizon/time.Hour)-1))
	must(t, db.Apply(&plain))
	must(t, ranges.Put(key("gone"), nil))
	must(t, ranges.DeletePrefix(key("go")))
	must(t, ranges.Put(key("gone, and back"), []byte("behind it")))
	must(t, db.Apply(&ranges))
	must(t, db.Update(func(tx *Txn) error { return tx.Put(key("transaction"), []byte("committed")) }))

	clock.add(2 * time.Second)
	db.sweep() // which reports what has expired
	must(t, db.evicter.evict(clock.ms()+horizon.Milliseconds()))
	must(t, db.Put(key("behind"), []byte("a mark of the clock")))
}

// goldenEntries returns as text what a database holds.
func goldenEntries(t *testing.T, db *DB) string {
	t.Helper()
	var out strings.Builder
	for e, err := range db.Range(nil) {
		must(t, err)
		fmt.Fprintf(&out, "entry %q %q version %d deadline %d\n", e.Key, e.Value, e.Version, e.Deadline)
	}
	last, err := db.WriterSequence(7)
	must(t, err)
	fmt.Fprintf(&out, "writer 7 %d\n", last)
	return out.String()
}

// goldenChanges returns as text what the log of a database says from a sequence on.
func goldenChanges(t *testing.T, db *DB, from uint64) string {
	t.Helper()
	var out strings.Builder
	snapshot, err := db.Snapshot()
	must(t, err)
	last := snapshot.Seq()
	snapshot.Close()
	for c, err := range db.Watch(context.Background(), &WatchOptions{From: from}) {
		must(t, err)
		fmt.Fprintf(&out, "change %d %s %q %q %q version %d deadline %d more %t\n", c.Seq, c.Kind, c.Key, c.Value, c.End, c.Version,
			c.Deadline, c.More)
		if c.Seq == last {
			break
		}
	}
	return out.String()
}

// filesBelow returns the content of every file below a directory, by its path from there.
func filesBelow(t *testing.T, fs *vfstest.Mem, dir string) map[string][]byte {
	t.Helper()
	all := make(map[string][]byte)
	for _, name := range files(t, fs, dir) {
		if _, err := fs.ReadDir(name); err != nil {
			data, err := fs.ReadFile(name)
			must(t, err)
			all[path.Base(name)] = data
			continue
		}
		for below, data := range filesBelow(t, fs, name) {
			all[path.Join(path.Base(name), below)] = data
		}
	}
	return all
}

// TestWriteGolden writes a new set.
func TestWriteGolden(t *testing.T) {
	if *writeGolden == "" {
		t.Skip("no set is to be written: see -golden")
	}
	for _, c := range goldenTables {
		dir := filepath.Join(goldenDir, *writeGolden, c.name)
		if _, err := os.Stat(dir); err == nil {
			t.Fatalf("%s is there: a set is written once", dir)
		}
		g := newGolden(t, c.compression, c.closed)
		all := map[string][]byte{"full": g.full, "next": g.next, "content": []byte(g.content)}
		for name, data := range filesBelow(t, g.fs, "db") {
			all[path.Join("db", name)] = data
		}
		for name, data := range all {
			name = filepath.Join(dir, filepath.FromSlash(name))
			must(t, os.MkdirAll(filepath.Dir(name), 0o755))
			must(t, os.WriteFile(name, data, 0o644))
		}
	}
}

// loadGolden reads a database of a set.
func loadGolden(t *testing.T, dir string) golden {
	g := golden{fs: vfstest.NewMem()}
	must(t, filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		switch rel, _ := filepath.Rel(dir, name); rel {
		case "full":
			g.full = data
		case "next":
			g.next = data
		case "content":
			g.content = string(data)
		default:
			rel = filepath.ToSlash(rel)
			if err := g.fs.MkdirAll(path.Dir(rel)); err != nil {
				return err
			}
			return g.fs.WriteFile(rel, data)
		}
		return nil
	}))
	return g
}

// TestGolden does with each golden database whatever can be done with a database, and with one that is written now.
func TestGolden(t *testing.T) {
	sets, err := os.ReadDir(goldenDir)
	must(t, err)
	if len(sets) == 0 {
		t.Error("there is no set")
	}
	for _, c := range goldenTables {
		t.Run("written now/"+c.name, func(t *testing.T) { checkGolden(t, newGolden(t, c.compression, c.closed)) })
	}
	for _, set := range sets {
		databases, err := os.ReadDir(filepath.Join(goldenDir, set.Name()))
		must(t, err)
		for _, db := range databases {
			name := filepath.Join(set.Name(), db.Name())
			t.Run(name, func(t *testing.T) { checkGolden(t, loadGolden(t, filepath.Join(goldenDir, name))) })
		}
	}
}

func checkGolden(t *testing.T, g golden) {
	var now int64
	first, rest, _ := strings.Cut(g.content, "\n")
	_, err := fmt.Sscanf(first, "now %d", &now)
	must(t, err)
	entries, changes, _ := strings.Cut(rest, "change ")
	changes = "change " + changes
	var from uint64
	_, err = fmt.Sscanf(changes, "change %d ", &from)
	must(t, err)
	open := func(fs *vfstest.Mem, dir string, readOnly bool) *DB {
		o := goldenOptions(fs, newClockAt(now))
		if o.RetainLog = 1 << 20; readOnly {
			o = readOnlyOptions(o)
		}
		db, err := Open(dir, o)
		must(t, err)
		t.Cleanup(func() { db.Close() })
		return db
	}
	want := func(what string, db *DB, withLog bool) {
		t.Helper()
		if got := goldenEntries(t, db); got != entries {
			t.Fatalf("%s holds\n%s, want\n%s", what, got, entries)
		}
		if withLog {
			if got := goldenChanges(t, db, from); got != changes {
				t.Fatalf("the log of %s holds\n%s, want\n%s", what, got, changes)
			}
		}
		must(t, db.Verify(context.Background()))
	}

	before := filesBelow(t, g.fs, "db")
	want("what only reads", open(g.fs, "db", true), true)
	if after := filesBelow(t, g.fs, "db"); !maps.EqualFunc(before, after, bytes.Equal) {
		t.Error("reading has changed a file")
	}

	// Opened, written to, compacted, opened again.
	fs := g.fs.Clone()
	db := open(fs, "db", false)
	want("an open one", db, true)
	must(t, db.Flush())
	want("a flushed one", db, true)
	file, _ := takeBackup(t, db, nil)
	_, err = db.Checkpoint(context.Background(), "copy", nil)
	must(t, err)
	must(t, db.Compact(context.Background()))
	want("a compacted one", db, false)
	must(t, db.Put([]byte("zz"), []byte("new")))
	must(t, db.Delete([]byte("zz")))
	must(t, db.Close())
	want("one that is opened again", open(fs, "db", true), false)
	want("a checkpoint", open(fs, "copy", false), false)

	for what, files := range map[string][][]byte{"a backup": {file}, "the backups of the set": {g.full, g.next}} {
		restored := vfstest.NewMem()
		must(t, restoreTo(restored, newClockAt(now), "restored", files...))
		want(what, open(restored, "restored", false), false)
	}
}
