package resp

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ebbdb/ebb"
)

// A bounded database evicts keys with a TTL, the earliest first. When it is full of others, writes are OOM and deletes are not. A
// pipeline that is too large for one write is made as several.
func TestBounded(t *testing.T) {
	const bound = 8 << 20
	limit := Param{Get: func() string { return fmt.Sprint(bound) }}
	f := serve(t, Options{Params: map[string]Param{"maxmemory": limit}}, ebb.Options{MaxDisk: bound})
	p := f.dial()
	value := strings.Repeat("v", 16_000)
	for i := range 1000 {
		if got := p.call("set", fmt.Sprint("cached", i), value, "ex", fmt.Sprint(1000+i)); got != "OK" {
			t.Fatalf("set %d: %s", i, got)
		}
	}
	p.expect("exists cached0 -> 0\n exists cached999 -> 1\n")
	if f.db.Stats().Evictions == 0 {
		t.Error("nothing was evicted")
	}
	var pipeline strings.Builder
	for i := range 40 { // 640 kB: the database takes 256 kB at a time
		pipeline.WriteString(words("set", fmt.Sprint("piped", i), value))
	}
	p.send(pipeline.String())
	for i := range 40 {
		if got := p.read(); got != "OK" {
			t.Fatalf("set %d of a pipeline: %s", i, got)
		}
	}
	full := ""
	for i := 0; full == "" && i < 1000; i++ {
		if got := p.call("set", fmt.Sprint("stays", i), value); got != "OK" {
			full = got
		}
	}
	if !strings.HasPrefix(full, "-OOM ") {
		t.Fatalf("full: %s", full)
	}
	if got := p.call("mset", "a", value, "b", value); !strings.HasPrefix(got, "-OOM ") {
		t.Errorf("mset: %s", got)
	}
	// The last few may lie in a table of keys that stay, of which they are too few to be worth writing it anew.
	p.expect("exists cached980 -> 0\n exists stays0 -> 1\n del stays0 stays1 -> 2\n flushdb -> OK\n set a 1 -> OK\n")
}
