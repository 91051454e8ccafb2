package ebb

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ebbdb/ebb/compaction"
	"github.com/ebbdb/ebb/internal/dir"
	"github.com/ebbdb/ebb/internal/lsm"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// hurt is a database that goes on with damaged tables, beside a model of it.
type hurt struct {
	t      *testing.T
	rand   *rand.Rand
	mem    *vfstest.Mem
	o      *Options
	db     *DB
	model  *model
	bad    map[string]bool // keys that may be unreadable: they were in or about a damaged table, and not written since
	damage int             // tables that were damaged
	told   recorder
}

const hurtKeys = 600

func hurtKey(i int) string { return fmt.Sprintf("key%04d", i) }

func newHurt(t *testing.T, seed uint64) *hurt {
	h := &hurt{t: t, rand: rand.New(rand.NewPCG(seed, 1)), mem: vfstest.NewMem(), bad: map[string]bool{}}
	clock := newFakeClock()
	h.model = newModel(clock)
	h.o = manualOptions(h.mem, clock, SyncNever)
	h.o.OnEvent = h.told.onEvent
	h.open()
	for i := range hurtKeys {
		h.put(i)
	}
	must(t, h.db.Compact(t.Context()))
	return h
}

func (h *hurt) open() {
	db, err := Open("db", h.o)
	must(h.t, err)
	h.db = db
}

func (h *hurt) put(i int) {
	s := putStep(hurtKey(i), fmt.Sprint(strings.Repeat("v", 50+h.rand.IntN(100)), h.rand.Int()), 0)
	if h.rand.IntN(4) == 0 {
		s = putStep(hurtKey(i), "expires", h.model.clock.ms()+int64(h.rand.IntN(20_000)))
	}
	h.do(s, i, i+1)
}

// do takes a step that writes to the keys from one to another.
func (h *hurt) do(s step, from, to int) {
	must(h.t, s.run(h.db))
	s.apply(h.model)
	for i := from; i < to; i++ {
		delete(h.bad, hurtKey(i))
	}
}

// strike damages a table of a level, if there is one, while the database is closed.
func (h *hurt) strike(level int) {
	tables := h.db.live.View().Version.Levels[level]
	must(h.t, h.db.Close())
	if len(tables) > 0 {
		table := tables[h.rand.IntN(len(tables))]
		off, bit := table.Size/8+h.rand.Int64N(table.Size/4), byte(1<<h.rand.IntN(8))
		must(h.t, h.mem.Corrupt(h.db.dir.Table(table.File), off, bit))
		if db, err := Open("db", h.o); err != nil { // the index, without which nothing can be read
			isCorrupt(h.t, "open", err, h.db.dir.Table(table.File))
			must(h.t, h.mem.Corrupt(h.db.dir.Table(table.File), off, bit))
			h.open()
			return
		} else {
			must(h.t, db.Close())
		}
		h.damage++
		for i := range hurtKeys {
			if table.Covers([]byte(hurtKey(i))) {
				h.bad[hurtKey(i)] = true
			}
		}
	}
	h.open()
}

// live writes until there have been so many flushes.
func (h *hurt) live(flushes int) {
	for range flushes {
		for range 1 + h.rand.IntN(20) {
			i := h.rand.IntN(hurtKeys)
			switch h.rand.IntN(10) {
			case 0:
				to := min(hurtKeys, i+h.rand.IntN(20)+1)
				h.do(deleteRangeStep(hurtKey(i), hurtKey(to)), i, to)
			case 1, 2:
				h.do(deleteStep(hurtKey(i)), i, i+1)
			default:
				h.put(i)
			}
		}
		h.model.clock.add(time.Duration(h.rand.IntN(500)) * time.Millisecond)
		must(h.t, h.db.Flush())
		h.db.sweep()
		if h.rand.IntN(10) == 0 {
			settle(h.t, h.db)
		} else {
			compact(h.t, h.db)
		}
		if n := len(h.db.live.View().Version.Levels[0]); n >= slowAt || h.db.stall.pressure.Load() != pressureNone {
			h.t.Fatalf("%d tables in level 0, pressure %d", n, h.db.stall.pressure.Load())
		}
	}
}

