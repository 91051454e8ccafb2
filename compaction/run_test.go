package compaction

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"path"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/merge"
	"github.com/ebbdb/ebb/internal/table"
	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
	"github.com/ebbdb/ebb/memtable"
)

// store is a database in small: levels of real tables under a memtable, and next to them a map that says what a reader must
// see. It has a clock of its own.
type store struct {
	fs     *vfstest.Mem
	out    Output
	file   uint64
	levels Levels
	now    int64 // Unix ms

	evictions kv.Evictions // those that are in the manifest

	seq   uint64
	mem   *memtable.Memtable
	truth map[string]version // the newest put of each key, unless something deleted it
	step  string             // what was done last, for messages
}

// version is what a put gave a key.
type version struct {
	value    string
	deadline int64
}

const testDir = "tables"

var testDatabase = [16]byte{7, 15: 7}

// fatal is what testing.TB and rapid.T have in common.
type fatal interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

func newStore(t fatal, targetSize int64) *store {
	t.Helper()
	s := &store{fs: vfstest.NewMem(), now: 1000, truth: map[string]version{}, mem: memtable.New(memtable.Hint{})}
	if err := s.fs.MkdirAll(testDir); err != nil {
		t.Fatal(err)
	}
	s.out = Output{FS: s.fs, Name: testName, Database: testDatabase, TargetSize: targetSize,
		NextFile: func() uint64 { s.file++; return s.file }}
	return s
}

func testName(file uint64) string { return path.Join(testDir, fmt.Sprintf("%06d.tbl", file)) }

func (s *store) put(t fatal, k string, deadline int64) {
	t.Helper()
	s.seq++
	v := version{fmt.Sprintf("value %d", s.seq), deadline}
	if err := s.mem.Set([]byte(k), []byte(v.value), s.seq, deadline, kv.Put); err != nil {
		t.Fatal(err)
	}
	s.truth[k] = v
}

func (s *store) delete(t fatal, k string) {
	t.Helper()
	s.seq++
	if err := s.mem.Set([]byte(k), nil, s.seq, 0, kv.Delete); err != nil {
		t.Fatal(err)
	}
	delete(s.truth, k)
}

func (s *store) deleteRange(from, to string) {
	s.seq++
	s.mem.DeleteRange([]byte(from), []byte(to), s.seq)
	for k := range s.truth {
		if from <= k && k < to {
			delete(s.truth, k)
		}
	}
}

// evict evicts what has a deadline up to a horizon. early says that the manifest has the eviction before the flush.
func (s *store) evict(horizon int64, early bool) {
	s.seq++
	s.mem.Evict(horizon, s.seq)
	if early {
		s.evictions = s.evictions.With(s.mem.Evictions())
	}
	for k, v := range s.truth {
		if v.deadline != 0 && v.deadline <= horizon {
			delete(s.truth, k)
		}
	}
}

// flush makes the memtable the newest tables of level 0, as the database does.
func (s *store) flush(t fatal) {
	t.Helper()
	it := s.mem.NewIterator(math.MaxUint64)
	in := Input{Source: it, Deletes: s.mem.RangeDeletes().All(), Older: s.levels.Overlap, Now: s.now,
		Evictions: s.evictions.With(s.mem.Evictions()), BaseSeq: s.mem.Stats().MinSeq}
	result, err := Build(context.Background(), in, s.out)
	if err != nil {
		t.Fatal(err)
	}
	s.levels = s.levels.AddNewest(result.Tables)
	s.evictions = in.Evictions
	s.mem = memtable.New(memtable.Hint{})
	s.step = "flush"
}

// commit carries a plan out that may have been picked some flushes ago.
func (s *store) commit(t fatal, p *Plan) {
	t.Helper()
	s.step = fmt.Sprintf("%v of %d tables to level %d (%s)", p.Action, len(p.Tables()), p.Level, p.Reason)
	inputs := p.Tables()
	outputs := inputs
	switch p.Action {
	case Drop:
		outputs = nil
	case Rewrite:
		result, err := Run(context.Background(), p, s.now, s.out)
		if err != nil {
			t.Fatalf("%s: %v", s.step, err)
		}
		outputs = result.Tables
	}
	s.levels = s.levels.Replace(inputs, p.Level, outputs)
	if p.Action == Move {
		return
	}
	if err := Discard(s.out, inputs); err != nil {
		t.Fatalf("%s: %v", s.step, err)
	}
}

// all returns every table, newest first.
func (l *Levels) all() []*Table { return slices.Concat(l[:]...) }

