package memtable

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/google/btree"

	"github.com/ebbdb/ebb/internal/kv"
)

// The figures in doc.go are from
//
//	go test -run '^$' -bench . -benchtime 1s ./memtable
//
// on the machine of the project's limits: 1 M keys of 24 bytes ("user" and 20 random digits), values of 100 bytes.
const (
	benchKeys = 1_000_000
	keySize   = 24
	scanSize  = 50
)

// sorted is what the benchmarks compare.
type sorted interface {
	set(key, value []byte, seq uint64)
	get(key []byte) bool
	scan(dst, from []byte, n int) []byte // appends n keys and values
}

type ours struct {
	*Memtable
	iterators sync.Pool
}

func (o *ours) set(key, value []byte, seq uint64) {
	if err := o.Set(key, value, seq, 0, kv.Put); err != nil {
		panic(err)
	}
}

func (o *ours) get(key []byte) bool {
	_, ok := o.Get(key, math.MaxUint64)
	return ok
}

func (o *ours) scan(dst, from []byte, n int) []byte {
	it, _ := o.iterators.Get().(*Iterator)
	if it == nil {
		it = new(Iterator)
	}
	defer o.iterators.Put(it)
	it.Reset(o.Memtable, math.MaxUint64)
	for ok := it.SeekGE(from); ok && n > 0; ok = it.Next() {
		dst = append(append(dst, it.Entry().Key...), it.Entry().Value...)
		n--
	}
	return dst
}

// theirs is what one would write first: items by value in a google/btree, behind a sync.RWMutex.
type theirs struct {
	mu struct {
		sync.RWMutex
		// +checklocks:RWMutex
		tree *btree.BTreeG[[2][]byte]
	}
}

func (o *theirs) set(key, value []byte, _ uint64) {
	item := [2][]byte{bytes.Clone(key), bytes.Clone(value)}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.mu.tree.ReplaceOrInsert(item)
}

func (o *theirs) get(key []byte) bool {
	o.mu.RLock()
	defer o.mu.RUnlock()
	_, ok := o.mu.tree.Get([2][]byte{key})
	return ok
}

func (o *theirs) scan(dst, from []byte, n int) []byte {
	o.mu.RLock()
	defer o.mu.RUnlock()
	o.mu.tree.AscendGreaterOrEqual([2][]byte{from}, func(item [2][]byte) bool {
		dst = append(append(dst, item[0]...), item[1]...)
		n--
		return n > 0
	})
	return dst
}

var implementations = []struct {
	name string
	make func() sorted
}{
	{"memtable", func() sorted { return &ours{Memtable: New(Hint{prefix: "user"})} }},
	{"in order", func() sorted { return &ours{Memtable: New(Hint{prefix: "user", walked: true})} }},
	{"btree", func() sorted {
		o := new(theirs)
		o.mu.tree = btree.NewG(degree, func(a, b [2][]byte) bool { return bytes.Compare(a[0], b[0]) < 0 })
		return o
	}},
}

// random holds twice benchKeys keys in random order, in one piece that costs the garbage collector nothing.
var random = sync.OnceValue(func() []byte {
	r := rand.New(rand.NewPCG(1, 2))
	keys := make([]byte, 0, 2*benchKeys*keySize)
	for range 2 * benchKeys {
		keys = fmt.Appendf(keys, "user%020d", r.Uint64())
	}
	return keys
})

func randomKey(i int) []byte { return random()[i*keySize:][:keySize] }

// filled returns a store with the first benchKeys keys.
func filled(create func() sorted) sorted {
	s := create()
	for i := range benchKeys {
		s.set(randomKey(i), make([]byte, 100), uint64(i+1))
	}
	return s
}

// warm makes the heap large: the first touch of a page costs 3.5 us on that machine, which a server pays only once.
func warm() {
	ballast := make([]byte, 1<<30)
	for i := 0; i < len(ballast); i += 4096 {
		ballast[i] = 1
	}
}

