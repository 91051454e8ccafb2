package ebb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/ebbdb/ebb/internal/dir"
	"github.com/ebbdb/ebb/internal/epoch"
	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// A segment of the log that somebody has removed is damage, and Verify ends. It ends with its context, too.
func TestVerifyWithoutASegment(t *testing.T) {
	for missing := range 4 {
		mem := vfstest.NewMem()
		o := manualOptions(mem, newFakeClock(), SyncAlways)
		o.memtableSize, o.RetainLog = 1<<20, 1<<20
		db := openTest(t, o)
		for i := range 200 {
			must(t, db.Put(fmt.Appendf(nil, "key%d", i), make([]byte, 100)))
			if i == 50 {
				must(t, db.Flush())
			}
		}
		must(t, db.Verify(t.Context()))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := db.Verify(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("canceled: %v", err)
		}
		name := files(t, mem, "db/wal")[missing]
		must(t, mem.Remove(name))
		isCorrupt(t, "verify", db.Verify(t.Context()), name)
		for c, err := range db.Watch(t.Context(), &WatchOptions{From: 1}) {
			if err != nil {
				isCorrupt(t, "watch", err, name)
				break
			}
			if c.Seq == 200 {
				t.Error("nothing is missing")
			}
		}
		must(t, db.Close())
	}
}

// epochMeter finds out how much of the tables is read at most during one use of the epoch. It stands in as a waiter: as long
// as its probe is not over, there are uses that were there when it began.
type epochMeter struct {
	db             *DB
	probe          epoch.Probe
	now, most, all int // bytes
}

// start begins anew, while nobody is in the epoch or waits for it.
func (m *epochMeter) start(db *DB) {
	db.health.workers.Wait()
	*m = epochMeter{db: db, probe: db.live.Probe()}
}

func (m *epochMeter) read(op vfstest.Op) error {
	switch {
	case op.Kind == vfstest.OpMap:
		return vfs.ErrNotSupported // so that all reading is seen
	case op.Kind != vfstest.OpRead || !strings.HasSuffix(op.Name, dir.TableSuffix) || m.db == nil:
		return nil
	}
	if m.probe.Over() {
		m.now, m.probe = 0, m.db.live.Probe()
	}
	m.now += op.Len
	m.all += op.Len
	m.most = max(m.most, m.now)
	return nil
}

// Nothing that reads whole tables keeps others waiting for longer than a part of them takes.
func TestUsesOfTheEpochAreShort(t *testing.T) {
	if testing.Short() {
		t.Skip("counts of one goroutine over 120,000 keys")
	}
	clock := newFakeClock()
	meter := new(epochMeter)
	fault := vfstest.NewFault(vfstest.NewMem())
	fault.Inject(meter.read)
	o := manualOptions(fault, clock, SyncNever)
	o.memtableSize, o.tableSize = 64<<20, 64<<20
	o.expiryMemory, o.ExpiryEvents = 8<<20, true
	db := openTest(t, o)
	fill := func(what string, put func(key []byte) error) {
		for i := range 40_000 {
			must(t, put(fmt.Appendf(nil, "%s with a key that is rather long %06d", what, i)))
		}
		must(t, db.Flush())
	}
	fill("kept", func(key []byte) error { return db.Put(key, key) })
	fill("expiring", func(key []byte) error { return db.Put(key, key, TTL(time.Hour)) })
	must(t, db.Put([]byte("z"), nil))
	must(t, db.Flush())
	fill("kept", func(key []byte) error { return db.Delete(key) })
	for _, c := range []struct {
		name string
		run  func() error
	}{
		{"Verify", func() error { return db.Verify(t.Context()) }},
		{"Backup", func() error { return second(db.Backup(t.Context(), io.Discard, nil)) }},
		{"the scan for expiries", db.reporter.scan},
		{"Checkpoint", func() error { return second(db.Checkpoint(t.Context(), "copy", nil)) }},
		{"Compact", func() error { return db.Compact(t.Context()) }},
	} {
		meter.start(db)
		must(t, c.run())
		if 20*meter.most > meter.all {
			t.Errorf("%s reads %d of %d bytes in one use of the epoch", c.name, meter.most, meter.all)
		}
		meter.db = nil
	}
}
