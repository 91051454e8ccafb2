package compaction

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/table"
)

// fake returns a table that has only what picking looks at. Keys are two-digit numbers.
func fake(file uint64, from, to int, size int64, p table.Properties) *Table {
	p.KeyBytes, p.ValueBytes, p.FileSize = uint64(size)/4, uint64(size)*3/4, size
	if p.Entries == 0 {
		p.Entries = uint64(size)
	}
	return &Table{File: file, Size: size, props: &p, start: key(from), end: key(to)}
}

func key(i int) []byte { return fmt.Appendf(nil, "%02d", i) }

// expiring are properties of a table in which everything expires at a time.
func expiring(at int64, entries uint64) table.Properties {
	return table.Properties{Entries: entries, DeadlineEntries: entries, MinDeadline: at, MaxDeadline: at, DeadlineBytes: 1 << 40,
		Deadlines: []table.DeadlineBucket{{UpTo: at, Entries: entries, Bytes: 1 << 40}}}
}

func TestPick(t *testing.T) {
	const now, size, base = 1000, 100, 1 << 20
	sized := func(file uint64, from, to int, size int64) *Table {
		return fake(file, from, to, size, table.Properties{})
	}
	large := func(file uint64, from, to int) *Table { return fake(file, from, to, base+1000, table.Properties{}) }
	plain := func(file uint64, from, to int) *Table { return fake(file, from, to, size, table.Properties{}) }
	old := func(file uint64, from, to int) *Table { return fake(file, from, to, size, expiring(500, size)) }
	soon := func(file uint64, from, to int, seq uint64) *Table {
		p := expiring(1500, size)
		p.MaxSeq = seq
		return fake(file, from, to, size, p)
	}
	evicted := kv.Evictions{{Seq: 8, Horizon: 1500}}
	both := fake(1, 0, 9, size, table.Properties{Entries: 2, DeadlineEntries: 2, MinDeadline: 1, MaxDeadline: 1200})
	half := fake(1, 0, 9, size, expiring(1500, size))
	half.props.Entries++
	four := []*Table{plain(5, 0, 9), plain(4, 5, 20), plain(3, 0, 30), plain(2, 0, 40)}
	tombs := fake(9, 0, 50, size, table.Properties{Entries: 10, Tombstones: 6})
	for _, c := range []struct {
		name   string
		levels Levels
		settle bool
		paid   bool
		memory int64
		evict  kv.Evictions
		over   float64
		action Action
		files  []uint64 // of the inputs; nil: no plan
		level  int
	}{
		{name: "nothing"},
		{name: "a little in level 0", levels: Levels{0: {plain(1, 0, 9)}}},
		{name: "settling moves it to the bottom", levels: Levels{0: {plain(1, 0, 9)}}, settle: true,
			action: Move, files: []uint64{1}, level: 6},
		{name: "reads have paid", levels: Levels{0: {plain(3, 0, 9), plain(2, 5, 20)}, 6: {plain(1, 5, 20)}}, paid: true,
			action: Rewrite, files: []uint64{3, 2, 1}, level: 6},
		{name: "reads have paid for a third of the work", levels: Levels{0: four, 6: {fake(1, 5, 40, 8*size, table.Properties{})}},
			paid: true, memory: table.EntryMemory * 4 * size, files: []uint64{5, 4, 3, 2}},
		{name: "reads have paid for more than a third", levels: Levels{0: four, 6: {fake(1, 5, 40, 8*size-1, table.Properties{})}},
			paid: true, files: []uint64{5, 4, 3, 2, 1}, level: 6},
		{name: "reads have paid for one table of too many keys",
			levels: Levels{0: four, 6: {fake(1, 5, 40, 8*size, table.Properties{})}}, paid: true,
			memory: table.EntryMemory*4*size - 1, files: []uint64{5, 4, 3, 2, 1}, level: 6},
		{name: "reads have paid for few tables", levels: Levels{0: four[1:], 6: {fake(1, 5, 40, 8*size, table.Properties{})}},
			paid: true, files: []uint64{4, 3, 2, 1}, level: 6},
		{name: "reads have paid for a part of a run", levels: Levels{5: {sized(3, 0, 9, size), sized(2, 9, 20, 2*size)},
			6: {sized(1, 0, 20, 1<<34)}}, paid: true, action: Rewrite, files: []uint64{2, 1}, level: 6},
		{name: "reads have paid for nothing", levels: Levels{0: four[1:], 6: {sized(1, 5, 20, 1<<34)}}, paid: true},
		{name: "settled", levels: Levels{6: {plain(1, 0, 9)}}, settle: true},
		{name: "expired whole", levels: Levels{6: {old(1, 0, 9), plain(2, 9, 20)}}, action: Drop, files: []uint64{1}},
		{name: "expired above something older stays, and what is reclaimed goes down",
			levels: Levels{0: {old(2, 0, 9)}, 6: {plain(1, 5, 20)}}, action: Rewrite, files: []uint64{2, 1}, level: 6},
		{name: "expired above something that goes too", levels: Levels{0: {old(3, 0, 9), old(2, 0, 9)}, 6: {old(1, 5, 20)}},
			action: Drop, files: []uint64{1, 2, 3}},
		{name: "expired between a newer and an older", levels: Levels{0: {plain(3, 0, 9), old(2, 0, 9), plain(1, 20, 30)}},
			action: Drop, files: []uint64{2}},
		{name: "evicted whole", levels: Levels{6: {soon(1, 0, 9, 7), plain(2, 9, 20)}}, evict: evicted, action: Drop, files: []uint64{1}},
		{name: "partly expired, the rest evicted", levels: Levels{6: {both}}, evict: evicted, action: Drop, files: []uint64{1}},
		{name: "evicted but for what came later", levels: Levels{6: {soon(1, 0, 9, 8)}}, evict: evicted},
		{name: "evicted above something older stays", levels: Levels{0: {soon(2, 0, 9, 7)}, 6: {plain(1, 5, 20)}}, evict: evicted,
			action: Rewrite, files: []uint64{2, 1}, level: 6},
		{name: "evicted with something that has no deadline", levels: Levels{6: {half}}, evict: evicted, action: Rewrite,
			files: []uint64{1}, level: 6},
		{name: "level 0 is large against what it overlaps",
			levels: Levels{0: {large(5, 0, 9), plain(4, 5, 20), plain(3, 0, 9), plain(2, 0, 9)},
				6: {plain(1, 19, 30), plain(7, 40, 50)}}, action: Rewrite, files: []uint64{5, 4, 3, 2, 1}, level: 6},
		{name: "level 0 is not", levels: Levels{0: {large(5, 0, 9)}, 6: {large(1, 0, 9)}}},
		{name: "level 0 has too many tables",
			levels: Levels{0: slices.Repeat([]*Table{sized(5, 0, 9, base/16)}, level0Most), 6: {large(1, 0, 9)}},
			action: Rewrite, files: append(slices.Repeat([]uint64{5}, level0Most), 1), level: 6},
		{name: "level 0 has too many tables, and is little",
			levels: Levels{0: slices.Repeat([]*Table{plain(5, 0, 9)}, level0Most), 6: {large(1, 0, 9)}},
			action: Rewrite, files: slices.Repeat([]uint64{5}, level0Most)},
		{name: "level 0 becomes a run",
			levels: Levels{0: slices.Repeat([]*Table{sized(5, 0, 9, base/16)}, level0Most), 5: {large(2, 0, 9)},
				6: {sized(1, 0, 9, 4*base)}}, action: Rewrite, files: slices.Repeat([]uint64{5}, level0Most), level: 4},
		{name: "runs are large", levels: Levels{4: {large(4, 0, 9)}, 5: {sized(3, 0, 5, 3*base), sized(2, 5, 9, 8*base)},
			6: {sized(1, 0, 9, 4*base)}}, evict: evicted, action: Rewrite, files: []uint64{4, 3, 2, 1}, level: 6},
		{name: "a run of tombstones is rewritten", levels: Levels{5: {tombs}, 6: {plain(1, 60, 70)}},
			action: Rewrite, files: []uint64{9}, level: 6},
		{name: "runs overwrite much", levels: Levels{5: {sized(2, 0, 9, 3*base)},
			6: {sized(1, 0, 9, 4*base)}}, over: 0.75, action: Rewrite, files: []uint64{2, 1}, level: 6},
		{name: "runs and level 0 might overwrite too much", levels: Levels{0: {sized(3, 0, 9, 3*base)}, 5: {sized(2, 0, 9, 15*base/2)},
			6: {sized(1, 0, 9, 4*base)}}, action: Rewrite, files: []uint64{2, 1}, level: 6},
		{name: "runs and level 0 might not", levels: Levels{0: {sized(3, 0, 9, 2*base)}, 5: {sized(2, 0, 9, 15*base/2)},
			6: {sized(1, 0, 9, 4*base)}}},
		{name: "runs overwrite less", levels: Levels{5: {sized(2, 0, 9, 3*base)},
			6: {sized(1, 0, 9, 4*base)}}, over: 0.25},
		{name: "runs are many", levels: Levels{2: {plain(5, 0, 9)}, 3: {plain(4, 0, 9)}, 4: {plain(3, 0, 9)}, 5: {large(2, 0, 9)},
			6: {sized(1, 0, 9, 4*base)}}, action: Rewrite, files: []uint64{5, 4, 3}, level: 4},
		{name: "runs are not", levels: Levels{3: {plain(4, 0, 9)}, 4: {plain(3, 0, 9)}, 5: {large(2, 0, 9)},
			6: {sized(1, 0, 9, 4*base)}}},
		{name: "a run moves down", levels: Levels{2: {plain(4, 0, 9)}, 4: {plain(3, 0, 9)}, 6: {sized(1, 0, 9, 4*base)}},
			action: Move, files: []uint64{3}, level: 5},
		{name: "level 0 has not", levels: Levels{0: slices.Repeat([]*Table{plain(5, 0, 9)}, level0Most-1), 6: {large(1, 0, 9)}}},
		{name: "level 0 has too many to rest",
			levels: Levels{0: slices.Repeat([]*Table{plain(5, 0, 9)}, level0Settled), 6: {plain(1, 0, 9)}},
			settle: true, action: Rewrite, files: append(slices.Repeat([]uint64{5}, level0Settled), 1), level: 6},
		{name: "level 0 has too many to rest, and one is little",
			levels: Levels{0: slices.Repeat([]*Table{plain(5, 0, 9)}, level0Settled), 6: {large(1, 0, 9)}},
			settle: true, action: Rewrite, files: slices.Repeat([]uint64{5}, level0Settled)},
		{name: "level 0 stays above a level that is emptied", levels: Levels{
			0: {fake(5, 0, 9, 3*base, table.Properties{}), plain(4, 5, 20), plain(3, 0, 9)},
			4: {plain(1, 0, 9)}, 6: {plain(7, 0, 9)}}, action: Rewrite, files: []uint64{5, 4, 3, 1}, level: 4},
		{name: "a level that should be empty", levels: Levels{5: {plain(1, 0, 9)}, 6: {plain(2, 5, 20)}},
			action: Rewrite, files: []uint64{1, 2}, level: 6},
		{name: "tombstones are pushed down", levels: Levels{0: {tombs}, 6: {fake(2, 5, 20, size, table.Properties{Entries: 10})}},
			action: Rewrite, files: []uint64{9, 2}, level: 6},
	} {
		t.Run(c.name, func(t *testing.T) {
			plan := Pick(&c.levels, now, Config{Base: base, Settle: c.settle, Paid: c.paid, Memory: c.memory,
				Evictions: c.evict, Overwritten: c.over})
			if plan == nil {
				if c.files != nil {
					t.Fatal("no plan")
				}
				return
			}
			if plan.Action == Rewrite && !slices.Equal(plan.evicted, c.evict) {
				t.Errorf("it leaves out %v, evicted is %v", plan.evicted, c.evict)
			}
			var files []uint64
			for _, in := range plan.Tables() {
				files = append(files, in.File)
			}
			if plan.Action != c.action || !slices.Equal(files, c.files) || plan.Action != Drop && plan.Level != c.level {
				t.Errorf("%v %v to level %d (%s), want %v %v to %d", plan.Action, files, plan.Level, plan.Reason, c.action, c.files, c.level)
			}
		})
	}
}

