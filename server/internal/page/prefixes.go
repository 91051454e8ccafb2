package page

import (
	"bytes"
	"cmp"
	"net/http"
	"slices"
	"strings"

	"github.com/ebbdb/ebb"
)

// prefixReport is which prefixes have the most bytes, by estimates.
type prefixReport struct {
	Bytes    int64        `json:"bytes"` // of all keys and values
	Prefixes []prefixSize `json:"prefixes"`
}

type prefixSize struct {
	Prefix  string `json:"prefix"`
	Bytes   int64  `json:"bytes"`
	Entries int    `json:"entries"`
}

const (
	sampleKeys    = 512 // a prefix with that part of all bytes is seen
	prefixesShown = 12
	separators    = "/:.|" // end what many keys begin with, as in ebb bigkeys
	maxDepth      = 4      // separators that a prefix has
)

func (p *Page) servePrefixes(w http.ResponseWriter, _ *http.Request) {
	_, of, _ := p.current()
	if of == nil {
		reply(w, nil, ebb.ErrClosed)
		return
	}
	r, err := p.prefixes.get(p.clock(), func() (prefixReport, error) { return largestPrefixes(of) })
	reply(w, r, err)
}

// largestPrefixes looks for prefixes among keys that divide the database into parts of the same size: as many of them as begin
// with a prefix, so large it is. Only the largest are then estimated by themselves. It reads no data.
func largestPrefixes(of Database) (r prefixReport, err error) {
	r.Prefixes = []prefixSize{}
	keys, err := of.SplitKeys(nil, sampleKeys)
	if err != nil {
		return r, err
	}
	if r.Bytes, err = of.EstimateSize(nil); err != nil {
		return r, err
	}
	for _, g := range groups(keys) {
		s := prefixSize{Prefix: show(string(g.prefix))}
		o := &ebb.IterOptions{Prefix: g.prefix}
		if s.Bytes, err = of.EstimateSize(o); err != nil {
			return r, err
		}
		if s.Entries, err = of.EstimateCount(o); err != nil {
			return r, err
		}
		if s.Bytes > 0 {
			r.Prefixes = append(r.Prefixes, s)
		}
	}
	slices.SortFunc(r.Prefixes, func(a, b prefixSize) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), strings.Compare(a.Prefix, b.Prefix))
	})
	return r, nil
}

// group is a prefix and the keys of a sample that begin with it.
type group struct {
	prefix []byte
	depth  int
	keys   [][]byte
}

// groups returns the largest prefixes of sorted keys. One that has more than half of them is divided by its next separator: what
// everything begins with tells nothing.
func groups(keys [][]byte) []group {
	list := divide(group{keys: keys})
	for i := 0; i < len(list); i++ {
		g := list[i]
		if g.depth >= maxDepth || 2*len(g.keys) <= len(keys) {
			continue
		}
		if parts := divide(g); len(parts) > 1 || len(parts) == 1 && len(parts[0].keys) == len(g.keys) {
			list = slices.Replace(list, i, i+1, parts...)
			i--
		}
	}
	slices.SortStableFunc(list, func(a, b group) int { return cmp.Compare(len(b.keys), len(a.keys)) })
	return list[:min(len(list), prefixesShown)]
}

// divide divides a group by the next separator of its keys. Keys without one are in no part.
func divide(g group) (parts []group) {
	for _, key := range g.keys {
		i := bytes.IndexAny(key[len(g.prefix):], separators)
		if i < 0 {
			continue
		}
		prefix := key[:len(g.prefix)+i+1]
		if n := len(parts); n == 0 || !bytes.Equal(parts[n-1].prefix, prefix) {
			parts = append(parts, group{prefix: prefix, depth: g.depth + 1})
		}
		last := &parts[len(parts)-1]
		last.keys = append(last.keys, key)
	}
	return parts
}
