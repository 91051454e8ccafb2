//go:build !race && (amd64 || arm64)

package memtable

import (
	"testing"

	"github.com/ebbdb/ebb/internal/kv"
)

// TestLongestValue needs 2 GiB, under the race detector several times as much.
func TestLongestValue(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 2 GiB")
	}
	m := New(Hint{})
	value := make([]byte, MaxValueSize)
	value[0], value[MaxValueSize-1] = 1, 2
	if err := m.Set([]byte("key"), value, 1, 7, kv.Put); err != nil {
		t.Fatal(err)
	}
	mustSet(t, m, "key2", "after it", 2)
	e, ok := m.Get([]byte("key"), 1)
	if !ok || len(e.Value) != MaxValueSize || e.Value[0] != 1 || e.Value[MaxValueSize-1] != 2 || e.Deadline != 7 {
		t.Errorf("Get = %t, %d bytes, deadline %d", ok, len(e.Value), e.Deadline)
	}
	if e, ok := m.Get([]byte("key2"), 2); !ok || string(e.Value) != "after it" {
		t.Errorf("Get of the next key = %t, %q", ok, e.Value)
	}
}
