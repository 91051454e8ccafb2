package memtable

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"sort"
	"testing"

	"pgregory.net/rapid"

	"github.com/ebbdb/ebb/internal/kv"
)

// model is what a memtable must look like: every version of every key, and every range delete.
type model struct {
	versions map[string][]kv.Entry // oldest first
	keys     []string              // ascending
	ranges   []kv.RangeDelete
}

func newModel() *model { return &model{versions: make(map[string][]kv.Entry)} }

func (m *model) set(e kv.Entry) {
	key := string(e.Key)
	if _, ok := m.versions[key]; !ok {
		i, _ := slices.BinarySearch(m.keys, key)
		m.keys = slices.Insert(m.keys, i, key)
	}
	m.versions[key] = append(m.versions[key], e)
}

func (m *model) get(key string, seq uint64) (kv.Entry, bool) {
	versions := m.versions[key]
	for i := len(versions) - 1; i >= 0; i-- {
		if versions[i].Seq <= seq {
			return versions[i], true
		}
	}
	return kv.Entry{}, false
}

func (m *model) rangeSeq(key string, asOf uint64) uint64 {
	var newest uint64
	for _, d := range m.ranges {
		if string(d.Start) <= key && key < string(d.End) && d.Seq <= asOf {
			newest = max(newest, d.Seq)
		}
	}
	return newest
}

// visible returns the keys that seq sees, ascending.
func (m *model) visible(seq uint64) []string {
	var keys []string
	for _, key := range m.keys {
		if _, ok := m.get(key, seq); ok {
			keys = append(keys, key)
		}
	}
	return keys
}

// differ says how two entries differ, "" if they do not.
func differ(got, want *kv.Entry) string {
	if bytes.Equal(got.Key, want.Key) && bytes.Equal(got.Value, want.Value) &&
		got.Seq == want.Seq && got.Deadline == want.Deadline && got.Kind == want.Kind {
		return ""
	}
	return fmt.Sprintf("got %.80s, want %.80s", fmt.Sprintf("%+v", *got), fmt.Sprintf("%+v", *want))
}

// set gives an entry to a memtable, in memory that is then used for something else.
func set(t interface{ Fatal(...any) }, table *Memtable, e kv.Entry) {
	key, value := bytes.Clone(e.Key), bytes.Clone(e.Value)
	if err := table.Set(key, value, e.Seq, e.Deadline, e.Kind); err != nil {
		t.Fatal(err)
	}
	clear(key)
	clear(value)
}

// modelIterator is an Iterator beside the keys it must walk.
type modelIterator struct {
	it   *Iterator
	seq  uint64
	keys []string // what seq sees, fixed when it was opened
	at   int      // in keys; -1: nowhere
}

// check fails unless the iterator's answer and position are those of the model.
func (mi *modelIterator) check(t *rapid.T, m *model, what string, ok bool) {
	if mi.at < 0 || mi.at >= len(mi.keys) {
		mi.at = -1
		if ok {
			t.Fatalf("%s at %d: stands on %q, want the end", what, mi.seq, mi.it.Entry().Key)
		}
		return
	}
	if !ok {
		t.Fatalf("%s at %d: the end, want %q", what, mi.seq, mi.keys[mi.at])
	}
	want, _ := m.get(mi.keys[mi.at], mi.seq)
	if d := differ(mi.it.Entry(), &want); d != "" {
		t.Fatalf("%s at %d: %s", what, mi.seq, d)
	}
}

func (mi *modelIterator) move(t *rapid.T, m *model, key string) {
	switch rapid.IntRange(0, 9).Draw(t, "move") {
	case 8, 9:
		mi.run(t, m)
	case 0:
		mi.aim(t, key, rapid.Bool().Draw(t, "before"))
		mi.at = 0
		mi.check(t, m, "First", mi.it.First())
	case 1:
		mi.aim(t, key, rapid.Bool().Draw(t, "before"))
		mi.at = len(mi.keys) - 1
		mi.check(t, m, "Last", mi.it.Last())
	case 2:
		mi.aim(t, key, false)
		mi.at = sort.SearchStrings(mi.keys, key)
		mi.check(t, m, fmt.Sprintf("SeekGE(%q)", key), mi.it.SeekGE([]byte(key)))
	case 3:
		mi.aim(t, key, true)
		mi.at = sort.SearchStrings(mi.keys, key) - 1
		mi.check(t, m, fmt.Sprintf("SeekLT(%q)", key), mi.it.SeekLT([]byte(key)))
	case 4, 5:
		if mi.at >= 0 {
			mi.at++
		}
		mi.check(t, m, "Next", mi.it.Next())
	default:
		if mi.at >= 0 {
			mi.at--
		}
		mi.check(t, m, "Prev", mi.it.Prev())
	}
}

// aim aims the iterator, or does nothing, before a call that may follow.
func (mi *modelIterator) aim(t *rapid.T, key string, before bool) {
	how := rapid.IntRange(0, 4).Draw(t, "aim")
	if how == 4 { // at something else before
		mi.it.Aim([]byte(modelKey().Draw(t, "vain")), rapid.Bool().Draw(t, "vainly before"))
		mi.it.Fetch()
	}
	if how > 0 {
		mi.it.Aim([]byte(key), before)
	}
	if how > 1 {
		mi.it.Fetch()
	}
}

