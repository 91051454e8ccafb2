package compaction

import (
	"encoding/binary"
	"testing"

	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/table"
)

// growth is a load of new records in random order with the default Options, on metadata alone: the records of a table are spread
// evenly between its bounds.
type growth struct {
	levels  Levels
	config  Config
	limit   int64 // bytes to flush
	file    uint64
	behind  float64 // tables that are flushed while something is compacted
	flushed int64
	written [NumLevels]int64 // by compactions, to each level
	longest int64            // the most bytes that one plan has written
	level0  int              // the most tables of level 0
	runs    int              // the most runs below it
}

const (
	flushedSize = 27 << 20 // of a memtable as a table
	recordSize  = 145      // bytes of a record in a table
	userSize    = 123      // of these, key and value
	loggedSize  = 130      // bytes of a record in the log
	outputSize  = 64 << 20
	// keepsUp is how many bytes compactions write while one is flushed, at least: with two processors and eight writers it is more.
	keepsUp  = 6
	keySpace = 1 << 40
)

func keyAt(i int64) []byte   { return binary.BigEndian.AppendUint64(nil, uint64(i)) }
func place(key []byte) int64 { return int64(binary.BigEndian.Uint64(key)) }

func (g *growth) table(from, to, size int64) *Table {
	g.file++
	t := fake(g.file, 0, 0, size, table.Properties{Entries: uint64(size / recordSize)})
	t.start, t.end = keyAt(from), keyAt(to)
	return t
}

func (g *growth) flush() {
	g.levels = g.levels.AddNewest([]*Table{g.table(0, keySpace, flushedSize)})
	g.flushed += flushedSize
	g.level0, g.runs = max(g.level0, len(g.levels[0])), max(g.runs, g.levels.Runs())
}

// sizeBetween returns how many bytes of tables lie between two keys.
func sizeBetween(tables []*Table, from, to int64) (n int64) {
	for _, t := range tables {
		start, end := place(t.start), place(t.end)
		if part := min(end, to) - max(start, from); part > 0 {
			n += int64(float64(t.Size) * float64(part) / float64(end-start))
		}
	}
	return n
}

// compact carries plans out until there is none, or all is flushed.
func (g *growth) compact(t *testing.T) {
	for steps := 0; g.flushed < g.limit; steps++ {
		plan := Pick(&g.levels, 0, g.config)
		if plan == nil {
			return
		}
		if steps > 1000 {
			t.Fatalf("no end: %s", plan.Reason)
		}
		inputs, outputs := plan.Tables(), plan.Tables()
		if plan.Action == Rewrite {
			outputs = g.merge(plan)
			size := sizeBetween(inputs, 0, keySpace)
			g.written[plan.Level] += size
			g.longest = max(g.longest, size)
			for g.behind += float64(size) / keepsUp / flushedSize; g.behind >= 1; g.behind-- {
				g.flush()
			}
		}
		g.levels = g.levels.Replace(inputs, plan.Level, outputs)
	}
}

// merge returns the tables that a plan makes.
func (g *growth) merge(plan *Plan) (outputs []*Table) {
	inputs := plan.Tables()
	start, end := hull(inputs)
	if plan.Level == 0 {
		return []*Table{g.table(place(start), place(end), sizeBetween(inputs, 0, keySpace))}
	}
	bounds := [][]byte{start}
	for _, cut := range plan.cuts {
		if kv.Compare(start, cut) < 0 && kv.Compare(cut, end) < 0 {
			bounds = append(bounds, cut)
		}
	}
	for i, bound := range append(bounds, end)[1:] {
		from, width := place(bounds[i]), place(bound)-place(bounds[i])
		n := sizeBetween(inputs, from, from+width)/outputSize + 1
		for j := range n {
			from, to := from+width*j/n, from+width*(j+1)/n
			outputs = append(outputs, g.table(from, to, sizeBetween(inputs, from, to)))
		}
	}
	return outputs
}

// A load of new records in random order writes few bytes for each, however many there are, no compaction is so large that level 0
// fills meanwhile, and reads ask few runs.
func TestGrowth(t *testing.T) {
	for _, c := range []struct {
		records int64
		most    float64 // bytes written for each that is loaded
	}{
		{1e6, 2.4}, {10e6, 3.4}, {20e6, 3.5}, {30e6, 4.3}, {40e6, 4.5}, {45e6, 4.5}, {50e6, 4.5}, {55e6, 4.5}, {60e6, 4.5},
		{100e6, 5.5},
	} {
		g := &growth{config: Config{Base: 256 << 20, Memory: 32 << 20}, limit: c.records * recordSize}
		for g.flushed < g.limit {
			g.flush()
			g.compact(t)
		}
		compacted, sizes := int64(0), [NumLevels]int64{}
		for level := range NumLevels {
			compacted += g.written[level]
			sizes[level] = g.levels.bytes(level) >> 20
		}
		each := (loggedSize + recordSize*float64(g.flushed+compacted)/float64(g.flushed)) / userSize
		t.Logf("%3d M: %.2f bytes for each; compacted to each level %d MB, at most %d at once; at most %d tables in level 0, %d runs; "+
			"at the end %d tables, levels of %d MB",
			c.records/1e6, each, megabytes(g.written), g.longest>>20, g.level0, g.runs, len(g.levels[0]), sizes)
		if each > c.most {
			t.Errorf("%d M records: %.2f bytes for each, at most %.1f are allowed", c.records/1e6, each, c.most)
		}
		if g.longest > 3<<30 || g.level0 > 48 || g.runs > bottom-1 {
			t.Errorf("%d M records: a compaction of %d MB, %d tables in level 0, %d runs", c.records/1e6, g.longest>>20, g.level0, g.runs)
		}
	}
}

func megabytes(sizes [NumLevels]int64) [NumLevels]int64 {
	for i := range sizes {
		sizes[i] >>= 20
	}
	return sizes
}
