package vfstest

import (
	"errors"
	"flag"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
)

// told is a test that notes what it is told.
type told struct {
	testing.TB
	fatal, logged string
}

func (t *told) Helper()      {}
func (t *told) Name() string { return "TestName/of a (row)" }
func (t *told) Logf(format string, args ...any) {
	t.logged += fmt.Sprintf(format, args...)
}

func (t *told) Fatalf(format string, args ...any) {
	t.fatal = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// tell runs EachCrash in a goroutine that it may end.
func tell(mem *Mem, points CrashPoints, check func(c *Crash) error) *told {
	t := &told{}
	var wg sync.WaitGroup
	wg.Go(func() { EachCrash(t, mem, points, check) })
	wg.Wait()
	return t
}

// threeWrites is a recording of five operations: a file is made, written three times, and synced.
func threeWrites(t *testing.T) *Mem {
	mem := NewMem()
	mem.Record()
	f, err := mem.Create("a")
	must(t, err)
	for _, s := range []string{"1", "2", "3"} {
		write(t, f, s, 0)
	}
	must(t, f.Sync())
	return mem
}

func TestEachCrash(t *testing.T) {
	mem := threeWrites(t)
	var ops []int
	states := 0
	EachCrash(t, mem, CrashPoints{From: 1, Step: 2}, func(c *Crash) error {
		states++
		if len(ops) == 0 || ops[len(ops)-1] != c.Op {
			ops = append(ops, c.Op)
			if !c.Killed() || c.Last != (c.Op == 5) {
				t.Errorf("%+v is the first", c)
			}
		}
		return nil
	})
	if !slices.Equal(ops, []int{1, 3, 5}) || states < 9 {
		t.Errorf("%d states at %v", states, ops)
	}
	some := 0
	EachCrash(t, mem, CrashPoints{From: 1, Step: 2, OneIn: 3}, func(*Crash) error { some++; return nil })
	if some < states/6 || some > states*2/3 {
		t.Errorf("%d states of %d, want one in 3", some, states)
	}
}

// Who looks at a failure sees where it was and how to repeat it, also where the check has ended the test itself.
func TestEachCrashTellsWhere(t *testing.T) {
	mem := threeWrites(t)
	bad := errors.New("bad")
	where := "crash after operation #2 write a [0,1), synced"
	at := func(c *Crash) bool { return c.Op == 3 && c.Name == "synced" }
	got := tell(mem, CrashPoints{}, func(c *Crash) error {
		if at(c) {
			return bad
		}
		return nil
	})
	again := "again: go test -run '^TestName$/^of a \\(row\\)$' -crashseed=1"
	if testing.Short() {
		again += " -short"
	}
	if got.fatal != where+": bad\n"+again {
		t.Errorf("failed with %q", got.fatal)
	}
	got = tell(mem, CrashPoints{}, func(c *Crash) error {
		if at(c) {
			runtime.Goexit()
		}
		return nil
	})
	if got.fatal != "" || got.logged != where+"\n"+again {
		t.Errorf("ended by the check: %+v", got)
	}
	got = tell(mem, CrashPoints{From: 3}, func(c *Crash) error {
		return TryCrashes(mem, CrashPoints{}, func(c *Crash) error {
			if at(c) {
				return bad
			}
			return nil
		})
	})
	if !strings.HasPrefix(got.fatal, "crash after operation #2 write a [0,1), all: "+where+": bad\n") {
		t.Errorf("failed with %q", got.fatal)
	}
}

func TestPromises(t *testing.T) {
	mem := NewMem()
	mem.Record()
	p := NewPromises(mem)
	f, err := mem.Create("a")
	must(t, err)
	for i := range 3 {
		p.Begin() // at 1, 2, 4
		write(t, f, "1", 0)
		p.Done() // at 2, 3, 5
		if i == 1 {
			must(t, f.Sync())
			p.Synced() // at 4
		}
	}
	killed, cut, most := []int{0, 0, 1, 2, 2, 3}, []int{0, 0, 0, 0, 2, 2}, []int{0, 1, 2, 2, 3, 3}
	if p.Len() != 3 {
		t.Errorf("%d writes", p.Len())
	}
	EachCrash(t, mem, CrashPoints{}, func(c *Crash) error {
		want := cut[c.Op]
		if c.Killed() {
			want = killed[c.Op]
		}
		if least, m := p.At(c); least != want || m != most[c.Op] {
			return fmt.Errorf("%d to %d writes, want %d to %d", least, m, want, most[c.Op])
		}
		return nil
	})
}

// A state is tried once against the same, wherever it comes from, and again against anything else.
func TestTried(t *testing.T) {
	mem := threeWrites(t)
	var tried Tried
	content := map[string]bool{}
	count := func(mem *Mem, against any) (fresh int) {
		err := TryCrashes(mem, CrashPoints{}, func(c *Crash) error {
			data, err := c.FS.ReadFile("a")
			state := fmt.Sprint(string(data), err, against)
			before := tried.Before(c, against)
			if before != content[state] {
				return fmt.Errorf("%q was tried before: %t", state, before)
			}
			content[state] = true
			if !before {
				fresh++
			}
			return nil
		})
		must(t, err)
		return fresh
	}
	first := count(mem, 1)
	if first != 7 { // without the file, and with an empty one, a zero, garbage, 1, 2 and 3
		t.Errorf("%d states", first)
	}
	if again := count(threeWrites(t), 1); again != 0 {
		t.Errorf("%d states of another file system are new", again)
	}
	if other := count(mem, "other"); other != first {
		t.Errorf("%d states against something else, %d at first", other, first)
	}
}

// With -short a long recording has one in 24 of its states tried, and a short one all.
func TestEachCrashShort(t *testing.T) {
	mem := NewMem()
	mem.Record()
	f, err := mem.Create("a")
	must(t, err)
	for range 90 {
		write(t, f, "1", 0)
		write(t, f, "2", 1)
		must(t, f.Sync())
	}
	count := func(from int) (states int) {
		EachCrash(t, mem, CrashPoints{From: from}, func(*Crash) error { states++; return nil })
		return states
	}
	short := flag.Lookup("test.short")
	was := short.Value.String()
	defer short.Value.Set(was)
	must(t, short.Value.Set("false"))
	all, few := count(0), count(80)
	must(t, short.Value.Set("true"))
	if some := count(0); some < all/50 || some > all/12 {
		t.Errorf("%d states of %d", some, all)
	}
	if n := count(80); n != few {
		t.Errorf("%d states of %d of a short recording", n, few)
	}
}
