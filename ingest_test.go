package ebb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ebbdb/ebb/internal/copies"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// snapshotOf returns a full snapshot file of a database with the given entries, as the model has them.
func snapshotOf(t *testing.T, clock *fakeClock, entries map[string]modelEntry) []byte {
	t.Helper()
	db, err := Open("source", roomyOptions(vfstest.NewMem(), clock))
	must(t, err)
	for k, e := range entries {
		must(t, putStep(k, e.value, e.deadline).run(db))
	}
	data, _ := takeBackup(t, db, nil)
	must(t, db.Close())
	return data
}

// ingestStep ingests a snapshot file.
func ingestStep(data []byte, entries map[string]modelEntry) step {
	s := writeStep("ingest", func(db *DB) error {
		_, err := db.Ingest(context.Background(), bytes.NewReader(data), nil)
		return err
	}, func(m *model) {
		for k, e := range entries {
			m.entries[k] = e
		}
	}, 1)
	s.syncs = true
	return s
}

// ingested is what tests ingest: it replaces, adds, and brings deadlines.
func ingested(clock *fakeClock) map[string]modelEntry {
	entries := map[string]modelEntry{
		"a": {"ingested", 0}, "d": {"ingested", clock.ms() + 3000}, "k": {"ingested", clock.ms() + 90_000}, "new": {"ingested", 0},
	}
	for i := range 30 {
		entries[fmt.Sprintf("r%03d", i)] = modelEntry{strings.Repeat("r", 300), 0}
	}
	return entries
}

// An Ingest at any point of a database's life does what a batch of puts would do, and what follows goes on from there.
func TestIngest(t *testing.T) {
	for at := range lifeScript(newFakeClock()) {
		mem, clock := vfstest.NewMem(), newFakeClock()
		db := openTest(t, manualOptions(mem, clock, SyncAlways))
		m := newModel(clock)
		for i, s := range lifeScript(clock) {
			must(t, s.run(db))
			if s.apply != nil {
				s.apply(m)
			}
			if i == at {
				snapshot, err := db.Snapshot()
				must(t, err)
				before, now, last := m.clone(), clock.ms(), lastSeq(db)
				entries := ingested(clock)
				info, err := db.Ingest(context.Background(), bytes.NewReader(snapshotOf(t, clock, entries)), nil)
				must(t, err)
				ingestStep(nil, entries).apply(m)
				must(t, before.compare(snapshot, now))
				snapshot.Close()
				if info.Version <= last || info.Entries != uint64(len(entries)) || lastSeq(db) != info.Version {
					t.Fatalf("%+v, after sequence %d", info, last)
				}
				if e, err := db.GetEntry([]byte("a")); err != nil || e.Version != info.Version {
					t.Fatalf("%+v, %v: want version %d", e, err, info.Version)
				}
			}
			if err := m.compare(db, clock.ms()); err != nil {
				t.Fatalf("ingested after step %d, after %d (%s): %v", at, i, s.name, err)
			}
		}
		must(t, db.Verify(context.Background()))
		must(t, reopenAndWrite(db, manualOptions(mem, clock, SyncAlways), m))
	}
}

// What is written while the tables are built is older than they are, what is written later is newer.
func TestIngestOrder(t *testing.T) {
	mem, clock := vfstest.NewMem(), newFakeClock()
	source := openTest(t, roomyOptions(vfstest.NewMem(), clock))
	fill(t, source, 2000)
	data, _ := takeBackup(t, source, nil)
	db := openTest(t, manualOptions(mem, clock, SyncAlways))
	meanwhile := 0
	info, err := db.Ingest(context.Background(), bytes.NewReader(data), &IngestOptions{Progress: func(p Progress) {
		meanwhile++
		must(t, db.Put([]byte("key00000"), []byte("meanwhile")))
		must(t, db.Put([]byte(fmt.Sprintf("meanwhile%d", meanwhile)), []byte("1")))
		if meanwhile == 1 {
			must(t, db.Flush())
		}
	}})
	must(t, err)
	must(t, db.Put([]byte("key00001"), []byte("later")))
	c := content{db}
	c.has(t, "key00000", strings.Repeat("value", 200))
	c.has(t, "key00001", "later")
	c.has(t, "meanwhile1", "1")
	if e, err := db.GetEntry([]byte("key00001")); err != nil || e.Version != info.Version+1 {
		t.Errorf("version %d, %v, want %d", e.Version, err, info.Version+1)
	}
	must(t, db.Close())
	db, err = Open("db", manualOptions(mem, clock, SyncAlways))
	must(t, err)
	defer db.Close()
	c = content{db}
	c.has(t, "key00000", strings.Repeat("value", 200))
	c.has(t, "key00001", "later")
	c.has(t, fmt.Sprintf("meanwhile%d", meanwhile), "1")
}