// read returns what a reader sees of the levels at a time.
func read(t fatal, l *Levels, evictions kv.Evictions, now int64) map[string]version {
	t.Helper()
	var sources []kv.Iterator
	var deletes []kv.RangeDelete
	for _, table := range l.all() {
		sources = append(sources, table.Reader.NewIterator())
		deletes = append(deletes, table.Reader.Properties().RangeDeletes...)
	}
	covered := kv.NewRangeDeletes(deletes)
	it := new(merge.Iterator)
	it.Reset(sources)
	seen := map[string]version{}
	for ok := it.First(); ok; ok = it.Next() {
		if e := it.Entry(); e.Live(now) && !evictions.Cover(e, math.MaxUint64) && covered.Seq(e.Key, math.MaxUint64) < e.Seq {
			seen[string(e.Key)] = version{string(e.Value), e.Deadline}
		}
	}
	if err := errors.Join(it.Err(), it.Close()); err != nil {
		t.Fatal(err)
	}
	return seen
}

// check compares what readers see, now and later, with what they should; and the levels and files with what must hold of
// them.
func (s *store) check(t fatal) {
	t.Helper()
	for _, now := range []int64{s.now, s.now + 1, s.now + 50, s.now + 99, s.now + 100, s.now + 1000, math.MaxInt64} {
		got := read(t, &s.levels, s.evictions, now)
		for k, v := range got {
			if want, ok := s.truth[k]; !ok || want != v || kv.Expired(want.deadline, now) {
				t.Fatalf("after %s, at %d: %q is back with %q, deadline %d", s.step, now, k, v.value, v.deadline)
			}
		}
		for k, v := range s.truth {
			if _, ok := got[k]; !ok && !kv.Expired(v.deadline, now) {
				t.Fatalf("after %s, at %d: %q is lost", s.step, now, k)
			}
		}
	}
	s.checkLevels(t)
	var live []string
	for _, table := range s.levels.all() {
		live = append(live, path.Base(testName(table.File)))
	}
	slices.Sort(live)
	if files, err := s.fs.ReadDir(testDir); err != nil || !slices.Equal(files, live) {
		t.Fatalf("after %s: files %v, live %v, error %v", s.step, files, live, err)
	}
}

// checkLevels checks the order that keeps deleted entries deleted: of each key, entries and the range deletes that cover
// it get older from table to table.
func (s *store) checkLevels(t fatal) {
	t.Helper()
	oldest := map[string]uint64{} // the lowest sequence that a newer table has for a key
	for level, tables := range s.levels {
		for i, table := range tables {
			if level > 0 && i > 0 && kv.Compare(tables[i-1].end, table.start) > 0 {
				t.Fatalf("after %s: tables %d and %d of level %d overlap", s.step, tables[i-1].File, table.File, level)
			}
			if err := table.Reader.Verify(context.Background()); err != nil {
				t.Fatalf("after %s: %v", s.step, err)
			}
			here := map[string]uint64{}
			it := table.Reader.NewIterator()
			for ok := it.First(); ok; ok = it.Next() {
				e := it.Entry()
				if !table.Covers(e.Key) {
					t.Fatalf("after %s: table %d holds %q outside of its bounds", s.step, table.File, e.Key)
				}
				here[string(e.Key)] = e.Seq
				if s.evictions.Cover(e, math.MaxUint64) && e.Deadline > table.Evicted(s.evictions) {
					t.Fatalf("after %s: table %d has entries on both sides of an eviction that takes %q", s.step, table.File, e.Key)
				}
			}
			if it.Err() != nil {
				t.Fatal(it.Err())
			}
			for k, seq := range here {
				if newer, ok := oldest[k]; ok && newer <= seq {
					t.Fatalf("after %s: %q has sequence %d in level %d and %d above", s.step, k, seq, level, newer)
				}
				oldest[k] = seq
			}
		}
	}
}