// How much was overwritten is known of what comes into the last level.
func TestOverwritten(t *testing.T) {
	of := func(entries uint64) *Table { return fake(1, 0, 9, 100, table.Properties{Entries: entries}) }
	above, last := of(100), of(1000)
	two := [][]*Table{{above}, {last}}
	for _, c := range []struct {
		name    string
		plan    Plan
		read    uint64
		share   float64
		unknown bool
	}{
		{name: "nothing", plan: Plan{Level: bottom, Inputs: two, into: []*Table{last}}, read: 1100},
		{name: "a quarter", plan: Plan{Level: bottom, Inputs: two, into: []*Table{last}}, read: 1075, share: 0.25},
		{name: "all, and by one another", plan: Plan{Level: bottom, Inputs: [][]*Table{{above}, {above}, {last}}, into: []*Table{last}},
			read: 900, share: 1},
		{name: "another level", plan: Plan{Level: bottom - 1, Inputs: two, into: []*Table{last}}, unknown: true},
		{name: "nothing below", plan: Plan{Level: bottom, Inputs: [][]*Table{{above}}}, unknown: true},
		{name: "nothing above", plan: Plan{Level: bottom, Inputs: [][]*Table{{last}}, into: []*Table{last}}, unknown: true},
		{name: "a move", plan: Plan{Level: bottom, Action: Move, Inputs: [][]*Table{{above}}}, unknown: true},
	} {
		if share, ok := c.plan.Overwritten(Result{Entries: c.read}); share != c.share || ok == c.unknown {
			t.Errorf("%s: %v, %t", c.name, share, ok)
		}
	}
}

