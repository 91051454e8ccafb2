package gap

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
)

// shared is a database of a few keys that one writes and others read, without a lock.
type shared struct {
	keys             [64][]byte
	versions         [64]atomic.Pointer[[]version]
	applied, visible atomic.Uint64
	set              *Set
}

func (d *shared) live(key int, seq uint64) bool {
	if p := d.versions[key].Load(); p != nil {
		for i := len(*p) - 1; i >= 0; i-- {
			if v := (*p)[i]; v.seq <= seq {
				return v.live
			}
		}
	}
	return false
}

// write applies a put or a delete, and shows what is lag older.
func (d *shared) write(key int, live bool, lag uint64) {
	var all []version
	if p := d.versions[key].Load(); p != nil {
		all = *p
	}
	seq := d.applied.Load() + 1
	all = append(all, version{seq: seq, live: live})
	d.versions[key].Store(&all)
	d.applied.Store(seq)
	if live {
		d.set.Cut(d.keys[key])
	}
	if seq > lag {
		d.visible.Store(seq - lag)
	}
}

// scan walks over all keys, jumping where it can, and fails where a jump leads over something.
func (d *shared) scan(r *rand.Rand) error {
	m := Moment{Seq: d.visible.Load()}
	from := r.IntN(len(d.keys))
	run := Run{Start: d.keys[from], End: d.keys[from], Moment: m}
	for k := from; k < len(d.keys); {
		if d.live(k, m.Seq) {
			d.set.Offer(&run)
			k++
			if k < len(d.keys) {
				run = Run{Start: d.keys[k], End: d.keys[k], Moment: m}
			}
			continue
		}
		if j := d.set.Forward(run.End, m); j.Hops > 0 {
			run.End, run.Hops = j.To, run.Hops+j.Hops
			for ; k < len(d.keys) && bytes.Compare(d.keys[k], j.To) < 0; k++ {
				if d.live(k, m.Seq) {
					return fmt.Errorf("a scan as of %d jumps over key %d", m.Seq, k)
				}
			}
			continue
		}
		run.End = append(bytes.Clone(d.keys[k]), 0)
		run.Dead++
		k++
	}
	d.set.Offer(&run)
	return nil
}

// Readers offer what they walk over while others put keys there, which show at once or later.
func TestConcurrency(t *testing.T) {
	for _, lag := range []uint64{0, 5} {
		d := new(shared)
		d.set = NewSet(1<<20, 1, d.applied.Load)
		for i := range d.keys {
			d.keys[i] = fmt.Appendf(nil, "k%02d", i)
		}
		var stop atomic.Bool
		var readers sync.WaitGroup
		for n := range 4 {
			readers.Go(func() {
				r := rand.New(rand.NewPCG(lag, uint64(n)))
				for !stop.Load() {
					if err := d.scan(r); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		r := rand.New(rand.NewPCG(lag, 99))
		for range 20_000 {
			key := r.IntN(len(d.keys))
			if r.IntN(10) == 0 {
				d.write(key, true, lag)
			} else if d.live(key, d.applied.Load()) || r.IntN(8) == 0 {
				d.write(key, false, lag)
			}
		}
		stop.Store(true)
		readers.Wait()
		if err := d.set.check(); err != nil {
			t.Error(err)
		}
	}
}

// What is in no gap is cut, and what is in one is jumped over, without allocating.
func TestAllocations(t *testing.T) {
	s := NewSet(1<<20, 1, func() uint64 { return 1 })
	for i := range 200 {
		s.Offer(&Run{Start: fmt.Appendf(nil, "%03da", i), End: fmt.Appendf(nil, "%03db", i), Moment: Moment{Seq: 1}, Dead: 1000})
	}
	in, out := []byte("100a1"), []byte("100c")
	if n := testing.AllocsPerRun(100, func() {
		s.Cut(out)
		if s.Forward(in, Moment{Seq: 1}).Hops != 1 || s.Backward(in, Moment{Seq: 1}).Hops != 1 {
			t.Fatal("no gap there")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if n := testing.AllocsPerRun(100, func() { (*Set)(nil).Cut(out) }); n != 0 {
		t.Errorf("%v allocations without a set", n)
	}
}