// plan returns what Pick says, or a plan that it would not think of but that keeps the order of the levels too. It is nil
// if there is nothing to do.
func (s *store) plan(t *rapid.T) *Plan {
	config := Config{Evictions: s.evictions, Base: rapid.Int64Range(1, 5000).Draw(t, "base"), Settle: rapid.Bool().Draw(t, "settle"),
		Paid: rapid.Bool().Draw(t, "paid")}
	p := newPicker(&s.levels, s.now, config)
	switch rapid.SampledFrom([]string{"pick", "all", "slice", "any", "any", "any"}).Draw(t, "plan") {
	case "pick":
		return Pick(&s.levels, s.now, config)
	case "all":
		return PickAll(&s.levels, s.now, config)
	case "slice":
		return s.slice(t, p)
	}
	var levels []int
	for level, tables := range s.levels {
		if len(tables) > 0 {
			levels = append(levels, level)
		}
	}
	if len(levels) == 0 {
		return nil
	}
	from := rapid.SampledFrom(levels).Draw(t, "from")
	tables := s.levels[from]
	if from == 0 { // the oldest ones, as what is newer may lie above them
		tables = tables[rapid.IntRange(0, len(tables)-1).Draw(t, "newest"):]
	} else {
		i := rapid.IntRange(0, len(tables)-1).Draw(t, "first")
		tables = tables[i:rapid.IntRange(i+1, len(tables)).Draw(t, "end")]
	}
	to := max(from, 1)
	for to < bottom && len(s.levels[to]) == 0 || to == from && from < bottom { // no further than the next tables below
		to++
		if len(s.levels[to]) > 0 || rapid.Bool().Draw(t, "far enough") {
			break
		}
	}
	return p.rewrite("any", from, to, tables)
}

// slice returns a plan to bring any table between the first and the last level down to any level below, nil if there is none.
func (s *store) slice(t *rapid.T, p *picker) *Plan {
	between := slices.Concat(s.levels[1:bottom]...)
	if len(between) == 0 {
		return nil
	}
	table := rapid.SampledFrom(between).Draw(t, "table")
	from := slices.IndexFunc(s.levels[:], func(tables []*Table) bool { return slices.Contains(tables, table) })
	plan, _, _ := p.slice("slice", from, table, rapid.IntRange(from+1, bottom).Draw(t, "to"))
	return plan
}

func testKey(t *rapid.T, label string) string {
	return fmt.Sprintf("key%02d", rapid.IntRange(0, 39).Draw(t, label))
}

// Whatever is written and in whatever order it is compacted, a reader sees the newest put of a key or nothing.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newStore(t, rapid.SampledFrom([]int64{1, 200, 500, math.MaxInt64}).Draw(t, "target size"))
		write := func() {
			for range rapid.IntRange(1, 12).Draw(t, "writes") {
				switch k := testKey(t, "key"); rapid.IntRange(0, 8).Draw(t, "write") {
				case 8:
					s.evict(s.now+rapid.SampledFrom([]int64{0, 1, 60, 100, 2000}).Draw(t, "horizon"), rapid.Bool().Draw(t, "early"))
				case 0, 1:
					s.delete(t, k)
				case 2:
					s.deleteRange(min(k, testKey(t, "bound")), max(k, testKey(t, "bound")))
				case 3, 4, 5:
					s.put(t, k, s.now+rapid.SampledFrom([]int64{-1, 0, 1, 50, 100, 1000}).Draw(t, "ttl"))
				default:
					s.put(t, k, 0)
				}
			}
			s.flush(t)
		}
		t.Repeat(map[string]func(*rapid.T){
			"write": func(*rapid.T) { write() },
			"compact": func(t *rapid.T) {
				p := s.plan(t)
				if p == nil {
					return
				}
				if rapid.Bool().Draw(t, "flush meanwhile") {
					write()
				}
				s.commit(t, p)
			},
			"wait": func(t *rapid.T) { s.now += rapid.SampledFrom([]int64{1, 49, 50, 100, 1000}).Draw(t, "ms") },
			"":     func(t *rapid.T) { s.check(t) },
		})
		s.settle(t)
	})
}

// settle compacts all until there is nothing more to do. What is left must be what is visible and nothing else.
func (s *store) settle(t fatal) {
	t.Helper()
	for steps := 0; ; steps++ {
		p := PickAll(&s.levels, s.now, Config{Base: 1, Evictions: s.evictions})
		if p == nil {
			break
		}
		if steps > 1000 {
			t.Fatal("compacting all does not end")
		}
		s.commit(t, p)
		s.check(t)
	}
	entries := 0
	for _, table := range s.levels.all() {
		entries += int(table.Reader.Properties().Entries)
	}
	if visible := len(read(t, &s.levels, s.evictions, s.now)); entries != visible || len(s.levels.all()) != len(s.levels[bottom]) {
		t.Fatalf("after compacting all: %d entries for %d visible keys, %d tables of %d in the last level",
			entries, visible, len(s.levels[bottom]), len(s.levels.all()))
	}
}

