package ttl

import (
	"fmt"
	"maps"
	"math"
	"runtime"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// upcomingMachine holds an Upcoming against all the versions that its owner has.
type upcomingMachine struct {
	u       *Upcoming
	limit   int64
	seq     uint64
	newest  map[string]Version // of every key that was written and not deleted; Deadline 0: it has none
	filling bool
	unread  []Version // by the scan under way
}

func (m *upcomingMachine) key(t *rapid.T) string {
	return rapid.StringOfN(rapid.RuneFrom([]rune("abc")), 1, 3, -1).Draw(t, "key")
}

// Write writes a version of a key.
func (m *upcomingMachine) Write(t *rapid.T) {
	m.seq++
	v := Version{rapid.Int64Range(0, 100).Draw(t, "deadline"), m.seq, m.key(t)}
	m.newest[v.Key] = v
	m.u.Set([]byte(v.Key), v.Seq, v.Deadline)
}

// DeleteRange deletes keys of which nobody is told.
func (m *upcomingMachine) DeleteRange(t *rapid.T) {
	m.seq++
	start := m.key(t)
	for key := range m.newest {
		if start <= key && key < start+"c" {
			delete(m.newest, key)
		}
	}
}

// Report takes out what is due, some of it at a time, and holds that nothing is missing that is complete.
func (m *upcomingMachine) Report(t *rapid.T) {
	now := rapid.Int64Range(0, 100).Draw(t, "now")
	var after Version
	for {
		due := m.u.Due(nil, now, after, 2)
		if len(due) == 0 {
			break
		}
		for _, v := range due {
			if v.Deadline > now || after != (Version{}) && !after.Before(v) {
				t.Fatalf("%v is due at %d, after %v", v, now, after)
			}
			after = v
			m.u.Remove(v)
			if m.newest[v.Key] == v {
				delete(m.newest, v.Key)
			}
		}
	}
	for _, v := range m.newest {
		if v.Deadline > 0 && v.Deadline <= now && v.Before(m.u.Bound()) {
			t.Fatalf("%v is not due at %d, although it is complete up to %v", v, now, m.u.Bound())
		}
	}
}

// Scan begins a scan of what there is, older versions among it, goes on with one, or ends it.
func (m *upcomingMachine) Scan(t *rapid.T) {
	if !m.filling {
		m.filling = true
		m.unread = nil
		for _, key := range slices.Sorted(maps.Keys(m.newest)) {
			v := m.newest[key]
			if v.Deadline > 0 && !v.Before(m.u.Bound()) {
				m.unread = append(m.unread, v)
				if v.Seq > 1 {
					m.unread = append(m.unread, Version{rapid.Int64Range(1, 100).Draw(t, "older"), v.Seq - 1, v.Key})
				}
			}
		}
		m.u.Fill()
		return
	}
	for range min(len(m.unread), 3) {
		i := rapid.IntRange(0, len(m.unread)-1).Draw(t, "i")
		v := m.unread[i]
		m.unread = append(m.unread[:i], m.unread[i+1:]...)
		m.u.Set([]byte(v.Key), v.Seq, v.Deadline)
	}
	if broken := rapid.IntRange(0, 9).Draw(t, "broken") == 0; broken || len(m.unread) == 0 {
		m.u.Filled(!broken)
		m.filling = false
	}
}

// Ingest brings versions of which nobody is told but that they are there.
func (m *upcomingMachine) Ingest(t *rapid.T) {
	if m.filling {
		return
	}
	m.seq++
	first := int64(math.MaxInt64)
	for range 3 {
		v := Version{rapid.Int64Range(1, 100).Draw(t, "deadline"), m.seq, m.key(t)}
		m.newest[v.Key] = v
		first = min(first, v.Deadline)
	}
	m.u.Forget(first)
}

func (m *upcomingMachine) Check(t *rapid.T) {
	all := m.u.Due(nil, math.MaxInt64, Version{}, math.MaxInt)
	bytes, in := int64(0), map[string]Version{}
	for _, v := range all {
		if _, again := in[v.Key]; again {
			t.Fatalf("%s is in it twice", v.Key)
		}
		in[v.Key] = v
		bytes += versionSize + int64(len(v.Key))
		if v.Deadline < m.u.Next() {
			t.Fatalf("%v expires before %d", v, m.u.Next())
		}
	}
	if len(all) != m.u.Len() || bytes != m.u.Bytes() || bytes > m.limit {
		t.Fatalf("%d versions of %d bytes, want %d of %d, at most %d", m.u.Len(), m.u.Bytes(), len(all), bytes, m.limit)
	}
	for key, v := range m.newest {
		if v.Deadline > 0 && v.Before(m.u.Bound()) && in[key] != v {
			t.Fatalf("complete up to %v, but has %v, want %v", m.u.Bound(), in[key], v)
		}
	}
}

func TestUpcomingModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &upcomingMachine{newest: map[string]Version{}}
		m.limit = rapid.SampledFrom([]int64{1, 3 * versionSize, 10 * versionSize, 1 << 20}).Draw(t, "limit")
		m.u = NewUpcoming(m.limit)
		t.Repeat(map[string]func(*rapid.T){
			"write": m.Write, "write2": m.Write, "write3": m.Write, "deleteRange": m.DeleteRange, "report": m.Report,
			"scan": m.Scan, "scan2": m.Scan, "ingest": m.Ingest, "": m.Check,
		})
	})
}

// What it says it takes is what it takes, within a quarter.
func TestUpcomingBytes(t *testing.T) {
	heap := func() int64 {
		var s runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&s)
		return int64(s.HeapAlloc)
	}
	const n = 100_000
	before := heap()
	u := NewUpcoming(1 << 30)
	u.Fill()
	for i := range n {
		u.Set(fmt.Appendf(nil, "session%09d", i), uint64(i), int64(1+i*7919%n))
	}
	took := heap() - before
	t.Logf("%d versions take %d bytes, %d each; counted %d", n, took, took/n, u.Bytes())
	if took > u.Bytes()*5/4 || took < u.Bytes()*3/4 {
		t.Errorf("%d versions take %d bytes, but %d are counted", n, took, u.Bytes())
	}
	runtime.KeepAlive(u)
}

// A key that is given new deadlines again and again allocates nothing.
func TestUpcomingAllocates(t *testing.T) {
	u := NewUpcoming(1 << 20)
	u.Fill()
	keys := make([][]byte, 100)
	for i := range keys {
		keys[i] = fmt.Appendf(nil, "key%03d", i)
	}
	seq := uint64(0)
	touch := func() {
		for _, key := range keys {
			seq++
			u.Set(key, seq, int64(1000+seq))
		}
	}
	for range 100 {
		touch()
	}
	if n := testing.AllocsPerRun(100, touch); n > 1 {
		t.Errorf("%v allocations for 100 touches", n)
	}
}
