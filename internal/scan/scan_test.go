package scan

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/lsm"
	"pgregory.net/rapid"
)

// Whatever a run holds, Take takes the entries within the bounds, in the direction of travel, up to the first that is not
// live, as many as are wanted, and says why it ended.
func TestTake(t *testing.T) {
	const now = 1000
	evicted := kv.Evictions{{Seq: 5, Horizon: now + 1}} // of the first five entries, those with a deadline
	var a Ahead                                         // one for all, so that what is left of an earlier use would show
	rapid.Check(t, func(t *rapid.T) {
		run := make([]kv.Entry, rapid.IntRange(1, 20).Draw(t, "entries"))
		for i := range run {
			run[i] = kv.Entry{Key: fmt.Appendf(nil, "key%02d", 2*i), Value: []byte("value"), Seq: uint64(i),
				Kind:     rapid.SampledFrom([]kv.Kind{kv.Put, kv.Put, kv.Put, kv.Put, kv.Delete}).Draw(t, "kind"),
				Deadline: rapid.SampledFrom([]int64{0, 0, 0, now, now + 1}).Draw(t, "deadline")}
		}
		bound := func(name string) []byte {
			if rapid.Bool().Draw(t, name) {
				return nil
			}
			return fmt.Appendf(nil, "key%02d", rapid.IntRange(0, 2*len(run)).Draw(t, name))
		}
		var hidden kv.RangeSet
		if rapid.IntRange(0, 3).Draw(t, "hidden") == 0 {
			hidden.Add([]byte("key14"), []byte("key20")) // entries 7 to 9, of which 9 is the transaction's own
		}
		var b Bounds
		start, end, reverse, kept := bound("start"), bound("end"), rapid.Bool().Draw(t, "reverse"), rapid.Bool().Draw(t, "kept")
		b.Set(start, end, nil)
		a.Begin(reverse)
		a.Want, a.KeysOnly = rapid.IntRange(1, 25).Draw(t, "want"), !kept && rapid.Bool().Draw(t, "keys only")

		order, why := slices.Clone(run), StopNone
		if reverse {
			slices.Reverse(order)
		}
		var want []string
		for i := range order {
			e := &order[i]
			switch {
			case !reverse && end != nil && bytes.Compare(e.Key, end) >= 0, reverse && bytes.Compare(e.Key, start) < 0:
				why = StopBound
			case e.Kind == kv.Delete || e.Deadline == now || e.Deadline > 0 && e.Seq < 5,
				len(hidden.All()) > 0 && (e.Seq == 7 || e.Seq == 8):
				why = StopAbsent
			default:
				if want = append(want, string(e.Key)); len(want) == a.Want {
					why = StopFull
				}
			}
			if why != StopNone {
				break
			}
		}
		n, stop, covering := a.Take(run, b.Within(run, reverse), kept, &Absent{
			Deletes: new(lsm.Deletes), Evicted: evicted, Hidden: &hidden, Own: 9, Seq: 100, Now: now})
		if n != len(want) || stop != why || covering != nil {
			t.Fatalf("took %d and ended because of %d, want %d and %d", n, stop, len(want), why)
		}
		if !kept {
			for i := range run { // copies do not change
				copy(run[i].Key, strings.Repeat("x", 99))
				copy(run[i].Value, strings.Repeat("x", 99))
			}
		}
		var got []string
		for _, e := range a.Entries {
			if got = append(got, string(e.Key)); e.ValueSize() != len("value") || string(e.Value) != "value" && !a.KeysOnly {
				t.Fatalf("%q = %q, of %d bytes", e.Key, e.Value, e.ValueSize())
			}
		}
		if !slices.Equal(got, want) || a.Held != (kept && n > 0) {
			t.Fatalf("took %q, want %q; held %t", got, want, a.Held)
		}
	})
}
