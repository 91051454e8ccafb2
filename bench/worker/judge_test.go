package worker

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ebbdb/ebb/bench/measure"
	"github.com/ebbdb/ebb/bench/store"
	"github.com/ebbdb/ebb/bench/workload"
)

// liar is a store that answers wrong in one way.
type liar struct {
	store.Store
	get  func(value []byte) ([]byte, error)                   // instead of a value that was found
	put  func(key, value []byte) bool                         // whether a put is done
	scan func(keys, values [][]byte) (k [][]byte, v [][]byte) // instead of what a scan has found
}

func (l *liar) Get(key, buf []byte) ([]byte, error) {
	value, err := l.Store.Get(key, buf)
	if err == nil && l.get != nil {
		return l.get(value)
	}
	return value, err
}

func (l *liar) Put(key, value []byte) error {
	if l.put != nil && !l.put(key, value) {
		return nil
	}
	return l.Store.Put(key, value)
}

func (l *liar) Scan(start []byte, n int, visit func(key, value []byte) bool) error {
	if l.scan == nil {
		return l.Store.Scan(start, n, visit)
	}
	var keys, values [][]byte
	err := l.Store.Scan(start, n, func(key, value []byte) bool {
		keys, values = append(keys, bytes.Clone(key)), append(values, bytes.Clone(value))
		return true
	})
	keys, values = l.scan(keys, values)
	for i := range keys {
		visit(keys[i], values[i])
	}
	return err
}