// check reads every key: what is not damaged is right, what is damaged is told, and nothing else is.
func (h *hurt) check() {
	now := h.model.clock.ms()
	for i := range hurtKeys {
		key := hurtKey(i)
		if _, err := h.db.Get([]byte(key)); h.bad[key] && errors.Is(err, ErrCorrupt) {
			continue
		}
		must(h.t, h.model.compareKey(h.db, key, now))
		if i%20 > 0 {
			continue
		}
		for e, err := range h.db.Range(&IterOptions{Start: []byte(key), Limit: 1}) {
			if err == nil {
				err = h.model.same(string(e.Key), e, now)
			}
			if err != nil && !errors.Is(err, ErrCorrupt) { // what is damaged is read, whatever hides it
				h.t.Fatal(err)
			}
		}
	}
}

// With damaged tables, wherever they are, writes go on, compaction goes on around them, and no read is wrong.
func TestLifeWithDamagedTables(t *testing.T) {
	for seed := range uint64(8 / vfstest.Step(4)) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			h := newHurt(t, seed)
			defer func() { h.db.Close() }()
			for _, level := range []int{6, 0, 5, 6}[:1+seed%4] {
				h.strike(level)
				for range 5 {
					h.live(20)
					h.check()
				}
			}
			s := h.db.Stats()
			told := map[uint64]bool{}
			for _, e := range h.told.take(t, h.db) {
				switch e := e.(type) {
				case TableDamaged:
					if !errors.Is(e.Err, ErrCorrupt) || e.Bytes == 0 {
						t.Errorf("%+v", e)
					}
					told[e.Table] = true
				case BackgroundError:
					t.Errorf("%+v", e)
				}
			}
			if s.DamagedTables > h.damage || len(told) < s.DamagedTables || s.DamagedTables > 0 == (s.DamagedBytes == 0) {
				t.Errorf("%d tables of %d bytes are damaged, %d were told, %d struck", s.DamagedTables, s.DamagedBytes, len(told), h.damage)
			}
			err := h.db.Compact(t.Context())
			if s = h.db.Stats(); errors.Is(err, ErrCorrupt) != (s.DamagedTables > 0) {
				t.Errorf("compact: %v with %d damaged tables", err, s.DamagedTables)
			}
			h.check()
		})
	}
}

// setAllApart sets all tables apart.
func setAllApart(db *DB) {
	for _, t := range db.live.View().Version.Levels.All() {
		db.compacter.damage.setApart(t, ErrCorrupt)
	}
}

// What cannot leave level 0 comes to rest there, however many tables hold so much by the memory that building one may take.
func TestRestingAboveDamage(t *testing.T) {
	o := manualOptions(vfstest.NewMem(), newFakeClock(), SyncNever)
	o.memtableSize, o.tableSize = 1<<20, 1<<20
	db := openTest(t, o)
	fill := func() {
		for i := range 50 {
			must(t, db.Put([]byte(hurtKey(i)), nil))
		}
		must(t, db.Flush())
	}
	for range compaction.NumLevels {
		fill()
		settle(t, db)
		setAllApart(db)
	}
	must(t, db.Close())
	o.buildMemory = 1
	db = openTest(t, o)
	setAllApart(db)
	for range 3 {
		fill()
	}
	db.flusher.last.at.Store(nil)
	plans := 0
	db.compacter.compacting.Lock()
	defer db.compacter.compacting.Unlock()
	must(t, db.compacter.runPlans(t.Context(), func(l *compaction.Levels, now int64, c compaction.Config) *compaction.Plan {
		if plans++; plans > 10 {
			t.Fatalf("%d tables of level 0 are merged again and again", len(l[0]))
		}
		return compaction.Pick(l, now, c)
	}))
	if n := len(db.live.View().Version.Levels[0]); n != 2 {
		t.Errorf("%d tables in level 0, want the damaged one and the rest", n)
	}
}