// Into an empty database the tables go to the last level, and nothing is left to compact.
func TestIngestGoesDeep(t *testing.T) {
	mem, clock := vfstest.NewMem(), newFakeClock()
	db := openTest(t, manualOptions(mem, clock, SyncAlways))
	must(t, ingestStep(snapshotOf(t, clock, ingested(clock)), nil).run(db))
	if l := db.Stats().Levels; l[0].Tables != 0 || l[len(l)-1].Tables == 0 {
		t.Errorf("%+v", l)
	}
	must(t, ingestStep(snapshotOf(t, clock, map[string]modelEntry{"z": {"1", 0}}), nil).run(db))
	must(t, ingestStep(snapshotOf(t, clock, map[string]modelEntry{"a": {"1", 0}}), nil).run(db))
	if l := db.Stats().Levels; l[0].Tables != 0 || l[len(l)-2].Tables != 1 {
		t.Errorf("%+v", l)
	}
	content{db}.has(t, "a", "1")
}

// Writes that come after the last flush before the commit are older than the ingested, and survive a crash.
func TestIngestFlushesTheRest(t *testing.T) {
	mem, clock := vfstest.NewMem(), newFakeClock()
	db := openTest(t, manualOptions(mem, clock, SyncAlways))
	entries := ingested(clock)
	m := newModel(clock)
	file, err := copies.Open(bytes.NewReader(snapshotOf(t, clock, entries)), 0)
	must(t, err)
	seq := db.log.NextSeq() + ingestAhead
	built, err := db.buildIngest(context.Background(), file, seq, nil)
	must(t, err)
	for _, s := range []step{putStep("a", "rest", 0), putStep("rest", "1", 0)} {
		must(t, s.run(db))
		s.apply(m)
	}
	_, err = db.commitIngest(built.Tables, seq)
	must(t, err)
	ingestStep(nil, entries).apply(m)
	must(t, m.compare(db, clock.ms()))
	killed := mem.Clone()
	must(t, db.Close())
	o := manualOptions(killed, clock, SyncAlways)
	db, err = Open("db", o)
	must(t, err)
	must(t, m.compare(db, clock.ms()))
	must(t, reopenAndWrite(db, o, m))
}

// More writes than there is room for before the sequence of the tables make it fail, and change nothing.
func TestIngestOvertaken(t *testing.T) {
	mem, clock := vfstest.NewMem(), newFakeClock()
	db := openTest(t, manualOptions(mem, clock, SyncAlways))
	m := newModel(clock)
	file, err := copies.Open(bytes.NewReader(snapshotOf(t, clock, ingested(clock))), 0)
	must(t, err)
	seq := db.log.NextSeq() + 1
	built, err := db.buildIngest(context.Background(), file, seq, nil)
	must(t, err)
	for _, key := range []string{"a", "b", "c"} {
		s := putStep(key, "1", 0)
		must(t, s.run(db))
		s.apply(m)
	}
	if _, err := db.commitIngest(built.Tables, seq); err == nil {
		t.Error("committed below what was written")
	}
	must(t, m.compare(db, clock.ms()))
	must(t, reopenAndWrite(db, manualOptions(mem, clock, SyncAlways), m))
}

// A checkpoint and a backup of a database whose last write was an Ingest go on behind it.
func TestIngestThenCopy(t *testing.T) {
	mem, clock := vfstest.NewMem(), newFakeClock()
	db := openTest(t, manualOptions(mem, clock, SyncAlways))
	m := newModel(clock)
	entries := ingested(clock)
	for _, s := range []step{putStep("b", "1", 0), ingestStep(snapshotOf(t, clock, entries), entries)} {
		must(t, s.run(db))
		s.apply(m)
	}
	want, err := entriesOf(db)
	must(t, err)
	info, err := db.Checkpoint(context.Background(), "checkpoint", nil)
	must(t, err)
	checkRestored(t, "checkpoint", mem, clock, "checkpoint", want, info.Through, m)
	data, _ := takeBackup(t, db, nil)
	must(t, restoreTo(mem, clock, "restored", data))
	checkRestored(t, "restored", mem, clock, "restored", want, info.Through, m)
}

