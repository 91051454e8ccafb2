package snapstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/hashicorp/raft"
	"go.uber.org/goleak"

	"github.com/ebbdb/ebb"
	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
	"github.com/ebbdb/ebb/wal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testDir = "node/snapshots"

func open(t testing.TB, fs vfs.FS) *Store {
	t.Helper()
	s, err := Open(testDir, &Options{FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// snapshotFile returns what Backup writes of a database of n entries.
func snapshotFile(t testing.TB, n int, since uint64) []byte {
	t.Helper()
	db, err := ebb.OpenMemory(nil)
	must(t, err)
	defer db.Close()
	for i := range n {
		must(t, db.Put(fmt.Appendf(nil, "key %06d", i), bytes.Repeat([]byte{byte(i)}, 40)))
	}
	var file bytes.Buffer
	if since > 0 {
		_, err = db.Backup(context.Background(), &file, &ebb.BackupOptions{Since: since})
		must(t, err)
		return file.Bytes()
	}
	snap, err := db.Snapshot()
	must(t, err)
	defer snap.Close()
	_, err = snap.Backup(context.Background(), &file, nil)
	must(t, err)
	return file.Bytes()
}

var servers = raft.Configuration{Servers: []raft.Server{{ID: "a", Address: "1"}, {Suffrage: raft.Nonvoter, ID: "b", Address: "2"}}}

// take stores a snapshot.
func take(s *Store, index, term uint64, file []byte) (id string, err error) {
	sink, err := s.Create(1, index, term, servers, index-1, nil)
	if err != nil {
		return "", err
	}
	if _, err := io.Copy(sink, bytes.NewReader(file)); err != nil {
		return "", errors.Join(err, sink.Cancel())
	}
	return sink.ID(), sink.Close()
}

// indexes returns the indexes of the snapshots of a store, and an error if one of them is not the file.
func indexes(s *Store, file []byte) (list []uint64, err error) {
	metas, err := s.List()
	if err != nil {
		return nil, err
	}
	for _, m := range metas {
		opened, r, err := s.Open(m.ID)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.ID, err)
		}
		got, err := io.ReadAll(r)
		if err = errors.Join(err, r.Close()); err != nil || !bytes.Equal(got, file) {
			return nil, fmt.Errorf("%s: %d bytes, want %d, %w", m.ID, len(got), len(file), err)
		}
		if opened.Index != m.Index || m.Size != int64(len(file)) || m.ConfigurationIndex != m.Index-1 || m.Version != 1 ||
			!slices.Equal(m.Configuration.Servers, servers.Servers) {
			return nil, fmt.Errorf("%s: meta %+v", m.ID, m)
		}
		list = append(list, m.Index)
	}
	return list, nil
}

func TestStore(t *testing.T) {
	mem, file := vfstest.NewMem(), snapshotFile(t, 2000, 0)
	s := open(t, mem)
	for i, want := range [][]uint64{{5}, {5, 5}, {9, 5}, {12, 9}} {
		index := []uint64{5, 5, 9, 12}[i]
		if _, err := take(s, index, 2, file); err != nil {
			t.Fatal(err)
		}
		if got, err := indexes(s, file); err != nil || !slices.Equal(got, want) {
			t.Fatalf("%v, %v, want %v", got, err, want)
		}
	}
	canceled, err := s.Create(1, 20, 2, servers, 1, nil)
	must(t, err)
	canceled.Write(file)
	must(t, canceled.Cancel())
	if _, err := canceled.Write(file); !errors.Is(err, ErrCanceled) {
		t.Errorf("write after Cancel: %v", err)
	}
	must(t, canceled.Close())
	must(t, s.Close())
	must(t, s.Close())
	s = open(t, mem)
	if got, err := indexes(s, file); err != nil || !slices.Equal(got, []uint64{12, 9}) {
		t.Errorf("opened again: %v, %v", got, err)
	}
	names, err := mem.ReadDir(testDir)
	if err != nil || len(names) != 5 {
		t.Errorf("files %v, %v", names, err)
	}
	must(t, s.Close())
}

// A snapshot can be restored, by its file alone too.
func TestRestore(t *testing.T) {
	mem, dir := vfstest.NewMem(), t.TempDir()
	s := open(t, mem)
	id, err := take(s, 7, 1, snapshotFile(t, 100, 0))
	must(t, err)
	_, r, err := s.Open(id)
	must(t, err)
	must(t, ebb.Restore(context.Background(), dir+"/db", nil, r))
	must(t, r.Close())
	db, err := ebb.Open(dir+"/db", nil)
	must(t, err)
	defer db.Close()
	if v, err := db.Get([]byte("key 000099")); err != nil || len(v) != 40 {
		t.Errorf("%q, %v", v, err)
	}
	must(t, s.Verify(id))
	must(t, s.Close())
}

// What is no whole snapshot file does not become a snapshot, and leaves nothing.
func TestRefused(t *testing.T) {
	file := snapshotFile(t, 200, 0)
	flipped := slices.Clone(file)
	flipped[len(file)/2] ^= 1
	tests := []struct {
		name string
		file []byte
	}{
		{"nothing", nil},
		{"something else", []byte("not a snapshot file at all")},
		{"a part", file[:len(file)-1]},
		{"more", append(slices.Clone(file), 0)},
		{"a flipped bit", flipped},
		{"an increment", snapshotFile(t, 50, 20)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			mem := vfstest.NewMem()
			s := open(t, mem)
			before := mem.Clone()
			if _, err := take(s, 5, 1, test.file); !errors.Is(err, ErrCorrupt) {
				t.Errorf("taken: %v", err)
			}
			if changed := before.Diff(mem); len(changed) > 0 {
				t.Errorf("left: %v", changed)
			}
			must(t, s.Close())
		})
	}
}