// simulation carries plans out on metadata, and on the sequence that each table has for each key.
type simulation struct {
	levels Levels
	file   uint64
	seq    uint64
	now    int64
	rows   map[*Table]map[int]uint64
}

// add makes a table of rows.
func (s *simulation) add(rows map[int]uint64, p table.Properties) *Table {
	keys := slices.Sorted(maps.Keys(rows))
	s.file++
	t := fake(s.file, keys[0], keys[len(keys)-1]+1, int64(len(rows)), p)
	s.rows[t] = rows
	return t
}

// flush adds a table to level 0.
func (s *simulation) flush(t *rapid.T) {
	from := rapid.IntRange(0, 98).Draw(t, "from")
	to := rapid.IntRange(from+1, 99).Draw(t, "to")
	rows := map[int]uint64{}
	for k := from; k < to; k += rapid.IntRange(1, 9).Draw(t, "gap") {
		s.seq++
		rows[k] = s.seq
	}
	n := uint64(len(rows))
	var p table.Properties
	switch rapid.IntRange(0, 3).Draw(t, "kind") {
	case 0:
		p = expiring(rapid.Int64Range(0, 2000).Draw(t, "deadline"), n)
	case 1:
		p.Entries, p.Tombstones = n, uint64(rapid.IntRange(0, int(n)).Draw(t, "tombstones"))
	}
	s.levels = s.levels.AddNewest([]*Table{s.add(rows, p)})
}