func TestIngestRefuses(t *testing.T) {
	mem, clock := vfstest.NewMem(), newFakeClock()
	db := openTest(t, manualOptions(mem, clock, SyncAlways))
	must(t, putStep("a", "1", 0).run(db))
	must(t, db.Flush())
	source, files0 := chainOf(t, vfstest.NewMem(), clock)
	must(t, source.Close())
	tables, seq := files(t, mem, "db/tables"), lastSeq(db)
	ingest := func(data []byte) error {
		_, err := db.Ingest(context.Background(), bytes.NewReader(data), nil)
		return err
	}
	unchanged := func(what string) {
		t.Helper()
		if now := files(t, mem, "db/tables"); !slices.Equal(now, tables) || lastSeq(db) != seq {
			t.Fatalf("%s: %q, sequence %d", what, now, lastSeq(db))
		}
	}
	if err := ingest(files0[1]); !errors.Is(err, ErrSnapshotOrder) {
		t.Errorf("an increment: %v", err)
	}
	for n := 0; n < len(files0[0]); n += 7 {
		if err := ingest(files0[0][:n]); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("cut at %d: %v", n, err)
		}
		flipped := bytes.Clone(files0[0])
		flipped[n] ^= 4
		if err := ingest(flipped); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("bit flipped in byte %d: %v", n, err)
		}
		unchanged("damaged")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := db.Ingest(ctx, bytes.NewReader(files0[0]), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	empty := openTest(t, manualOptions(vfstest.NewMem(), clock, SyncAlways))
	nothing, _ := takeBackup(t, empty, nil)
	must(t, ingest(nothing))
	unchanged("nothing to ingest")
	must(t, db.Close())
	if err := ingest(files0[0]); !errors.Is(err, ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

// Entries that had expired are not brought, and do not take away what is there.
func TestIngestExpired(t *testing.T) {
	clock := newFakeClock()
	data := snapshotOf(t, clock, map[string]modelEntry{"a": {"2", clock.ms() + 100}, "b": {"2", clock.ms() + 9000}})
	db := openTest(t, manualOptions(vfstest.NewMem(), clock, SyncAlways))
	must(t, putStep("a", "1", 0).run(db))
	clock.add(1e9)
	must(t, ingestStep(data, nil).run(db))
	content{db}.has(t, "a", "1")
	content{db}.has(t, "b", "2")
	clock.add(8e9)
	content{db}.lacks(t, "b")
}

// An error of the stream in the middle, from a source that is gone, changes nothing.
func TestIngestReadError(t *testing.T) {
	mem, clock := vfstest.NewMem(), newFakeClock()
	data := snapshotOf(t, clock, ingested(clock))
	db := openTest(t, manualOptions(mem, clock, SyncAlways))
	cause := errors.New("cable cut")
	_, err := db.Ingest(context.Background(), io.MultiReader(bytes.NewReader(data[:len(data)/2]), errReader{cause}), nil)
	if !errors.Is(err, cause) || len(files(t, mem, "db/tables")) != 0 {
		t.Errorf("%v, %q", err, files(t, mem, "db/tables"))
	}
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

// Close ends an Ingest that waits for its source, and waits for it.
func TestIngestClosed(t *testing.T) {
	clock := newFakeClock()
	source := openTest(t, roomyOptions(vfstest.NewMem(), clock))
	fill(t, source, 3000)
	data, _ := takeBackup(t, source, nil)
	mem := vfstest.NewMem()
	db := openTest(t, tinyOptions(mem, clock))
	closed := make(chan error)
	first := sync.OnceFunc(func() {
		go func() { closed <- db.Close() }()
		<-db.health.work.Done()
	})
	_, err := db.Ingest(context.Background(), bytes.NewReader(data), &IngestOptions{Progress: func(Progress) { first() }})
	if !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	must(t, <-closed)
	if names := files(t, mem, "db/tables"); len(names) != 0 {
		t.Errorf("%q is left", names)
	}
}

// ingestScript is a life with two ingests, one over what is there, one beside it.
func ingestScript(t *testing.T, clock *fakeClock) []step {
	start := clock.ms()
	over := map[string]modelEntry{"a": {"over", 0}, "c": {"over", start + 60_000}, "m": {strings.Repeat("over", 100), 0}}
	beside := map[string]modelEntry{"x": {"beside", 0}, "y": {"beside", 0}}
	return []step{
		putStep("a", "1", 0), putStep("b", "1", start+60_000), flushStep, putStep("c", "1", 0), batchStep("2", 0, "d", "m", "b"),
		ingestStep(snapshotOf(t, clock, over), over),
		deleteStep("c"), putStep("a", "2", 0),
		ingestStep(snapshotOf(t, clock, beside), beside),
		deleteRangeStep("x", "y"), putStep("e", "1", 0),
	}
}

// Every crash during a life with ingests leaves each of them whole or not at all, and all that was promised.
func TestCrashStatesOfIngest(t *testing.T) {
	eachPolicy(t, func(t *testing.T, policy SyncPolicy) {
		mem, clock := vfstest.NewMem(), newFakeClock()
		h := record(t, mem, manualOptions(mem, clock, policy), clock, ingestScript(t, clock), func(*DB) {})
		var tried vfstest.Tried
		vfstest.EachCrash(t, mem, vfstest.CrashPoints{}, func(c *vfstest.Crash) error {
			if b := h.at(c); !tried.Before(c, b) {
				return h.checkAny(c.FS, h.clockAt(c), b.least, b.most)
			}
			return nil
		})
	})
}

// checkAny opens the database in a crash state and looks for one of the allowed states of the history that it is.
func (h *history) checkAny(fs *vfstest.Mem, clock *fakeClock, least, most int) error {
	o := manualOptions(fs, clock, h.policy)
	db, err := Open("db", o)
	if err != nil {
		return err
	}
	defer db.Close()
	for n := least; n <= most; n++ {
		m := h.states[n].clone()
		if err = m.compare(db, db.clock.Now()); err == nil {
			return reopenAndWrite(db, o, m)
		}
	}
	return fmt.Errorf("none of the states after %d to %d writes: %w", least, most, err)
}

// An I/O error or a full disk at every operation of an Ingest: it is reported and nothing has changed, or the database takes
// no more writes and the next Open finds all or nothing; after a full disk it can be done again.
func TestErrorAtEveryOperationOfIngest(t *testing.T) {
	prepare := func(fault *vfstest.Fault) (*DB, *model, step) {
		clock := newFakeClock()
		db, err := Open("db", roomyOptions(fault, clock))
		must(t, err)
		m := newModel(clock)
		script := ingestScript(t, clock)
		for _, s := range script[:5] {
			must(t, s.run(db))
			if s.apply != nil {
				s.apply(m)
			}
		}
		return db, m, script[5]
	}
	counter := vfstest.NewFault(vfstest.NewMem())
	db, _, ingest := prepare(counter)
	before := counter.Count(vfstest.OpAny)
	must(t, ingest.run(db))
	count := counter.Count(vfstest.OpAny) - before
	must(t, db.Close())
	for _, cause := range []error{syscall.EIO, syscall.ENOSPC, vfstest.Short(7, syscall.ENOSPC)} {
		for n := 1; n <= count; n += vfstest.Step(5) {
			mem := vfstest.NewMem()
			fault := vfstest.NewFault(mem)
			db, m, ingest := prepare(fault)
			fault.Inject(vfstest.FailNth(vfstest.OpAny, "", n, cause))
			err := ingest.run(db)
			fault.Inject(nil)
			if what := tryIngest(db, mem, m, ingest, err); what != nil {
				t.Fatalf("%v at operation %d of %d: %v, and then %v", cause, n, count, err, what)
			}
		}
	}
}

// tryIngest checks what there is after an Ingest that has returned err. It closes db.
func tryIngest(db *DB, mem *vfstest.Mem, old *model, ingest step, err error) error {
	defer db.Close()
	after := old.clone()
	ingest.apply(after)
	now := db.clock.Now()
	if err == nil {
		old = after
	}
	if err := old.compare(db, now); err != nil {
		return fmt.Errorf("reading: %w", err)
	}
	again := ingest.run(db)
	switch {
	case again == nil && errors.Is(err, ErrFailed):
		return errors.New("it works again after ErrFailed")
	case again != nil && !errors.Is(again, ErrFailed):
		return fmt.Errorf("again: %w", again)
	case again == nil:
		if err := after.compare(db, now); err != nil {
			return fmt.Errorf("again: %w", err)
		}
		old = after
	}
	db.Close() // an error of a failed log is its right
	o := roomyOptions(mem, newClockAt(now))
	reopened, rerr := Open("db", o)
	if rerr != nil {
		return fmt.Errorf("open: %w", rerr)
	}
	if rerr = old.compare(reopened, now); rerr != nil {
		old, rerr = after, after.compare(reopened, now)
	}
	if rerr != nil {
		reopened.Close()
		return fmt.Errorf("opened: %w", rerr)
	}
	return reopenAndWrite(reopened, o, old)
}

// Readers and writers beside an Ingest, with everything in the background: a reader sees all of one generation, and no
// write is lost.
func TestIngestConcurrent(t *testing.T) {
	const keys, generations = 400, 8
	mem, clock := vfstest.NewMem(), newFakeClock()
	o := tinyOptions(mem, clock)
	o.Sync = SyncNever
	db := openTest(t, o)
	generation := func(g int) []byte {
		entries := map[string]modelEntry{}
		for i := range keys {
			entries[fmt.Sprintf("shared%03d", i)] = modelEntry{fmt.Sprint(g), 0}
		}
		return snapshotOf(t, clock, entries)
	}
	must(t, ingestStep(generation(0), nil).run(db))
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for w := range 2 {
		wg.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				if err := db.Put([]byte(fmt.Sprintf("own%d-%05d", w, n)), []byte(fmt.Sprint(n))); err != nil {
					t.Errorf("put: %v", err)
					return
				}
				got, err := db.Get([]byte(fmt.Sprintf("own%d-%05d", w, n)))
				if err != nil || string(got) != fmt.Sprint(n) {
					t.Errorf("own write %d: %q, %v", n, got, err)
					return
				}
			}
		})
	}
	wg.Go(func() {
		last := ""
		for {
			select {
			case <-stop:
				return
			default:
			}
			seen, count := "", 0
			for e, err := range db.Range(&IterOptions{Prefix: []byte("shared")}) {
				if err != nil || seen != "" && seen != string(e.Value) {
					t.Errorf("%q beside %q: %v", e.Value, seen, err)
					return
				}
				seen = string(e.Value)
				count++
			}
			if count != keys || seen < last {
				t.Errorf("%d keys of generation %s after %s", count, seen, last)
				return
			}
			last = seen
		}
	})
	for g := 1; g < generations; g++ {
		must(t, ingestStep(generation(g), nil).run(db))
		got, err := db.Get([]byte("shared000"))
		if err != nil || string(got) != fmt.Sprint(g) {
			t.Errorf("generation %d: %q, %v", g, got, err)
		}
	}
	close(stop)
	wg.Wait()
	want, err := entriesOf(db)
	must(t, err)
	must(t, db.Close())
	db, err = Open("db", o)
	must(t, err)
	defer db.Close()
	got, err := entriesOf(db)
	must(t, err)
	sameEntries(t, "opened again", got, want)
}