func TestBadInput(t *testing.T) {
	mem := vfstest.NewMem()
	s := open(t, mem)
	if _, err := Open(testDir, &Options{FS: mem}); !errors.Is(err, ErrLocked) {
		t.Errorf("a second owner: %v", err)
	}
	if _, err := s.Create(0, 1, 1, servers, 1, nil); err == nil || !strings.Contains(err.Error(), "version 0") {
		t.Errorf("version 0: %v", err)
	}
	for _, id := range []string{"", "x", "../OWNER", nameOf(1, 1, 0), nameOf(1, 1, 0) + ".snap"} {
		if _, _, err := s.Open(id); !errors.Is(err, ErrNotFound) {
			t.Errorf("open %q: %v", id, err)
		}
	}
	must(t, s.Close())
	_, err := s.Create(1, 1, 1, servers, 1, nil)
	_, err2 := s.List()
	_, _, err3 := s.Open(nameOf(1, 1, 0))
	for _, err := range []error{err, err2, err3} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	}
}

// Flipped bits in every byte and every length of a snapshot's files are found before anything is given out, and the snapshot before is
// offered instead.
func TestDamage(t *testing.T) {
	mem, file := vfstest.NewMem(), snapshotFile(t, 8, 0)
	s := open(t, mem)
	_, err := take(s, 5, 1, file)
	must(t, err)
	id, err := take(s, 9, 1, file)
	must(t, err)
	must(t, s.Close())
	check := func(what string, fs *vfstest.Mem) {
		t.Helper()
		s := open(t, fs)
		defer s.Close()
		if _, _, err := s.Open(id); !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrVersion) {
			t.Fatalf("%s: %v", what, err)
		}
		if got, err := indexes(s, file); err != nil || !slices.Equal(got, []uint64{5}) {
			t.Fatalf("%s: offered %v, %v", what, got, err)
		}
	}
	for _, suffix := range []string{snapSuffix, metaSuffix} {
		name := path.Join(testDir, id+suffix)
		data, err := mem.ReadFile(name)
		must(t, err)
		for i := 0; i < len(data)*8; i += 3 * vfstest.Step(11) {
			damaged := mem.Clone()
			must(t, damaged.Corrupt(name, int64(i/8), 1<<(i%8)))
			check(fmt.Sprintf("bit %d of %s", i, name), damaged)
		}
		for n := 0; n < len(data); n += vfstest.Step(11) {
			damaged := mem.Clone()
			must(t, damaged.WriteFile(name, data[:n]))
			check(fmt.Sprintf("%d bytes of %s", n, name), damaged)
		}
	}
	missing := mem.Clone()
	must(t, missing.Remove(path.Join(testDir, id+snapSuffix)))
	check("no snapshot file", missing)
}

// What is damaged while it is read ends in an error, not in io.EOF.
func TestDamageWhileRead(t *testing.T) {
	mem, file := vfstest.NewMem(), snapshotFile(t, 200, 0)
	s := open(t, mem)
	id, err := take(s, 5, 1, file)
	must(t, err)
	_, r, err := s.Open(id)
	must(t, err)
	must(t, mem.Corrupt(path.Join(testDir, id+snapSuffix), int64(len(file)/2), 4))
	if _, err := io.ReadAll(r); !errors.Is(err, ErrCorrupt) {
		t.Errorf("%v", err)
	}
	must(t, errors.Join(r.Close(), s.Close()))
}