// carryOut replaces the inputs by what a rewrite would make of them. Expired tables become tombstones, which stay above the
// last level.
func (s *simulation) carryOut(p *Plan) error {
	inputs := p.Tables()
	switch p.Action {
	case Drop:
		s.levels = s.levels.Replace(inputs, 0, nil)
		return nil
	case Move:
		s.levels = s.levels.Replace(inputs, p.Level, inputs)
		return nil
	}
	if err := s.checkOlder(p); err != nil {
		return err
	}
	merged, tombs, n := map[int]uint64{}, uint64(0), uint64(0)
	for _, in := range inputs {
		n += in.props.Entries
		tombs += in.props.Tombstones
		if in.props.AllExpired(s.now) {
			tombs += in.props.Entries
		}
		for k, seq := range s.rows[in] {
			if newer, ok := merged[k]; ok && newer <= seq {
				return fmt.Errorf("%s: the inputs are not newest first", p.Reason)
			}
			if _, ok := merged[k]; !ok && !(p.Level == bottom && in.props.AllExpired(s.now)) {
				merged[k] = seq
			}
		}
	}
	var outputs []*Table
	rows := 10 // of a table
	if p.output(Output{}).Whole {
		rows = len(merged) + 1
	}
	for chunk := range slices.Chunk(slices.Sorted(maps.Keys(merged)), rows) {
		rows := map[int]uint64{}
		for _, k := range chunk {
			rows[k] = merged[k]
		}
		q := table.Properties{Entries: uint64(len(rows))}
		if p.Level < bottom {
			q.Tombstones = q.Entries * tombs / n
		}
		outputs = append(outputs, s.add(rows, q))
	}
	s.levels = s.levels.Replace(inputs, p.Level, outputs)
	return nil
}

// checkOlder checks that a Rewrite knows all that may hold older versions of what it writes: it leaves out tombstones that hide
// nothing else.
func (s *simulation) checkOlder(p *Plan) error {
	inputs := p.Tables()
	for _, other := range s.levels.All() {
		if slices.Contains(inputs, other) || slices.Contains(p.older.all(), other) {
			continue
		}
		for _, in := range inputs {
			for k, seq := range s.rows[in] {
				if older, ok := s.rows[other][k]; ok && older < seq {
					return fmt.Errorf("%s: key %d of table %d may hide one of table %d, which is left out", p.Reason, k, in.File, other.File)
				}
			}
		}
	}
	return nil
}

