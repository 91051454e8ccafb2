package ebb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/lsm"
	"github.com/ebbdb/ebb/internal/op"
	"github.com/ebbdb/ebb/internal/op/optest"
	"github.com/ebbdb/ebb/internal/snapfile"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
	"github.com/ebbdb/ebb/wal"
)

// Whatever reads the log knows every kind of entry and of operation that is in it, and refuses one that it does not know: the
// memtable, watchers, increments of a backup, the reporting of expiries.
func TestEveryOperation(t *testing.T) {
	o := manualOptions(vfstest.NewMem(), newFakeClock(), SyncNever)
	o.ExpiryEvents = true
	db := openTest(t, o)
	db.reporter.upcoming.Fill() // as during a scan
	m := lsm.NewMem(db.pipeline.mu.mem.Hint(), 1, db.clock.Now())
	w := writers{idle: math.MaxInt64}
	b := newBackupRun(t)
	var watched []string
	for _, e := range optest.Entries() {
		must(t, applyEntry(e, m, &w, nil, db.clock))
		if e.Kind == wal.KindClock {
			continue // its readers look at the kind first
		}
		must(t, b.change(e, 0, 0))
		turn := db.pipeline.lock()
		db.reporter.applied(turn, e)
		turn.end()
		var ops op.Ops
		must(t, ops.Decode(e))
		for ops.Next() {
			c, err := changeOf(&ops.Op)
			must(t, err)
			watched = append(watched, fmt.Sprintf("%v@%d %s-%s=%s until %d of %d", c.Kind, c.Seq, c.Key, c.End, c.Value, c.Deadline,
				c.Version))
		}
	}
	compare(t, "watched", watched, "put@1 put-=value until 0 of 0", "put@2 ttl-=brief until 1125899906842624 of 0",
		"delete@3 deleted-= until 0 of 0", "delete range@4 m-n= until 0 of 0", "put@5 batch-put-=v until 0 of 0",
		"put@6 batch-ttl-= until 1125899906842624 of 0", "delete@7 batch-deleted-= until 0 of 0",
		"expire@8 expired-1-= until 1099511627777 of 2199023255557", "expire@9 expired-2-= until 1 of 1",
		"put@10 among-put-=v until 0 of 0", "delete range@11 -b= until 0 of 0", "put@12 among-ttl-=w until 1125899906842624 of 0",
		"delete range@13 o-p= until 0 of 0", "delete@14 among-deleted-= until 0 of 0", "evict@15 -= until 549755813888 of 0")
	compare(t, "in the memtable", memEntries(m), "1@14 among-deleted= until 0", "0@10 among-put=v until 0",
		"0@12 among-ttl=w until 1125899906842624", "1@7 batch-deleted= until 0", "0@5 batch-put=v until 0",
		"0@6 batch-ttl= until 1125899906842624", "1@3 deleted= until 0", "1@8 expired-1= until 0", "1@9 expired-2= until 0",
		"0@1 put=value until 0", "0@2 ttl=brief until 1125899906842624")
	if v := m.Evictions(); len(v) != 1 || v[0] != (kv.Eviction{Seq: 15, Horizon: 1 << 39}) {
		t.Errorf("evictions in the memtable: %v", v)
	}
	if s, ok := m.Writers[7]; !ok || s.Sequence != 3 || s.Version != 7 {
		t.Errorf("writer 7: %+v, %v", s, ok)
	}
	if n := b.out.Totals(); n.Entries != 11 || n.RangeDeletes != 3 {
		t.Errorf("in the increment: %+v", n)
	}
	if n := db.reporter.upcoming.Len(); n != 3 {
		t.Errorf("%d expiries to come", n)
	}

	unknown := &wal.Entry{Kind: 99, Key: []byte("k")}
	_, change := changeOf(&op.Op{Kind: op.Kinds})
	_, overwritten := db.reporter.overwrittenBy(unknown, math.MaxInt64)
	for i, err := range []error{applyEntry(unknown, m, &w, nil, db.clock), b.change(unknown, 0, 0), change, overwritten} {
		if !errors.Is(err, op.ErrUnknown) {
			t.Errorf("consumer %d of an unknown kind: %v", i, err)
		}
	}
}

func newBackupRun(t *testing.T) *backupRun {
	out, err := snapfile.NewWriter(io.Discard, snapfile.Header{Since: 1, Through: 100}, CompressionNone)
	must(t, err)
	return &backupRun{ctx: context.Background(), out: out}
}

func memEntries(m *lsm.Mem) (list []string) {
	it := m.NewIterator(math.MaxUint64)
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		e := it.Entry()
		list = append(list, fmt.Sprintf("%d@%d %s=%s until %d", e.Kind, e.Seq, e.Key, e.Value, e.Deadline))
	}
	return list
}

func compare(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("%s:\n%s\nwant\n%s", what, g, w)
	}
}