// Compact comes to an end beside a damaged table, however much is written meanwhile.
func TestCompactBesideDamageAndWriters(t *testing.T) {
	mem := vfstest.NewMem()
	fault := vfstest.NewFault(mem)
	db := openTest(t, manualOptions(fault, newFakeClock(), SyncNever))
	write := func() {
		for i := range hurtKeys / 10 {
			must(t, db.Put([]byte(hurtKey(i)), make([]byte, 100)))
		}
		must(t, db.Flush())
	}
	write()
	must(t, db.Compact(t.Context()))
	db.compacter.damage.setApart(db.live.View().Version.Levels[compaction.NumLevels-1][0], ErrCorrupt)
	rounds, busy := 0, false
	fault.Inject(func(op vfstest.Op) error {
		if op.Kind == vfstest.OpCreate && strings.HasSuffix(op.Name, dir.TableSuffix) && !busy && rounds < 50 {
			busy = true // a table of Compact: writers fill level 0
			for range 8 {
				write()
			}
			busy = false
			rounds++
		}
		return nil
	})
	busy = true
	write()
	busy = false
	if err := db.Compact(t.Context()); !errors.Is(err, ErrCorrupt) {
		t.Errorf("compact: %v", err)
	}
	if fault.Inject(nil); rounds == 0 || rounds == 50 {
		t.Errorf("Compact has made %d tables of what is written meanwhile", rounds)
	}
}

// A table that the disk does not give is set apart like one that is damaged, and tried again after a time.
func TestUnreadTableIsTriedAgain(t *testing.T) {
	o := manualOptions(vfstest.NewMem(), newFakeClock(), SyncNever)
	now := time.Now()
	o.sys.now = func() time.Time { return now }
	db := openTest(t, o)
	must(t, db.Put([]byte("k"), nil))
	must(t, db.Flush())
	table := db.live.View().Version.Levels[0][0]
	for _, c := range []struct {
		err   error
		after time.Duration
		known int
	}{{syscall.EIO, 0, 1}, {syscall.EIO, 2 * retryUnread, 0}, {fmt.Errorf("block: %w", ErrCorrupt), 2 * retryUnread, 1}} {
		db.compacter.damage.mu.tables = nil
		db.compacter.damage.setApart(table, c.err)
		now = now.Add(c.after)
		if s := db.Stats(); s.DamagedTables != c.known {
			t.Errorf("%v after %v: %d damaged tables", c.err, c.after, s.DamagedTables)
		}
	}
}

// A writer that waits is told the failure of what it waits for, and of nothing else.
func TestWritersAreToldWhatTheyWaitFor(t *testing.T) {
	o := manualOptions(vfstest.NewMem(), newFakeClock(), SyncNever)
	o.manual = false
	db := openTest(t, o)
	failure := fmt.Errorf("that of others")
	db.compacter.compacting.Lock() // so that no success takes the failure back
	defer db.compacter.compacting.Unlock()
	db.compacter.failed.Store(&failure)
	db.flusher.flushing.Lock()
	full := make([]byte, o.memtableSize)
	for len(db.live.View().Frozen) < lsm.MaxFrozen || db.stall.pressure.Load() != pressureFlush {
		must(t, db.Put([]byte("k"), full))
	}
	put := make(chan error)
	go func() { put <- db.Put([]byte("k"), nil) }()
	for db.stats.stopped.Load() == 0 {
		runtime.Gosched()
	}
	db.stall.wake()
	db.flusher.flushing.Unlock()
	must(t, <-put)
	for pressure, want := range map[int32]error{pressureFlush: nil, pressureCompact: failure} {
		db.stall.pressure.Store(pressure)
		if err := db.stall.awaited(); err != want {
			t.Errorf("pressure %d: %v, want %v", pressure, err, want)
		}
	}
	db.stall.pressure.Store(pressureNone)
}