// small returns a store with one table in each of the given levels, whose keys overlap, deadlines in the past and to come,
// tombstones and a range delete that is split over the outputs.
func small(t fatal) *store {
	t.Helper()
	s := newStore(t, 150)
	below := func(level int) {
		s.flush(t)
		p := newPicker(&s.levels, s.now, Config{})
		s.commit(t, p.rewrite("set up", 0, level, s.levels[0]))
	}
	for i := range 40 {
		s.put(t, fmt.Sprintf("key%02d", i), 0)
	}
	below(6)
	for i := range 20 {
		s.put(t, fmt.Sprintf("key%02d", i*2), 0)
	}
	below(5)
	for i := range 10 {
		s.put(t, fmt.Sprintf("key%02d", i*4), s.now+10*int64(i))
	}
	s.deleteRange("key05", "key33")
	s.flush(t)
	for i := range 10 {
		s.put(t, fmt.Sprintf("key%02d", i*3), s.now+10*int64(i))
		s.delete(t, fmt.Sprintf("key%02d", i*3+1))
	}
	s.flush(t)
	s.now += 50
	s.check(t)
	return s
}

// into5 is a plan with inputs in levels 0 and 5 and older tables in level 6.
func (s *store) into5() *Plan {
	p := newPicker(&s.levels, s.now, Config{})
	return p.rewrite("test", 0, 5, s.levels[0])
}

// Range deletes are cut where the outputs are, so that these stay apart; expired entries become tombstones; and of both
// only those stay that have something older to hide.
func TestOutputs(t *testing.T) {
	s := small(t)
	p := s.into5()
	result, err := Run(context.Background(), p, s.now, s.out)
	if err != nil {
		t.Fatal(err)
	}
	if len(result.Tables) < 3 {
		t.Fatalf("%d tables: nothing was split", len(result.Tables))
	}
	deletes, tombstones, bytes := 0, uint64(0), int64(0)
	for i, table := range result.Tables {
		props := table.Reader.Properties()
		deletes += len(props.RangeDeletes)
		tombstones += props.Tombstones
		bytes += table.Size
		if props.DeadlineEntries > 0 && kv.Expired(props.MinDeadline, s.now) {
			t.Errorf("table %d holds the value of an expired entry", i)
		}
		if i > 0 && kv.Compare(result.Tables[i-1].end, table.start) > 0 {
			t.Errorf("tables %d and %d overlap: %q, %q", i-1, i, result.Tables[i-1].end, table.start)
		}
	}
	if deletes < 2 || tombstones == 0 {
		t.Errorf("%d parts of the range delete, %d tombstones: level 6 shows through", deletes, tombstones)
	}
	if result.Bytes != bytes || result.Expired == 0 || result.Entries == 0 {
		t.Errorf("result %+v, the tables have %d bytes", result, bytes)
	}
	s.levels = s.levels.Replace(p.Tables(), p.Level, result.Tables)
	if err := Discard(s.out, p.Tables()); err != nil {
		t.Fatal(err)
	}
	s.step = "run"
	s.check(t)
	s.settle(t)
}

// An input of which nothing is needed makes no table and no file.
func TestNothingLeft(t *testing.T) {
	s := newStore(t, 300)
	s.put(t, "expired", s.now)
	s.delete(t, "deleted")
	s.put(t, "covered", 0)
	s.deleteRange("b", "z")
	s.flush(t)
	if len(s.levels[0]) != 0 {
		t.Errorf("%d tables", len(s.levels[0]))
	}
	s.check(t)
}

func TestBounds(t *testing.T) {
	s := newStore(t, 1)
	s.put(t, "b", 0)
	s.put(t, "c", 0)
	s.flush(t)
	s.deleteRange("a", "c")
	s.flush(t)
	newest := s.levels[0][0]
	for k, want := range map[string]bool{"": false, "a": true, "bz": true, "c": false} {
		if got := newest.Covers([]byte(k)); got != want {
			t.Errorf("a range delete of [a, c): Covers(%q) = %v", k, got)
		}
	}
	if s.levels[0][2].overlaps(newest.start, newest.end) || !s.levels[0][1].overlaps(newest.start, newest.end) {
		t.Error("the end of a range delete is not in it, and what is before is")
	}
	if start, end := s.levels[0][1].Bounds(); string(start) != "b" || !bytes.Equal(end, []byte("b\x00")) {
		t.Errorf("bounds [%q, %q) of a table of one key", start, end)
	}
}

// reopen opens the tables of the levels of s on another file system.
func (s *store) reopen(t fatal, fs vfs.FS) Levels {
	t.Helper()
	var levels Levels
	for level, tables := range s.levels {
		for _, old := range tables {
			r, err := table.Open(fs, testName(old.File), table.Identity{Database: testDatabase, File: old.File}, nil)
			if err != nil {
				t.Fatal(err)
			}
			levels[level] = append(levels[level], NewTable(r))
		}
	}
	return levels
}