// check holds the levels against what Levels promises.
func (s *simulation) check() error {
	newest := map[int]uint64{} // so far, from the top
	for level, tables := range s.levels {
		for i, t := range tables {
			if level > 0 && i > 0 && kv.Compare(tables[i-1].end, t.start) > 0 {
				return fmt.Errorf("tables %d and %d of level %d overlap", tables[i-1].File, t.File, level)
			}
			for k, seq := range s.rows[t] {
				if above, ok := newest[k]; ok && above <= seq {
					return fmt.Errorf("key %d of table %d in level %d is newer than one above it", k, t.File, level)
				}
			}
			maps.Copy(newest, s.rows[t])
		}
	}
	return nil
}

// Whatever is flushed, picking comes to an end, keeps the order of the levels, and leaves what it promises.
func TestPickingSettles(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := &simulation{now: 1000, rows: map[*Table]map[int]uint64{}}
		config := Config{Base: rapid.Int64Range(1, 2000).Draw(t, "base"), Settle: true}
		for range rapid.IntRange(1, 40).Draw(t, "flushes") {
			s.flush(t)
			if rapid.Bool().Draw(t, "behind") {
				continue
			}
			s.run(t, Pick, Config{Base: config.Base, Paid: rapid.Bool().Draw(t, "paid"), AlwaysOne: rapid.Bool().Draw(t, "one")})
		}
		config.AlwaysOne = rapid.Bool().Draw(t, "one")
		s.run(t, Pick, config)
		var above int64
		for level := range bottom {
			above += s.levels.bytes(level)
		}
		if last := s.levels.bytes(bottom); float64(above) > settleShare*float64(last) {
			t.Errorf("settled with %d bytes above the %d of the last level", above, last)
		}
		if n := len(s.levels[0]); n >= level0Settled {
			t.Errorf("settled with %d tables in level 0", n)
		}
		s.now = 5000
		s.run(t, Pick, config)
		for level, tables := range s.levels {
			for _, table := range tables {
				if table.props.ExpiredBytes(s.now) > 0 {
					t.Errorf("table %d of level %d holds what has expired", table.File, level)
				}
			}
		}
		s.run(t, PickAll, config)
		for level := range bottom {
			if len(s.levels[level]) > 0 {
				t.Errorf("level %d holds tables after compacting all", level)
			}
		}
	})
}

// Whatever is flushed, picking for a range comes to an end, and then all of the range is in the last level, where nothing of it
// is of no use.
func TestPickingARange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := &simulation{now: 1000, rows: map[*Table]map[int]uint64{}}
		config := Config{Base: rapid.Int64Range(1, 2000).Draw(t, "base")}
		for range rapid.IntRange(1, 30).Draw(t, "flushes") {
			s.flush(t)
			if rapid.Bool().Draw(t, "catch up") {
				s.run(t, Pick, config)
			}
		}
		var start, end []byte
		from := rapid.IntRange(0, 99).Draw(t, "start")
		if rapid.Bool().Draw(t, "bounded below") {
			start = key(from)
		}
		if rapid.Bool().Draw(t, "bounded above") {
			end = key(rapid.IntRange(from+1, 100).Draw(t, "end"))
		}
		s.run(t, func(l *Levels, now int64, c Config) *Plan { return PickRange(l, now, c, start, end) }, config)
		for level, table := range s.levels.All() {
			if !table.Within(start, end) {
				continue
			}
			if level < bottom || table.props.Tombstones > 0 || table.props.ExpiredBytes(s.now) > 0 {
				t.Errorf("%q to %q: level %d has table %d, %q to %q, with %d tombstones and %d expired bytes", start, end, level,
					table.File, table.start, table.end, table.props.Tombstones, table.props.ExpiredBytes(s.now))
			}
		}
	})
}

// run carries plans out until there is none.
func (s *simulation) run(t *rapid.T, pick func(*Levels, int64, Config) *Plan, c Config) {
	for steps := 0; ; steps++ {
		if err := s.check(); err != nil {
			t.Fatal(err)
		}
		plan := pick(&s.levels, s.now, c)
		if plan == nil {
			return
		}
		if steps > 1000 {
			t.Fatalf("no end: %v %s", plan.Action, plan.Reason)
		}
		for _, in := range plan.Tables() {
			if plan.Action == Rewrite && c.Damaged[in] {
				t.Fatalf("%s: table %d of the inputs is damaged", plan.Reason, in.File)
			}
		}
		if err := s.carryOut(plan); err != nil {
			t.Fatal(err)
		}
	}
}