// run checks the entries that the iterator has at hand, and passes over some of them.
func (mi *modelIterator) run(t *rapid.T, m *model) {
	want, reverse := rapid.IntRange(1, 100).Draw(t, "want"), rapid.Bool().Draw(t, "reverse")
	run, kept := mi.it.Run(want, reverse)
	if mi.at < 0 || mi.at >= len(mi.keys) {
		if len(run) > 0 {
			t.Fatalf("an iterator that stands nowhere has %d entries at hand", len(run))
		}
		return
	}
	first := mi.at
	if reverse {
		first = mi.at + 1 - len(run)
	}
	if kept || len(run) == 0 || len(run) > want || first < 0 || first+len(run) > len(mi.keys) {
		t.Fatalf("a run of %d entries at %d of %d, reverse %t, wanted %d", len(run), mi.at, len(mi.keys), reverse, want)
	}
	for i := range run {
		want, _ := m.get(mi.keys[first+i], mi.seq)
		if d := differ(&run[i], &want); d != "" {
			t.Fatalf("entry %d of a run at %d: %s", i, mi.seq, d)
		}
	}
	n := rapid.IntRange(0, len(run)-1).Draw(t, "pass")
	if mi.it.Pass(n, reverse); reverse {
		n = -n
	}
	mi.at += n
	mi.check(t, m, "Pass", true)
}

// modelKey draws keys that share prefixes, are prefixes of each other, or hold the extreme bytes.
func modelKey() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.Custom(func(t *rapid.T) string { return fmt.Sprintf("user%04d", rapid.IntRange(0, 300).Draw(t, "n")) }),
		rapid.StringMatching(`user(\x00|\xff|0){0,16}`),
		rapid.StringMatching(`(\x00|a|\xff){1,3}`),
		rapid.SampledFrom([]string{"u", "us", "use", "user", "user0", "uses", "v"}),
	)
}

// checkModel runs random operations on a memtable and on the model, with iterators of all ages in between.
func checkModel(t *rapid.T) {
	hint := Hint{prefix: rapid.SampledFrom([]string{"", "user", "user0000", "zzz"}).Draw(t, "hint")}
	hint.walked = rapid.Bool().Draw(t, "walked")
	table, m, seq := New(hint), newModel(), uint64(0)
	table.tree.list.max = rapid.SampledFrom([]int64{1, 100, maxList}).Draw(t, "list")
	var iterators []*modelIterator
	t.Repeat(map[string]func(*rapid.T){
		"set": func(t *rapid.T) {
			seq += rapid.Uint64Range(1, 3).Draw(t, "step")
			e := kv.Entry{Key: []byte(modelKey().Draw(t, "key")), Seq: seq}
			e.Deadline = rapid.SampledFrom([]int64{0, 0, 1, -1, math.MaxInt64}).Draw(t, "deadline")
			if e.Kind = kv.Kind(rapid.IntRange(0, 1).Draw(t, "kind")); e.Kind == kv.Put {
				e.Value = rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "value")
			}
			m.set(e)
			set(t, table, e)
		},
		"fill": func(t *rapid.T) {
			prefix := modelKey().Draw(t, "prefix")
			for i := range rapid.IntRange(1, 400).Draw(t, "keys") {
				seq++
				e := kv.Entry{Key: fmt.Appendf(nil, "%s%d", prefix, i), Value: []byte{byte(i)}, Seq: seq}
				m.set(e)
				set(t, table, e)
			}
		},
		"delete range": func(t *rapid.T) {
			seq++
			start, end := modelKey().Draw(t, "start"), modelKey().Draw(t, "end")
			m.ranges = append(m.ranges, kv.RangeDelete{Start: []byte(start), End: []byte(end), Seq: seq})
			bounds := []byte(start + end)
			table.DeleteRange(bounds[:len(start)], bounds[len(start):], seq)
			clear(bounds) // they were copied
		},
		"get": func(t *rapid.T) {
			key, asOf := modelKey().Draw(t, "key"), rapid.Uint64Range(0, seq+1).Draw(t, "seq")
			got, ok := table.Get([]byte(key), asOf)
			want, wantOK := m.get(key, asOf)
			if d := differ(&got, &want); ok != wantOK || d != "" {
				t.Fatalf("Get(%q, %d) = %t, want %t: %s", key, asOf, ok, wantOK, d)
			}
			if got, want := table.RangeDeletes().Seq([]byte(key), asOf), m.rangeSeq(key, asOf); got != want {
				t.Fatalf("RangeDeletes().Seq(%q, %d) = %d, want %d", key, asOf, got, want)
			}
		},
		"open": func(t *rapid.T) {
			asOf := rapid.Uint64Range(0, seq).Draw(t, "seq")
			mi := &modelIterator{it: table.NewIterator(asOf), seq: asOf, keys: m.visible(asOf), at: -1}
			if len(iterators) < 4 {
				iterators = append(iterators, mi)
			} else {
				iterators[rapid.IntRange(0, 3).Draw(t, "which")] = mi
			}
		},
		"move": func(t *rapid.T) {
			if len(iterators) == 0 {
				t.Skip("no iterator")
			}
			mi := rapid.SampledFrom(iterators).Draw(t, "iterator")
			for range rapid.IntRange(1, 100).Draw(t, "moves") {
				mi.move(t, m, modelKey().Draw(t, "key"))
			}
		},
		"": func(t *rapid.T) {
			if table.Len() != len(m.keys) {
				t.Fatalf("Len() = %d, want %d", table.Len(), len(m.keys))
			}
		},
	})
}

func TestModel(t *testing.T) { rapid.Check(t, checkModel) }
