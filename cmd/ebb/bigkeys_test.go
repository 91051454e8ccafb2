package main

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ebbdb/ebb"
)

func TestBigkeys(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "db")
	db, err := ebb.Open(dir, nil) // beside which it works
	check(t, err)
	defer db.Close()
	runArgs("bigkeys", dir).want(t, exitOK, "0 keys, 0 B\n", "")
	for key, n := range map[string]int{"user:1": 1000, "user:2:x": 20, "log/a": 5000, "log/b": 4000, "plain": 3, "user:" + strings.Repeat("k", 300): 10} {
		check(t, db.Put([]byte(key), make([]byte, n)))
	}
	r := runArgs("bigkeys", dir, "-n", "3")
	fits(t, r.stdout)
	if want := "size    key\n5.0 KB  log/a\n4.0 KB  log/b\n1.0 KB  user:1\n\n" +
		"size    share   keys  prefix\n9.0 KB  86.9 %  2     log/\n1.3 KB  13.0 %  3     user:\n8 B     0.1 %   1     (keys without one)\n\n6 keys, 10.4 KB\n"; r.stdout != want {
		t.Errorf("%s%s\nwant\n%s", r.stdout, r.stderr, want)
	}
	r = runArgs("bigkeys", dir)
	if fits(t, r.stdout); !strings.Contains(r.stdout, "kkk…\n") {
		t.Error(r.stdout)
	}
	runArgs("bigkeys", dir, "-full").want(t, exitOK, "user:"+strings.Repeat("k", 300)+"\n", "")
	runArgs("bigkeys", dir, "user:", "-json", "-n", "1").want(t, exitOK, `{"size_bytes":1006,"key":"user:1"}`+"\n"+
		`{"size_bytes":28,"share":0.020756115641215715,"keys":1,"prefix":"user:2:"}`+"\n"+`{"size_bytes":1321,`, "")
	runArgs("bigkeys", dir, "-n", "0").want(t, exitUsage, "", "-n is from 1")
}

// What is kept is the largest of all, whatever the order, and prefixes add up.
func TestBigCount(t *testing.T) {
	const seed = 1
	r := rand.New(rand.NewPCG(seed, 0))
	for range 200 {
		depth, most := 1+r.IntN(3), 1+r.IntN(5)
		keys := map[string]int{}
		for range r.IntN(100) {
			var key []byte
			for range 1 + r.IntN(6) {
				key = append(key, "abc/:.|"[r.IntN(7)])
			}
			keys[string(key)] = r.IntN(50)
		}
		c := bigCount{depth: depth, keys: largest{most: most}, prefixes: largest{most: most}}
		var all, prefixes []sized
		sums := map[string]*sized{}
		for _, k := range slices.Sorted(maps.Keys(keys)) {
			c.add([]byte(k), make([]byte, keys[k]))
			n := int64(len(k) + keys[k])
			all = append(all, sized{[]byte(k), 1, n})
			if p := prefixOf([]byte(k), 0, depth); p != nil {
				if sums[string(p)] == nil {
					sums[string(p)] = &sized{key: p}
				}
				sums[string(p)].add(n)
			}
		}
		c.endPrefix()
		for _, s := range sums {
			prefixes = append(prefixes, *s)
		}
		for _, w := range []struct {
			got  largest
			want []sized
		}{{c.keys, all}, {c.prefixes, prefixes}} {
			slices.SortFunc(w.want, sized.compare)
			want := w.want[:min(len(w.want), most)]
			if got := w.got.sorted(); !slices.EqualFunc(got, want, func(a, b sized) bool { return bytes.Equal(a.key, b.key) && a.bytes == b.bytes && a.keys == b.keys }) {
				t.Fatalf("seed %d, %q: %v, want %v", seed, fmt.Sprint(keys), got, want)
			}
		}
	}
}
