package raftlog

import (
	"path"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/ebbdb/ebb/internal/vfs/vfstest"
	"github.com/ebbdb/ebb/wal"
)

// Records of any keys and values, rightly checksummed, and bytes that are none: Open refuses them, or what it has opened can
// be read, written and opened again.
func FuzzOpen(f *testing.F) {
	f.Add([]byte("c"), (&checkpoint{first: 3}).append(nil), appendIndexKey(nil, kindBegin, 4), appendEntry(nil, entry(4, 1, 8), 3), []byte{})
	f.Add([]byte("c"), (&checkpoint{}).append(nil), appendIndexKey(nil, kindCut, 4), []byte{}, []byte{1, 2, 3})
	f.Add(appendIndexKey(nil, kindEntry, 9), appendEntry(nil, entry(9, 1, 8), 9), []byte("c"), (&checkpoint{first: 8}).append(nil), []byte{0, 9})
	f.Add([]byte("sterm"), []byte("12345678"), []byte("c"), (&checkpoint{first: 1 << 63}).append(nil), []byte{})
	f.Fuzz(func(t *testing.T, key1, value1, key2, value2, torn []byte) {
		mem := vfstest.NewMem()
		l, err := wal.Open(testDir, &wal.Options{FS: mem, SegmentSize: 512})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range []wal.Entry{{Key: key1, Value: value1}, {Key: key2, Value: value2}} {
			if err := l.Append(&e); err != nil && len(e.Key) > 0 {
				t.Fatal(err)
			}
		}
		name := path.Join(testDir, wal.SegmentName(l.End().Segment))
		data, err := mem.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		data = append(data[:l.End().Offset], torn...)
		killed := mem.Clone()
		closeLog(t, l)
		if err := killed.WriteFile(name, data); err != nil {
			t.Fatal(err)
		}
		_, verr := Verify(testDir, testOptions(killed))
		s, err := Open(testDir, testOptions(killed))
		if (err == nil) != (verr == nil) {
			t.Fatalf("open: %v, verify: %v", err, verr)
		}
		if err != nil {
			return
		}
		first, _ := s.FirstIndex()
		last, _ := s.LastIndex()
		for i := first; i <= last && i > 0; i++ {
			if err := s.GetLog(i, new(raft.Log)); err != nil {
				t.Fatalf("entry %d of %d to %d: %v", i, first, last, err)
			}
		}
		if last < 1<<62 {
			if err := s.StoreLog(entry(last+1, 9, 10)); err != nil {
				t.Fatal(err)
			}
		}
		closeStore(t, s)
		closeStore(t, open(t, killed))
	})
}

func closeLog(t testing.TB, l *wal.Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}