func heap() float64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return float64(stats.HeapAlloc)
}

func BenchmarkInsert(b *testing.B) {
	for _, impl := range implementations {
		b.Run(impl.name, func(b *testing.B) {
			random()
			warm()
			var s sorted
			var took time.Duration
			before := heap()
			for n := 0; n < b.N; n += benchKeys {
				s = nil
				runtime.GC()
				began := time.Now()
				s = filled(impl.make)
				took += time.Since(began)
			}
			b.ReportMetric(took.Seconds()*1e9/benchKeys/math.Ceil(float64(b.N)/benchKeys), "ns/op")
			b.ReportMetric((heap()-before)/benchKeys, "B/key")
			runtime.KeepAlive(s)
		})
	}
}

func BenchmarkOne(b *testing.B) {
	warm()
	value := make([]byte, 100)
	for _, impl := range implementations {
		s := filled(impl.make)
		r := rand.New(rand.NewPCG(3, 4))
		key := func() []byte { return randomKey(r.IntN(benchKeys)) }
		get := func(b *testing.B) {
			for b.Loop() {
				if !s.get(key()) {
					b.Fatal("a key is lost")
				}
			}
		}
		buf := make([]byte, 0, scanSize*(keySize+100))
		scan := func(b *testing.B) {
			var n int
			for b.Loop() {
				buf = s.scan(buf[:0], key(), scanSize)
				n += len(buf)
			}
			b.ReportMetric(b.Elapsed().Seconds()*1e9/(float64(n)/(keySize+100)), "ns/item")
		}
		b.Run("get/"+impl.name, get)
		b.Run("scan/"+impl.name, scan)
		seq := uint64(benchKeys)
		b.Run("overwrite/"+impl.name, func(b *testing.B) {
			for b.Loop() {
				seq++
				s.set(key(), value, seq)
			}
		})
		b.Run("get beside a writer/"+impl.name, func(b *testing.B) { besideWriter(b, s, get) })
		b.Run("scan beside a writer/"+impl.name, func(b *testing.B) { besideWriter(b, s, scan) })
	}
}

// BenchmarkFirstWalk is what the first seek of a memtable waits for.
func BenchmarkFirstWalk(b *testing.B) {
	for _, keys := range []int{benchKeys / 5, benchKeys} {
		b.Run(fmt.Sprint(keys), func(b *testing.B) {
			for range b.N {
				b.StopTimer()
				m := New(Hint{prefix: "user"})
				for i := range keys {
					if err := m.Set(randomKey(i), nil, uint64(i+1), 0, kv.Put); err != nil {
						b.Fatal(err)
					}
				}
				b.StartTimer()
				m.NewIterator(math.MaxUint64).First()
			}
			b.ReportMetric(b.Elapsed().Seconds()*1e9/float64(b.N*keys), "ns/key")
		})
	}
}

// BenchmarkWalk is what a flush does.
func BenchmarkWalk(b *testing.B) {
	m := filled(implementations[0].make).(*ours)
	it := m.NewIterator(math.MaxUint64)
	var n int
	for b.Loop() {
		for ok := it.First(); ok; ok = it.Next() {
			n += len(it.Entry().Value)
		}
	}
	b.ReportMetric(b.Elapsed().Seconds()*1e9/(float64(n)/100), "ns/item")
}

// besideWriter measures read while another goroutine inserts new keys, and reports that one's speed too.
func besideWriter(b *testing.B, s sorted, read func(b *testing.B)) {
	stop, done := make(chan struct{}), make(chan struct{})
	var wrote int
	go func() {
		defer close(done)
		for value := make([]byte, 100); wrote < benchKeys; wrote++ {
			select {
			case <-stop:
				return
			default:
				s.set(randomKey(benchKeys+wrote), value, uint64(10*benchKeys+wrote))
			}
		}
	}()
	read(b)
	close(stop)
	<-done
	b.ReportMetric(b.Elapsed().Seconds()*1e9/float64(wrote), "ns/write")
}
