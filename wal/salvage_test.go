package wal

import (
	"errors"
	"fmt"
	"testing"

	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// segments makes a log of a few segments and returns them with their entries. Every kind of record is in them.
func segments(t testing.TB) (mem *vfstest.Mem, names []string, want []Entry) {
	t.Helper()
	mem = vfstest.NewMem()
	l, _ := open(t, testOptions(mem, SyncAlways))
	want = puts(0, 40)
	for i := range want {
		if err := l.Append(&want[i]); err != nil {
			t.Fatal(err)
		}
	}
	closeLog(t, l)
	all, err := mem.ReadDir("db/wal")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range all {
		if _, ok, _ := parseSegmentName(name); ok {
			names = append(names, "db/wal/"+name)
		}
	}
	return mem, names, want
}

func salvaged(mem *vfstest.Mem, name string) (s Salvaged, es []Entry, err error) {
	s, err = Salvage(mem, name, func(e *Entry) error {
		es = append(es, clone(e))
		return nil
	})
	return s, es, err
}

func TestSalvage(t *testing.T) {
	mem, names, want := segments(t)
	var got []Entry
	next, last := uint64(1), Salvaged{NextSeq: 1}
	for i, name := range names {
		s, es, err := salvaged(mem, name)
		if err != nil || s.Lost != 0 || s.ID != (ID{1, 2, 3}) || s.Segment != uint32(i+1) ||
			s.BaseSeq != next || s.Sealed != (i < len(names)-1) {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
		if !s.Follows(&last) || s.Follows(&s) {
			t.Errorf("%s: %+v after %+v", name, s, last)
		}
		last = s
		next = s.NextSeq
		got = append(got, es...)
	}
	if err := sameEntries(got, want); err != nil || len(names) < 3 {
		t.Errorf("%d segments: %v", len(names), err)
	}
	stop := errors.New("enough")
	if _, err := Salvage(mem, names[0], func(*Entry) error { return stop }); err != stop {
		t.Errorf("the error of visit has become %v", err)
	}
	if _, err := Salvage(mem, "db/wal/none", nil); err == nil {
		t.Error("a file that is not there is salvaged")
	}
}

// Whatever byte is damaged and wherever a segment ends, what comes out is a beginning of what was there, and less than all
// of it is an error with the place.
func TestSalvageDamaged(t *testing.T) {
	mem, names, _ := segments(t)
	name := names[1]
	data, err := mem.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	whole, want, err := salvaged(mem, name)
	if err != nil {
		t.Fatal(err)
	}
	check := func(what string, at int, data []byte, cut bool) {
		t.Helper()
		if err := mem.WriteFile(name, data); err != nil {
			t.Fatal(err)
		}
		s, es, err := salvaged(mem, name)
		for i := range es {
			if fmt.Sprint(es[i]) != fmt.Sprint(want[i]) {
				t.Errorf("%s %d: entry %d is %+v, want %+v", what, at, i, es[i], want[i])
			}
		}
		switch {
		case err == nil && !cut:
			t.Errorf("%s %d: no error", what, at)
		case err == nil && s.Sealed && s.NextSeq != whole.NextSeq:
			t.Errorf("%s %d: sealed, and %d is next, want %d", what, at, s.NextSeq, whole.NextSeq)
		case cut && at <= 1 && errors.Is(err, ErrUnused): // the first byte is zero
		case err != nil && !errors.Is(err, ErrCorrupt):
			t.Errorf("%s %d: %v", what, at, err)
		case s.Read+s.Lost > int64(len(data)):
			t.Errorf("%s %d: %d bytes read and %d lost of %d", what, at, s.Read, s.Lost, len(data))
		}
	}
	for at := range data {
		data[at] ^= 0x10
		check("flip", at, data, false)
		data[at] ^= 0x10
	}
	for n := range data {
		check("cut", n, data[:n], true)
	}
	for _, room := range []int{1, 100, 5000} {
		padded := append(append([]byte(nil), data[:whole.Read-markSize]...), make([]byte, room)...)
		check("zeros", room, padded, true)
	}
}

func TestDescribe(t *testing.T) {
	mem, names, want := segments(t)
	seen := make(map[string]int)
	for _, name := range names {
		data, err := mem.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var d Describer
		for len(data) > 0 {
			r, n, err := DecodeRecord(data)
			if err != nil {
				t.Fatal(err)
			}
			what, err := d.Describe(&r)
			if err != nil || len(what.Fields) == 0 {
				t.Errorf("%+v: %+v, %v", r, what, err)
			}
			seen[what.What]++
			data = data[n:]
		}
	}
	kinds := map[string]int{"segment header": len(names), "seal": len(names) - 1, "close": 1}
	for i := range want {
		kinds[[]string{"put", "delete", "batch", "range delete", "clock", "evict"}[want[i].Kind]]++
	}
	for what, n := range kinds {
		if seen[what] != n {
			t.Errorf("%d times %q, want %d", seen[what], what, n)
		}
	}
	for kind := range byte(16) {
		if what, err := new(Describer).Describe(&Record{Value: []byte{kind}}); err == nil {
			t.Errorf("a record of type %d and nothing else is described as %+v", kind, what)
		}
	}
	if what, err := new(Describer).Describe(&Record{}); err == nil {
		t.Errorf("an empty record is described as %+v", what)
	}
}