// TestIngestWatched holds that a watcher is told of an Ingest, and of each expiry of what it has overwritten and brought.
func TestIngestWatched(t *testing.T) {
	clock := newFakeClock()
	o := manualOptions(vfstest.NewMem(), clock, SyncAlways)
	o.ExpiryEvents, o.RetainLog = true, 1<<30
	db := openTest(t, o)
	must(t, db.Put([]byte("a"), []byte("old"), TTL(time.Second)))
	must(t, db.Put([]byte("b"), []byte("old"), TTL(time.Minute)))
	db.sweep() // now all that expires is known
	clock.add(2 * time.Second)
	deadline := clock.ms() + 3000
	data := snapshotOf(t, clock, map[string]modelEntry{"a": {"new", deadline}, "b": {"new", 0}, "c": {"new", deadline}})
	info, err := db.Ingest(t.Context(), bytes.NewReader(data), nil)
	must(t, err)
	must(t, compactStep.run(db))
	clock.add(4 * time.Second)
	must(t, compactStep.run(db))
	db.sweep()
	db.sweep()
	must(t, db.Put([]byte("end"), nil))
	var got []string
	for c, err := range db.Watch(t.Context(), &WatchOptions{From: 1}) {
		must(t, err)
		if c.Kind == ChangeExpire {
			got = append(got, fmt.Sprintf("%s at %d, version %d", c.Key, c.Deadline-clock.ms(), c.Version))
		} else {
			got = append(got, fmt.Sprintf("%v %s", c.Kind, c.Key))
		}
		if string(c.Key) == "end" {
			break
		}
	}
	want := []string{"put a", "put b", "a at -5000, version 1", "gap ", fmt.Sprintf("a at -1000, version %d", info.Version),
		fmt.Sprintf("c at -1000, version %d", info.Version), "put end"}
	if !slices.Equal(got, want) {
		t.Errorf("watched %q, want %q", got, want)
	}
}
