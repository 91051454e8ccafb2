package wal

import (
	"errors"
	"fmt"
	"testing"

	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// anchored returns the options of a log that is known to have come to an anchor.
func anchored(mem *vfstest.Mem, policy SyncPolicy, a Anchor) Options {
	o := testOptions(mem, policy)
	o.FirstSegment, o.Anchor = 1, a
	return o
}

// complete holds that a damaged log is refused, and nothing changed, or has all of want.
func complete(t *testing.T, what string, mem *vfstest.Mem, o Options, want []Entry) {
	t.Helper()
	before := mem.Clone()
	l, got, err := tryOpen(o)
	if err == nil {
		if err := sameEntries(got, want); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		closeLog(t, l)
		return
	}
	if !errors.Is(err, ErrCorrupt) {
		t.Fatalf("%s: %v", what, err)
	}
	if d := before.Diff(mem); len(d) > 0 {
		t.Fatalf("%s: the failed open changed %v", what, d)
	}
}

// With the anchor of its Close a log is complete or damaged, wherever it is cut, whichever bit flips, and whatever is
// missing of it.
func TestAnchorOfAClosedLog(t *testing.T) {
	for _, policy := range []SyncPolicy{SyncAlways, SyncNever} {
		want := puts(0, 25)
		mem := vfstest.NewMem()
		l, _ := open(t, testOptions(mem, policy))
		for i := range want {
			if err := l.Append(&want[i]); err != nil {
				t.Fatal(err)
			}
		}
		closeLog(t, l)
		a := l.Anchor()
		names := segmentNames(t, mem)
		if size, _ := mem.Size(names[len(names)-1]); int(a.Segment) != len(names) || int64(a.Offset) != size {
			t.Errorf("the anchor is %+v, the log ends with %d bytes of segment %d", a, size, len(names))
		}
		complete(t, "undamaged", mem.Clone(), anchored(mem, policy, a), want)
		for _, name := range names {
			data, _ := mem.ReadFile(name)
			for n := 0; n < len(data); n += vfstest.Step(7) {
				c := cut(t, mem, name, n)
				complete(t, name+" cut", c, anchored(c, policy, a), want)
				c = flipped(t, mem, name, n*8+n%8)
				complete(t, name+" flipped", c, anchored(c, policy, a), want)
			}
			c := mem.Clone()
			if err := c.Remove(name); err != nil {
				t.Fatal(err)
			}
			complete(t, name+" removed", c, anchored(c, policy, a), want)
		}
		for _, removed := range []bool{false, true} {
			c := mem.Clone()
			for _, name := range names {
				c.Remove(name)
			}
			if removed {
				if err := vfs.RemoveAll(c, "db/wal"); err != nil {
					t.Fatal(err)
				}
			}
			complete(t, "all removed", c, anchored(c, policy, a), want)
		}
		other := a
		other.CRC++
		c := mem.Clone()
		if _, _, err := tryOpen(anchored(c, policy, other)); !errors.Is(err, ErrCorrupt) || !errors.Is(err, ErrChain) {
			t.Errorf("with another log's anchor: %v", err)
		}
	}
}

// Every anchor that a log has told is true of every state that a power cut leaves afterwards, and of what goes on from
// there.
func TestAnchorsInCrashStates(t *testing.T) {
	eachPolicy(t, func(t *testing.T, policy SyncPolicy) {
		mem := vfstest.NewMem()
		h := script(t, mem, policy)
		next := 0
		var a Anchor
		var tried vfstest.Tried
		vfstest.EachCrash(t, mem, allStates, func(c *vfstest.Crash) error {
			for ; next < len(h.anchors) && h.anchors[next].at <= c.Op; next++ {
				p := h.anchors[next].Anchor
				if p.Compare(a.Position) < 0 {
					return fmt.Errorf("the anchor went back from %v to %v", a, p)
				}
				a = p
			}
			if tried.Before(c, a) {
				return nil
			}
			return goesOnFrom(c.FS, policy, a)
		})
		if next != len(h.anchors) || next < 27 {
			t.Errorf("%d of %d anchors tried", next, len(h.anchors))
		}
	})
}

// goesOnFrom holds that the log opens with an anchor, and after a further append with those that it tells then.
func goesOnFrom(fs *vfstest.Mem, policy SyncPolicy, a Anchor) error {
	l, _, err := tryOpen(anchored(fs, policy, a))
	if err != nil {
		return fmt.Errorf("anchor %v: %w", a, err)
	}
	later := l.Anchor()
	e := put(0)
	if err := errors.Join(l.Append(&e), l.Rotate(), l.Close()); err != nil {
		return err
	}
	for _, a := range []Anchor{a, later, l.Anchor()} {
		l, _, err := tryOpen(anchored(fs, policy, a))
		if err != nil {
			return fmt.Errorf("opened again with anchor %v: %w", a, err)
		}
		if err := l.Close(); err != nil {
			return err
		}
	}
	return nil
}