// newRunner returns a runner over a small tree in memory, whose answers go through l.
func newRunner(t *testing.T, l *liar) *runner {
	t.Helper()
	info, err := store.Lookup("btree")
	must(t, err)
	c := Config{
		Store: "btree", Dir: t.TempDir(), Records: 2000, ValueSize: 100, Threads: 1, LoadBatch: 1, Ops: 3000, Seed: 1,
		TTLMin: time.Second, TTLMax: time.Second,
	}
	r := &runner{config: c, info: info}
	l.Store, err = info.Open(c.options())
	must(t, err)
	r.store = l
	r.values, err = workload.NewValues(c.ValueSize, c.Random, c.Seed)
	must(t, err)
	return r
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wrong runs phases and returns how many answers were found wrong, and the first.
func (r *runner) wrong(t *testing.T, phases ...string) (n int64, first string) {
	t.Helper()
	for _, p := range phases {
		must(t, r.named(p))
	}
	for _, p := range slices.Backward(r.run.Phases) {
		if n += p.Wrong; p.Wrong > 0 {
			first = p.FirstWrong
		}
	}
	return n, first
}

var everything = []string{"load", "e", "a", "e2", "b", "c", "f", "d", "batch", "queue", "drain"}

func TestHonestStore(t *testing.T) {
	r := newRunner(t, &liar{})
	if n, first := r.wrong(t, everything...); n > 0 {
		t.Errorf("%d wrong answers: %s", n, first)
	}
	for _, p := range r.run.Phases {
		all := p.Latency[measure.All]
		if p.Ops == 0 || all.Count != p.Ops || all.P50 <= 0 || all.Max < all.P999 || p.LiveBytes == 0 || len(p.Samples) < 2 {
			t.Errorf("%+v", p)
		}
		if p.Name != "load" && p.Ops != int64(r.config.Ops) {
			t.Errorf("%s has %d operations", p.Name, p.Ops)
		}
	}
}

// TestLies has each lie found out.
func TestLies(t *testing.T) {
	fresh := true
	first := map[string]string{}
	for _, c := range []struct {
		name   string
		liar   *liar
		phases []string
	}{
		{"a value is not found", &liar{get: func([]byte) ([]byte, error) { return nil, store.ErrNotFound }}, []string{"load", "c"}},
		{"a value is cut", &liar{get: func(v []byte) ([]byte, error) { return v[:50], nil }}, []string{"load", "c"}},
		{"a value is empty", &liar{get: func(v []byte) ([]byte, error) { return v[:0:0], store.ErrNotFound }}, []string{"load", "c"}},
		{"a value is damaged", &liar{get: func(v []byte) ([]byte, error) { v[60]++; return v, nil }}, []string{"load", "c"}},
		{"an update is not done", &liar{put: func(key, _ []byte) bool {
			_, there := first[string(key)]
			first[string(key)] = ""
			return !there
		}}, []string{"load", "a", "b"}},
		{"an insert is not done", &liar{put: func(_, _ []byte) bool { fresh = !fresh; return fresh }}, []string{"load", "c"}},
		{"a scan is backwards", &liar{scan: func(k, v [][]byte) ([][]byte, [][]byte) {
			slices.Reverse(k)
			slices.Reverse(v)
			return k, v
		}}, []string{"load", "e"}},
		{"a scan shows a key twice", &liar{scan: func(k, v [][]byte) ([][]byte, [][]byte) {
			return append(k[:1], k...), append(v[:1], v...)
		}}, []string{"load", "e"}},
		{"a scan misses the first", &liar{scan: func(k, v [][]byte) ([][]byte, [][]byte) { return k[1:], v[1:] }}, []string{"load", "e"}},
		{"a scan ends early", &liar{scan: func(k, v [][]byte) ([][]byte, [][]byte) { return k[:1], v[:1] }}, []string{"load", "e"}},
		{"a scan shows nothing", &liar{scan: func(k, v [][]byte) ([][]byte, [][]byte) { return nil, nil }}, []string{"load", "e"}},
		{"a scan mixes values up", &liar{scan: func(k, v [][]byte) ([][]byte, [][]byte) {
			if len(v) > 1 {
				v[0], v[1] = v[1], v[0]
			}
			return k, v
		}}, []string{"load", "e"}},
		{"a queue gives nothing", &liar{scan: func(k, v [][]byte) ([][]byte, [][]byte) { return nil, nil }}, []string{"queue"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			n, first := newRunner(t, c.liar).wrong(t, c.phases...)
			if n == 0 {
				t.Error("nobody noticed")
			}
			t.Logf("%d times; %s", n, first)
		})
	}
}

// expirer keeps values past their deadline, or loses them before.
type expirer struct {
	store.Store
	gone bool
}

func (e *expirer) PutUntil(key, value []byte, _ time.Time) error {
	if e.gone {
		return nil
	}
	return e.Put(key, value)
}

func TestDeadlinesAreChecked(t *testing.T) {
	for _, gone := range []bool{false, true} {
		t.Run(fmt.Sprintf("gone=%v", gone), func(t *testing.T) {
			r := newRunner(t, &liar{})
			e := &expirer{r.store, gone}
			c := newTTLClient(r, e, e, 0)
			write := func() {
				for {
					if kind, _ := c.next(); kind == workload.Update {
						break
					}
				}
				must(t, c.do())
				c.check()
			}
			read := func() {
				c.kind, c.before = workload.Read, time.Now()
				must(t, c.do())
				c.check()
			}
			write()
			read()
			if early := r.judge.count.Load() == 1; early != gone {
				t.Fatalf("%d wrong before the deadline", r.judge.count.Load())
			}
			// As if the deadline had passed: the value that comes back is of that deadline as well.
			c.looked.deadline = time.Now().Add(-time.Minute).UnixMilli()
			must(t, e.PutUntil(c.key, c.values.Append(nil, c.key, c.looked.version, c.looked.deadline), time.Time{}))
			before := r.judge.count.Load()
			read()
			if late := r.judge.count.Load() == before+1; late == gone {
				t.Errorf("%d wrong after the deadline", r.judge.count.Load()-before)
			}
			if p := r.judge.first.Load(); p == nil || !strings.Contains(*p, "deadline") {
				t.Error("it is not said what is wrong")
			}
		})
	}
}

// TestVerifyCounts acknowledges more than there is.
func TestVerifyCounts(t *testing.T) {
	c := Config{Store: "ebb", Dir: t.TempDir(), Records: 1, ValueSize: 100, Threads: 2, Seed: 1}
	info, err := store.Lookup(c.Store)
	must(t, err)
	s, err := info.Open(c.options())
	must(t, err)
	values, err := workload.NewValues(c.ValueSize, c.Random, c.Seed)
	must(t, err)
	for thread := range uint64(2) {
		acks := &limited{n: 10}
		if writeAcked(s, values, thread, acks) == nil || len(acks.written) != 10*AckSize {
			t.Fatalf("%d bytes of acknowledgements", len(acks.written))
		}
		if got, n := DecodeAck(acks.written[9*AckSize:]); got != int(thread) || n != 10 {
			t.Fatalf("thread %d, %d writes", got, n)
		}
	}
	must(t, s.Close())
	c.Acked = []uint64{10, 15}
	run := Verified(c)
	if run.Error != "" || run.Crash.Acknowledged != 25 || run.Crash.Lost != 4 || run.Crash.OpenTime <= 0 || !run.Crash.Promised {
		t.Errorf("%s %+v", run.Error, run.Crash) // of thread 1, the eleventh was written, and nobody heard of it
	}
}

// limited takes so many writes.
type limited struct {
	n       int
	written []byte
}

func (l *limited) Write(p []byte) (int, error) {
	if l.n == 0 {
		return 0, fmt.Errorf("closed")
	}
	l.n--
	l.written = append(l.written, p...)
	return len(p), nil
}

func TestSelect(t *testing.T) {
	for _, c := range []struct{ asked, want string }{
		{"c,a", "[{core [load a c]}]"},
		{"load", "[{core [load]}]"},
		{"e2,large,crash", "[{core [load e2]} {large [large-load large]} {crash [crash]}]"},
		{"queue,ttl", "[{ttl [ttl]} {queue [queue]}]"},
		{"drain,queue", "[{queue [queue drain]}]"},
	} {
		got, err := Select(strings.Split(c.asked, ","))
		if err != nil || fmt.Sprint(got) != c.want {
			t.Errorf("%s is %v, %v, not %s", c.asked, got, err, c.want)
		}
	}
	if _, err := Select([]string{"a", "z"}); err == nil {
		t.Error("there is a workload z")
	}
}
