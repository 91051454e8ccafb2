package memtable

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/ebbdb/ebb/internal/kv"
)

// TestHeadsAgree checks that no prefix makes heads contradict the order of keys.
func TestHeadsAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.StringMatching(`(ab|\x00|\xff|a){0,20}`)
		a, b, prefix := []byte(word.Draw(t, "a")), []byte(word.Draw(t, "b")), []byte(word.Draw(t, "prefix"))
		if kv.Compare(a, b) > 0 {
			a, b = b, a
		}
		x, y := makeItem(a, prefix, 1), makeItem(b, prefix, 2)
		if x.high > y.high || x.high == y.high && x.low > y.low {
			t.Fatalf("prefix %q: %q has head %x %x, %q has head %x %x", prefix, a, x.high, x.low, b, y.high, y.low)
		}
		if x.node != 1 || y.node != 2 {
			t.Fatalf("nodes %d, %d", x.node, y.node)
		}
	})
}

func TestHint(t *testing.T) {
	numbered := func(format string, from, n int) [][]byte {
		var keys [][]byte
		for i := range n {
			keys = append(keys, fmt.Appendf(nil, format, from+i))
		}
		return keys
	}
	for _, c := range []struct {
		name string
		hint string
		keys [][]byte
		want string
	}{
		{"too few keys", "zzz", numbered("user%08d", 0, firstLook-1), "zzz"},
		{"no hint", "", numbered("user/profile/%d", 1000, firstLook), "user/profile"},
		{"wrong hint", "zzz", numbered("user/profile/%d", 1000, firstLook), "user/profile"},
		{"good hint", "user/profi", numbered("user/profile/%d", 1000, firstLook), "user/profi"},
		{"hint too long", "user/profile/1000", numbered("user/profile/%d", 1000, firstLook), "user/profile"},
		{"digits that counting up will change", "", numbered("user%020d", 0, lastLook), "user0000000000000"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := New(Hint{prefix: c.hint, walked: true})
			for i, key := range c.keys {
				mustSet(t, m, string(key), "", uint64(i+1))
			}
			if got := m.Hint().prefix; got != c.want {
				t.Errorf("the prefix is %q, want %q", got, c.want)
			}
			m = New(Hint{prefix: c.hint})
			for i, key := range c.keys {
				mustSet(t, m, string(key), "", uint64(i+1))
			}
			m.NewIterator(0).First()
			if got := m.Hint().prefix; got != c.want {
				t.Errorf("of a list the prefix is %q, want %q", got, c.want)
			}
		})
	}
}