// script takes a few snapshots, of which more than two must go. It returns the index of the last that was acknowledged.
func script(fs vfs.FS, file []byte, done func(index uint64)) error {
	s, err := Open(testDir, &Options{FS: fs})
	if err != nil {
		return err
	}
	for index := uint64(2); index <= 6; index++ {
		if _, err := take(s, index, 1, file); err != nil {
			return errors.Join(err, s.Close())
		}
		done(index)
	}
	return s.Close()
}

// afterwards opens what a crash or an error has left: snapshots that are whole, none older than what was acknowledged, and
// nothing else.
func afterwards(fs *vfstest.Mem, file []byte, least, most uint64) error {
	s, err := Open(testDir, &Options{FS: fs})
	if err != nil {
		return err
	}
	defer s.Close()
	got, err := indexes(s, file)
	if err != nil {
		return err
	}
	newest := uint64(0)
	if len(got) > 0 {
		newest = got[0]
	}
	if newest < least || newest > most {
		return fmt.Errorf("snapshots %v, want one from %d to %d", got, least, most)
	}
	if names, err := fs.ReadDir(testDir); err != nil || len(names) != 1+2*len(got) {
		return fmt.Errorf("files %v, %w", names, err)
	}
	_, err = take(s, 100, 1, file)
	if got, lerr := indexes(s, file); err != nil || lerr != nil || got[0] != 100 || len(got) != min(2, 1+len(got)-1) {
		return fmt.Errorf("one more: %v, %w", got, errors.Join(err, lerr))
	}
	return nil
}

// Every state that a crash may leave.
func TestCrashStates(t *testing.T) {
	mem, file := vfstest.NewMem(), snapshotFile(t, 10, 0)
	mem.Record()
	type ack struct {
		index uint64
		at    int
	}
	var acks []ack
	must(t, script(mem, file, func(index uint64) { acks = append(acks, ack{index, mem.OpCount()}) }))
	var tried vfstest.Tried
	vfstest.EachCrash(t, mem, vfstest.CrashPoints{}, func(c *vfstest.Crash) error {
		least := uint64(0)
		for _, a := range acks {
			if a.at <= c.Op {
				least = a.index
			}
		}
		if tried.Before(c, least) {
			return nil
		}
		return afterwards(c.FS, file, least, max(least+1, 2))
	})
}

// An error at every operation, a short write, and a full disk.
func TestErrorAtEveryOperation(t *testing.T) {
	file := snapshotFile(t, 10, 0)
	counter := vfstest.NewFault(vfstest.NewMem())
	must(t, script(counter, file, func(uint64) {}))
	for _, cause := range []error{syscall.EIO, syscall.ENOSPC, vfstest.Short(3, syscall.ENOSPC)} {
		for n := 1; n <= counter.Count(vfstest.OpAny); n += vfstest.Step(3) {
			mem := vfstest.NewMem()
			fault := vfstest.NewFault(mem)
			fault.Inject(vfstest.FailNth(vfstest.OpAny, "", n, cause))
			least := uint64(0)
			err := script(fault, file, func(index uint64) { least = index })
			if err != nil && !errors.Is(err, syscall.EIO) && !errors.Is(err, syscall.ENOSPC) {
				t.Fatalf("error at operation %d: %v", n, err)
			}
			if err := afterwards(mem, file, least, max(least+1, 2)); err != nil {
				t.Fatalf("error at operation %d, %v: %v", n, cause, err)
			}
		}
	}
}

func TestNewerVersion(t *testing.T) {
	b, err := (&meta{SnapshotMeta: raft.SnapshotMeta{Index: 5, Term: 1, Configuration: servers}}).append(nil)
	must(t, err)
	if m, err := decodeMeta(b); err != nil || m.Index != 5 || len(m.Configuration.Servers) != 2 {
		t.Errorf("%+v, %v", m, err)
	}
	rec, _, err := wal.DecodeRecord(b)
	must(t, err)
	rec.Value[0]++
	newer, err := wal.AppendRecord(nil, &rec)
	must(t, err)
	if _, err := decodeMeta(newer); !errors.Is(err, ErrVersion) {
		t.Errorf("a newer version: %v", err)
	}
}

// No bytes make the decoder fail in another way than by an error.
func FuzzMeta(f *testing.F) {
	b, err := (&meta{SnapshotMeta: raft.SnapshotMeta{Index: 5, Term: 1, Configuration: servers}}).append(nil)
	must(f, err)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := decodeMeta(b); err == nil {
			again, err := m.append(nil)
			if err != nil {
				t.Fatal(err)
			}
			if back, err := decodeMeta(again); err != nil || back.Index != m.Index || back.digest != m.digest {
				t.Fatalf("%+v, again %+v, %v", m, back, err)
			}
		}
	})
}
