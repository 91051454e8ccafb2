package ebb

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/ebbdb/ebb/compaction"
	"github.com/ebbdb/ebb/internal/lsm"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// aside is a database some of whose tables are set apart though they can be read, beside a model: so every read has to be
// right, whatever is compacted around them.
type aside struct {
	t      *testing.T
	rand   *rand.Rand
	clock  *fakeClock
	o      *Options
	db     *DB
	model  *model
	held   []heldSnapshot
	memory int64
}

const asideKeys = 300

func asideKey(i int) string { return fmt.Sprintf("k%03d", i) }

func (a *aside) do(s step) {
	must(a.t, s.run(a.db))
	if s.apply != nil {
		s.apply(a.model)
	}
}

func (a *aside) open() {
	db, err := Open("db", a.o)
	must(a.t, err)
	db.opts.Memory = a.memory
	a.db = db
}

func (a *aside) closeSnapshots() {
	for _, s := range a.held {
		s.Close()
	}
	a.held = nil
}

func (a *aside) reopen() {
	a.closeSnapshots()
	must(a.t, a.db.Close())
	a.open()
}

func (a *aside) write() {
	r := a.rand
	i := r.IntN(asideKeys)
	switch r.IntN(13) {
	case 0:
		to := min(asideKeys, i+1+r.IntN(1+r.IntN(asideKeys)))
		a.do(deleteRangeStep(asideKey(i), asideKey(to)))
	case 1:
		a.do(deleteStep(asideKey(i)))
	case 12:
		if r.IntN(4) == 0 {
			a.do(evictStep(a.clock.ms() + int64(r.IntN(25_000))))
		}
	case 2:
		a.do(batchStep(fmt.Sprint("batch", r.Int()), 0, asideKey(i), asideKey(r.IntN(asideKeys)), asideKey((i+1)%asideKeys)))
	case 3, 4:
		from := i
		for ; i < min(from+r.IntN(40), asideKeys); i++ {
			a.do(putStep(asideKey(i), strings.Repeat("v", r.IntN(150))+fmt.Sprint(r.Int()), 0))
		}
	case 5, 6:
		d := a.clock.ms() + int64(1+r.IntN(20_000))
		from := i
		for ; i < min(from+r.IntN(40), asideKeys); i++ {
			a.do(putStep(asideKey(i), strings.Repeat("e", r.IntN(150))+fmt.Sprint(r.Int()), d+int64(r.IntN(10))))
		}
	default:
		a.do(putStep(asideKey(i), strings.Repeat("v", r.IntN(300))+fmt.Sprint(r.Int()), 0))
	}
}

// compact carries out what is picked, which comes to an end.
func (a *aside) compact(all bool) {
	db := a.db
	db.compacter.compacting.Lock()
	defer db.compacter.compacting.Unlock()
	most := 100
	for _, tables := range db.live.View().Version.Levels {
		most += 20 * len(tables)
	}
	plans, last := 0, db.live.View().Version.LastSeq
	must(a.t, db.compacter.runPlans(db.health.work, func(l *compaction.Levels, now int64, c compaction.Config) *compaction.Plan {
		if plans++; plans > most {
			a.t.Fatal("picking comes to no end")
		}
		if !all {
			c.Paid, c.AlwaysOne = a.rand.IntN(4) == 0, a.rand.IntN(2) == 0
			return compaction.Pick(l, now, c)
		}
		return compaction.PickAll(withoutNewer(l, last), now, c)
	}))
}

func (a *aside) ingest() {
	entries := map[string]modelEntry{}
	i := a.rand.IntN(asideKeys)
	for ; i < asideKeys && a.rand.IntN(30) > 0; i++ {
		entries[asideKey(i)] = modelEntry{fmt.Sprint("ingest", a.rand.Int()), 0}
		if a.rand.IntN(3) == 0 {
			entries[asideKey(i)] = modelEntry{"ingexp", a.clock.ms() + int64(1+a.rand.IntN(10000))}
		}
	}
	a.do(ingestStep(snapshotOf(a.t, a.clock, entries), entries))
}

func (a *aside) check() {
	now := a.clock.ms()
	must(a.t, a.model.compare(a.db, now))
	for i := range asideKeys {
		must(a.t, a.model.compareKey(a.db, asideKey(i), now))
	}
	for _, s := range a.held {
		if err := s.model.compare(s.Snapshot, s.now); err != nil {
			a.t.Fatal("snapshot: ", err)
		}
	}
	lsm.CheckLevels(&a.db.live.View().Version.Levels)
	if s := a.db.Stats(); s.DiskBytes < 0 || s.ReplacedTables < 0 || s.ReplacedBytes < 0 || s.LiveBytes < 0 {
		a.t.Fatalf("%+v", s)
	}
}

// round is some writes, and what may come between them.
func (a *aside) round(damage int) {
	r := a.rand
	for range 1 + r.IntN(20) {
		a.write()
	}
	a.clock.add(time.Duration(r.IntN(3000)) * time.Millisecond)
	switch r.IntN(4) {
	case 0:
		a.db.sweep()
	case 1, 2:
		must(a.t, a.db.Flush())
	default:
		must(a.t, a.db.flusher.flushFrozen())
	}
	if tables := a.db.live.View().Version.Levels[r.IntN(compaction.NumLevels)]; r.IntN(damage) == 0 && len(tables) > 0 {
		a.db.compacter.damage.setApart(tables[r.IntN(len(tables))], ErrCorrupt)
	}
	if r.IntN(3) == 0 {
		a.db.flusher.last.at.Store(nil)
	}
	if r.IntN(3) > 0 {
		a.compact(r.IntN(20) == 0)
	}
	if r.IntN(10) == 0 {
		s, err := a.db.Snapshot()
		must(a.t, err)
		a.held = append(a.held, heldSnapshot{s, a.model.clone(), a.clock.ms()})
	}
	if len(a.held) > 0 && r.IntN(10) == 0 {
		a.held[0].Close()
		a.held = a.held[1:]
	}
	if r.IntN(25) == 0 {
		a.ingest()
	}
	if r.IntN(40) == 0 {
		a.reopen()
	}
	a.check()
}

// Whatever tables are set apart, and however tables are cut, reads and snapshots show what the model does, and compaction
// comes to an end.
func TestModelWithTablesSetApart(t *testing.T) {
	for seed := range uint64(6 / vfstest.Step(3)) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 9))
			clock := newFakeClock()
			o := manualOptions(vfstest.NewMem(), clock, SyncNever)
			o.memtableSize, o.tableSize = int64(1+r.IntN(8))<<10, int64(1+r.IntN(8))<<10
			o.ExpiryEvents = r.IntN(3) == 0
			a := &aside{t: t, rand: r, clock: clock, o: o, model: newModel(clock), memory: 64 << 20}
			if r.IntN(2) == 0 {
				a.memory = 8 * (500 + r.Int64N(2000)) // cuts tables after a few entries
			}
			a.open()
			defer func() {
				a.closeSnapshots()
				a.db.Close()
			}()
			damage := 2 + r.IntN(40)
			for range 60 {
				a.round(damage)
			}
			a.db.flusher.last.at.Store(nil)
			a.compact(false)
			a.compact(true)
			a.check()
			a.reopen()
			a.check()
		})
	}
}
