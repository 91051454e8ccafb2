package known

import (
	"errors"
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// knowledge is the model of a Set: all writes, and for each key the load that has found it to be nowhere.
type knowledge struct {
	writes []write
	absent map[string]absence
}

type write struct {
	start, end string // end empty: start alone; both empty: any key
	seq        uint64
}

type absence struct {
	err         error
	from, until int64
	since       uint64
}

// changed reports whether a key was written to after a sequence.
func (k *knowledge) changed(key string, since uint64) bool {
	for _, w := range k.writes {
		switch {
		case w.seq <= since:
		case w.start == "" && w.end == "", w.end == "" && w.start == key, w.start <= key && key < w.end:
			return true
		}
	}
	return false
}

// What a Set knows is what the writes have left of it: of loads that overlap, of absences that end, of ranges.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := NewSet(1 << 20)
		k := knowledge{absent: map[string]absence{}}
		key := func() string { return string(rune('a' + rapid.IntRange(0, 4).Draw(t, "key"))) }
		type load struct {
			Mark
			key string
		}
		var loads []load
		var seq uint64
		var now int64
		wrote := func(start, end string) {
			seq++
			k.writes = append(k.writes, write{start, end, seq})
		}
		take := func() (l load, ok bool) {
			if len(loads) == 0 {
				return l, false
			}
			i := rapid.IntRange(0, len(loads)-1).Draw(t, "load")
			l = loads[i]
			loads = append(loads[:i], loads[i+1:]...)
			return l, true
		}
		t.Repeat(map[string]func(*rapid.T){
			"touch": func(*rapid.T) { a := key(); wrote(a, ""); s.Touch([]byte(a)) },
			"range": func(*rapid.T) {
				a, b := key(), key()
				if a < b {
					wrote(a, b)
					s.TouchRange([]byte(a), []byte(b), seq)
				}
			},
			"forget": func(*rapid.T) { wrote("", ""); s.Forget(seq) },
			"begin":  func(*rapid.T) { a := key(); loads = append(loads, load{s.Begin([]byte(a), seq), a}) },
			"end": func(t *rapid.T) {
				if l, ok := take(); ok {
					s.End(l.Mark)
				}
			},
			"keep": func(t *rapid.T) {
				l, ok := take()
				if !ok {
					return
				}
				a := absence{fmt.Errorf("as of %d", seq), now, now + int64(rapid.IntRange(1, 5).Draw(t, "life")), seq}
				want := !k.changed(l.key, l.since)
				if got := s.Keep(l.Mark, seq, a.err, now, a.until); got != want {
					t.Fatalf("keep %s: %v, want %v", l.key, got, want)
				}
				if want {
					k.absent[l.key] = a
				}
				s.End(l.Mark)
			},
			"time": func(*rapid.T) { now++ },
			"": func(t *rapid.T) {
				for _, l := range loads {
					if got, want := s.Unchanged(l.Mark), !k.changed(l.key, l.since); got != want {
						t.Fatalf("%s is unchanged: %v, want %v", l.key, got, want)
					}
				}
				for c := 'a'; c < 'f'; c++ {
					var want error
					if a, ok := k.absent[string(c)]; ok && a.until > now && !k.changed(string(c), a.since) {
						want = a.err
					}
					if got := s.Get([]byte(string(c)), now); got != want {
						t.Fatalf("%c: %v, want %v", c, got, want)
					}
				}
				if n, most := s.count.Load(), int64(len(loads)+5); n > most {
					t.Fatalf("%d keys, %d loads", n, len(loads))
				}
			},
		})
		for _, l := range loads {
			s.End(l.Mark)
		}
		for c := 'a'; c < 'f'; c++ {
			s.Touch([]byte(string(c)))
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.count.Load() != 0 || s.mu.memory != 0 || len(s.mu.keys) != 0 || s.mu.absent.Len() != 0 || s.mu.ranges != nil {
			t.Fatalf("left: %d, %d bytes, %d, %d", s.count.Load(), s.mu.memory, len(s.mu.keys), s.mu.absent.Len())
		}
	})
}

// Of too many absences the oldest go, whatever their size, and of too many ranges all.
func TestMemory(t *testing.T) {
	const most = 100
	nowhere := errors.New("nowhere")
	s := NewSet(most * (entryBytes + 4))
	var seq uint64
	keep := func(key string) {
		m := s.Begin([]byte(key), seq)
		if !s.Keep(m, seq, nowhere, 0, 10) {
			t.Fatalf("%.9s was changed", key)
		}
		s.End(m)
	}
	for i := range 10 * most {
		keep(fmt.Sprintf("%04d", i))
	}
	for i := range 10 * most {
		if got, want := s.Get(fmt.Appendf(nil, "%04d", i), 0) != nil, i >= 9*most; got != want {
			t.Errorf("%d is known: %v", i, got)
		}
	}
	if n := s.count.Load(); n != most {
		t.Errorf("%d keys", n)
	}
	keep(string(make([]byte, most*entryBytes/2)))
	if n := s.Memory(); n > most*(entryBytes+4) || s.count.Load() > most/2+1 {
		t.Errorf("%d bytes, %d keys", n, s.count.Load())
	}
	keep(string(make([]byte, 2*most*entryBytes)))
	if s.count.Load() != 0 || s.Memory() != 0 {
		t.Errorf("one that is too large: %d keys, %d bytes", s.count.Load(), s.Memory())
	}
	m := s.Begin([]byte("k"), 0)
	for s.Unchanged(m) && seq < 1<<20 {
		seq++
		s.TouchRange(fmt.Appendf(nil, "l%06d", seq), fmt.Appendf(nil, "l%06d", seq+1), seq)
	}
	if size := (len("l000000") * 2) * int(seq); size > 2*rangeBytes || seq < 100 {
		t.Errorf("%d ranges are held", seq)
	}
	s.End(m)
	keep("old")
	if err := s.Get([]byte("old"), 10); err != nil || s.count.Load() != 0 {
		t.Errorf("at the end of its time: %v, %d keys", err, s.count.Load())
	}
}
