package copies

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/manifest"
	"github.com/ebbdb/ebb/internal/snapfile"
	"github.com/ebbdb/ebb/internal/table"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
	"github.com/ebbdb/ebb/wal"
)

var database = [16]byte{1, 2, 3}

// snapshot writes a snapshot file of puts with these sequences, under keys k000 on; where one has a deadline, it is 5000.
func snapshot(t *testing.T, since, through uint64, seqs ...uint64) []byte {
	t.Helper()
	var file bytes.Buffer
	h := snapfile.Header{Database: database, Since: since, Through: through, Clock: 4000}
	w, err := snapfile.NewWriter(&file, h, wal.CompressionNone)
	must(t, err)
	for i, seq := range seqs {
		e := kv.Entry{Key: fmt.Appendf(nil, "k%03d", i), Value: fmt.Appendf(nil, "%0100d", seq), Seq: seq}
		if i%2 == 1 {
			e.Deadline = 5000
		}
		must(t, w.Add(&e))
	}
	must(t, w.AddWriters([]snapfile.WriterState{{ID: 7, Sequence: int32(through)}}))
	must(t, w.Finish())
	return file.Bytes()
}

func restoreOptions(mem *vfstest.Mem, ms int64) *RestoreOptions {
	return &RestoreOptions{
		FS: mem, Clock: func() time.Time { return time.UnixMilli(ms) }, Random: func([]byte) {}, MemtableSize: 8 << 10,
		TableSize: 4 << 10, Memory: 1 << 20,
	}
}

func readers(files ...[]byte) []io.Reader {
	list := make([]io.Reader, len(files))
	for i, f := range files {
		list[i] = bytes.NewReader(f)
	}
	return list
}

func TestRestore(t *testing.T) {
	seqs := make([]uint64, 200)
	for i := range seqs {
		seqs[i] = uint64(300 - i) // in no order of time
	}
	full := snapshot(t, 0, 300, seqs...)
	increment := snapshot(t, 300, 310, 301, 302, 303)
	for _, c := range []struct {
		name    string
		clock   int64
		files   [][]byte
		through uint64
		level0  bool
		entries uint64
	}{
		{"full", 4500, [][]byte{full}, 300, false, 200},
		{"expired since", 6000, [][]byte{full}, 300, false, 100},
		{"by the clock of the file", 1000, [][]byte{full}, 300, false, 200},
		{"an increment", 4500, [][]byte{full, increment}, 310, true, 203},
		{"an increment twice", 4500, [][]byte{full, increment, increment}, 310, true, 203},
	} {
		t.Run(c.name, func(t *testing.T) {
			mem := vfstest.NewMem()
			must(t, Restore(t.Context(), "db", restoreOptions(mem, c.clock), readers(c.files...)))
			state, err := manifest.Load(mem, "db")
			must(t, err)
			if state.Database == database || state.LastSeq != c.through || state.Clock != max(c.clock, 4000) {
				t.Errorf("%+v", state)
			}
			if len(state.Writers) != 1 || state.Writers[0].ID != 7 || uint64(state.Writers[0].Sequence) != c.through {
				t.Errorf("writers %+v", state.Writers)
			}
			entries, level0 := uint64(0), false
			for _, ref := range state.Tables {
				id := table.Identity{Database: state.Database, File: ref.File}
				r, err := table.Open(mem, fmt.Sprintf("db/tables/%06d.tbl", ref.File), id, nil)
				must(t, err)
				must(t, errors.Join(r.Verify(t.Context()), r.Close()))
				entries += ref.Entries
				level0 = level0 || ref.Level == 0
			}
			if entries != c.entries || level0 != c.level0 || len(state.Tables) < 2 {
				t.Errorf("%d entries in %+v", entries, state.Tables)
			}
		})
	}
}

func TestSnapshotOrder(t *testing.T) {
	full, second, third := snapshot(t, 0, 10, 1), snapshot(t, 10, 20, 11), snapshot(t, 20, 30, 21)
	for _, c := range []struct {
		name  string
		files [][]byte
	}{
		{"none", nil}, {"an increment first", [][]byte{second}}, {"two full ones", [][]byte{full, full}},
		{"one is missing", [][]byte{full, third}},
	} {
		t.Run(c.name, func(t *testing.T) {
			mem := vfstest.NewMem()
			if err := Restore(t.Context(), "db", restoreOptions(mem, 4500), readers(c.files...)); !errors.Is(err, ErrSnapshotOrder) {
				t.Error(err)
			}
			if names, err := mem.ReadDir("."); err != nil || len(names) != 0 {
				t.Errorf("%q is left, %v", names, err)
			}
		})
	}
}

// A Source gives every entry that has not expired the sequence that it is told to.
func TestSource(t *testing.T) {
	for _, c := range []struct {
		name     string
		now      int64
		seq      uint64
		wantKeys string
		wantSeqs string
	}{
		{"all", 0, 0, "[k000 k001 k002]", "[9 8 7]"},
		{"those that live", 5000, 0, "[k000 k002]", "[9 7]"},
		{"as of one sequence", 0, 77, "[k000 k001 k002]", "[77 77 77]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			file, err := Open(bytes.NewReader(snapshot(t, 0, 10, 9, 8, 7)), 0)
			must(t, err)
			told := 0
			p := NewProgress(func(entries uint64, bytes int64) { told += int(entries) })
			s := NewSource(file, p)
			s.Now, s.Seq = c.now, c.seq
			var keys []string
			var seqs []uint64
			for ok := s.First(); ok; ok = s.Next() {
				keys, seqs = append(keys, string(s.Entry().Key)), append(seqs, s.Entry().Seq)
			}
			p.End(file)
			if fmt.Sprint(keys) != c.wantKeys || fmt.Sprint(seqs) != c.wantSeqs || s.Err() != nil || told != 3 {
				t.Errorf("%v %v, %v, told %d", keys, seqs, s.Err(), told)
			}
		})
	}
	damaged := snapshot(t, 0, 10, 9, 8, 7)
	damaged[len(damaged)-20] ^= 1
	file, err := Open(named{bytes.NewReader(damaged)}, 0)
	must(t, err)
	s := NewSource(file, NewProgress(nil))
	for ok := s.First(); ok; ok = s.Next() {
	}
	if s.Err() == nil {
		t.Error("damage is the end of the file")
	}
}
