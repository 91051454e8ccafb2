package wal

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"syscall"
	"testing"

	"pgregory.net/rapid"

	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// A record in pieces is the record.
func TestAppendRecordSplit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bytesOf := func(name string) []byte { return rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, name) }
		r := Record{Key: bytesOf("key"), HasTTL: rapid.Bool().Draw(t, "ttl")}
		if r.HasTTL {
			r.TTL = rapid.Uint64().Draw(t, "TTL")
		}
		dst, parts := bytesOf("dst"), [][]byte{}
		for range rapid.IntRange(0, 3).Draw(t, "parts") {
			parts = append(parts, bytesOf("part"))
		}
		before, after, err := AppendRecordSplit(bytes.Clone(dst), &r, parts...)
		if err != nil {
			t.Fatal(err)
		}
		if len(parts) > 0 {
			before = append(before, parts[len(parts)-1]...)
		}
		r.Value = bytes.Join(parts, nil)
		want, err := AppendRecord(bytes.Clone(dst), &r)
		if err != nil || !bytes.Equal(append(before, after[:]...), want) {
			t.Fatalf("%x and %x, want %x, %v", before, after, want, err)
		}
	})
}

const largeValue = 64 << 10 // Options.directFrom

// largeEntries are entries with values that are not copied, alone and among others.
func largeEntries() (groups [][]Entry) {
	value := func(n int, b byte) []byte { return bytes.Repeat([]byte{b, 0, 1}, n/3+1)[:n] }
	put := func(n int) Entry { return Entry{Key: fmt.Appendf(nil, "key%d", n), Value: value(n, byte(n))} }
	withTTL := put(largeValue + 1)
	withTTL.Deadline = 1<<41 + 77
	batch := Entry{Kind: KindBatch, Value: value(largeValue+5, 'b'), Ops: 300}
	end := Entry{Kind: KindRangeDelete, Key: []byte("a"), Value: value(MaxKeySize/32, 'r')}
	return [][]Entry{
		{put(largeValue - 1)}, {put(largeValue)}, {withTTL}, {batch},
		{put(10), put(largeValue + 2), put(11)}, {put(largeValue + 3), batch, put(largeValue + 4), withTTL},
		{end, batch, {Kind: KindDelete, Key: []byte("k"), Value: value(largeValue, 'd')}}, {put(3 << 20)},
	}
}

// Large values come back as they were written, whoever they stand beside and wherever a segment ends, whether they are
// mapped or written.
func TestLargeValues(t *testing.T) {
	for _, noMap := range []bool{false, true} {
		for _, policy := range []SyncPolicy{SyncAlways, SyncNever} {
			mem := vfstest.NewMem()
			fault := vfstest.NewFault(mem)
			if noMap {
				fault.Inject(vfstest.FailFrom(vfstest.OpMapWrites, "", 1, vfs.ErrNotSupported))
			}
			o := testOptions(fault, policy)
			o.SegmentSize, o.directFrom = 1<<20, largeValue
			l, _ := open(t, o)
			var want []Entry
			for _, group := range largeEntries() {
				if err := l.AppendAll(group); err != nil {
					t.Fatal(err)
				}
				l.mu.Lock()
				kept := l.mu.stage.large != nil
				l.mu.Unlock()
				if kept {
					t.Fatal("a value is kept")
				}
				for i := range group {
					want = append(want, clone(&group[i]))
				}
			}
			for i := range want {
				if want[i].Kind == KindDelete {
					want[i].Value = nil
				}
			}
			closeLog(t, l)
			l, got := open(t, o)
			if err := sameEntries(got, want); err != nil {
				t.Errorf("mapped %v, policy %d: %v", !noMap, policy, err)
			}
			closeLog(t, l)
		}
	}
}

// A large value is neither copied nor kept.
func TestLargeValuesAreNotCopied(t *testing.T) {
	o := testOptions(vfs.OS, SyncNever)
	o.directFrom = largeValue
	dir := t.TempDir()
	l, err := Open(dir, &o)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	e := Entry{Key: []byte("k"), Value: make([]byte, 8<<20)}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	const n = 8
	for range n {
		if err := l.Append(&e); err != nil {
			t.Fatal(err)
		}
	}
	runtime.ReadMemStats(&after)
	if each := (after.TotalAlloc - before.TotalAlloc) / n; each > 1<<20 {
		t.Errorf("%d bytes are allocated for a value of %d", each, len(e.Value))
	}
}

// Whichever of the writes of a large value finds the disk full, the value is not there, and what is written later is.
func TestLargeValuesOnAFullDisk(t *testing.T) {
	for n := 1; ; n++ {
		mem := vfstest.NewMem()
		mem.Record()
		fault := vfstest.NewFault(mem)
		o := testOptions(fault, SyncAlways)
		o.directFrom = largeValue
		l, _ := open(t, o)
		first, large, last := put(1), Entry{Key: []byte("k"), Value: make([]byte, largeValue)}, put(2)
		if err := l.Append(&first); err != nil {
			t.Fatal(err)
		}
		fault.Inject(vfstest.FailNth(vfstest.OpWrite, "", n, syscall.ENOSPC))
		err := l.Append(&large)
		fault.Inject(nil)
		if err := l.Append(&last); err != nil {
			t.Fatal(err)
		}
		want := []Entry{first, last}
		if err == nil {
			want = []Entry{first, large, last}
		} else if !errors.Is(err, ErrNoSpace) {
			t.Fatal(err)
		}
		crashNow(t, mem, func(c *vfstest.Crash) error {
			o.FS = c.FS
			l, got, err := tryOpen(o)
			if err != nil {
				return fmt.Errorf("write %d: %w", n, err)
			}
			return errors.Join(sameEntries(got, want), l.Close())
		})
		closeLog(t, l)
		if err == nil {
			if n < 4 {
				t.Errorf("only %d writes", n-1)
			}
			return
		}
	}
}
