package main

import (
	"bytes"
	"cmp"
	"container/heap"
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"

	"github.com/ebbdb/ebb"
)

const aboutBigkeys = `
It reads every key and value, beside a process that has the database open, too, and holds no more than it shows. A prefix
ends with one of / : . and |, or with as many of them as -depth says, behind PREFIX; keys without it count together.`

// bigkeys tells where the space goes: the largest values, and sizes by prefix. Keys come in order, so those of a prefix
// come together, and of both lists only the largest are kept.
func bigkeys(flags *flag.FlagSet) action {
	most := flags.Int("n", 10, "show so `many` keys and prefixes")
	depth := flags.Int("depth", 1, "how many `separators` a prefix has")
	full := flags.Bool("full", false, "show keys whole, however long")
	return func(ctx context.Context, s *session, args []string) error {
		if *most < 1 || *most > 1e6 || *depth < 1 {
			return &usageError{errors.New("-n is from 1 to 1000000, and -depth at least 1"), nil}
		}
		o := &ebb.IterOptions{}
		if len(args) > 0 {
			o.Prefix = []byte(args[0])
		}
		c := &bigCount{after: len(o.Prefix), depth: *depth, keys: largest{most: *most}, prefixes: largest{most: *most}}
		if err := s.each(ctx, o, func(e ebb.Entry, _ *ebb.Snapshot) error { c.add(e.Key, e.Value); return nil }); err != nil {
			return err
		}
		return c.print(s.out, *full)
	}
}

// bigCount adds up sizes. All of them are of keys and values together.
type bigCount struct {
	after, depth int // a prefix ends with the depth-th separator behind so many bytes

	keys, prefixes largest
	all, rest      sized // rest: of keys that have no such prefix
	now            sized // the prefix that the last key had; its key is nil if there is none
}

// sized is a key or a prefix with what it takes.
type sized struct {
	key   []byte
	keys  int
	bytes int64
}

func (s *sized) add(n int64) { s.keys, s.bytes = s.keys+1, s.bytes+n }

func (c *bigCount) add(key, value []byte) {
	n := int64(len(key) + len(value))
	c.all.add(n)
	c.keys.add(sized{key, 1, n})
	prefix := prefixOf(key, c.after, c.depth)
	switch {
	case prefix == nil:
		c.rest.add(n)
		return
	case c.now.key == nil || !bytes.Equal(prefix, c.now.key):
		c.endPrefix()
		c.now = sized{key: bytes.Clone(prefix)}
	}
	c.now.add(n)
}

// endPrefix keeps the prefix that no more keys have, if it is among the largest.
func (c *bigCount) endPrefix() {
	if c.now.key != nil {
		c.prefixes.add(c.now)
	}
	c.now.key = nil
}

// separators end what many keys begin with.
const separators = "/:.|"

// prefixOf returns a key up to the depth-th separator behind so many bytes, nil if it has not as many.
func prefixOf(key []byte, after, depth int) []byte {
	for range depth {
		i := bytes.IndexAny(key[after:], separators)
		if i < 0 {
			return nil
		}
		after += i + 1
	}
	return key[:after]
}

// largest keeps the largest that were added.
type largest struct {
	most int
	list []sized // a heap, the smallest on top
}

func (l *largest) Len() int           { return len(l.list) }
func (l *largest) Less(i, j int) bool { return l.list[i].compare(l.list[j]) > 0 }
func (l *largest) Swap(i, j int)      { l.list[i], l.list[j] = l.list[j], l.list[i] }
func (l *largest) Push(x any)         { l.list = append(l.list, x.(sized)) }
func (l *largest) Pop() any {
	last := l.list[len(l.list)-1]
	l.list = l.list[:len(l.list)-1]
	return last
}

// compare orders by size, the largest first, and by key.
func (s sized) compare(other sized) int {
	return cmp.Or(cmp.Compare(other.bytes, s.bytes), bytes.Compare(s.key, other.key))
}

// add keeps a copy of x if it is among the largest.
func (l *largest) add(x sized) {
	if len(l.list) == l.most && x.compare(l.list[0]) > 0 {
		return
	}
	x.key = bytes.Clone(x.key)
	if heap.Push(l, x); len(l.list) > l.most {
		heap.Pop(l)
	}
}

// sorted returns what is kept, the largest first.
func (l *largest) sorted() []sized {
	list := slices.Clone(l.list)
	slices.SortFunc(list, sized.compare)
	return list
}

func (c *bigCount) print(p *printer, full bool) error {
	c.endPrefix()
	name := func(key []byte, room int) any {
		if p.json || full {
			return key
		}
		return shorten(quote(key), room)
	}
	const keyRoom, prefixRoom = helpWidth - 16, helpWidth - 36 // beside the other columns
	t := p.columns()
	for _, k := range c.keys.sorted() {
		if err := t.row(field{"size", bytesCount(k.bytes)}, field{"key", name(k.key, keyRoom)}); err != nil {
			return err
		}
	}
	if err := t.flush(); err != nil {
		return err
	}
	if !p.json {
		fmt.Fprintln(p)
	}
	t = p.columns()
	row := func(s sized, prefix any) error {
		return t.row(field{"size", bytesCount(s.bytes)}, field{"share", percent(s.bytes, c.all.bytes)}, field{"keys", s.keys},
			field{"prefix", prefix})
	}
	for _, x := range c.prefixes.sorted() {
		if err := row(x, name(x.key, prefixRoom)); err != nil {
			return err
		}
	}
	var none any
	if !p.json {
		none = "(keys without one)"
	}
	if c.rest.keys > 0 {
		if err := row(c.rest, none); err != nil {
			return err
		}
	}
	if err := t.flush(); err != nil {
		return err
	}
	return p.line(fmt.Sprintf("\n%s, %s", plural(c.all.keys, "key"), size(c.all.bytes)), field{"all_keys", c.all.keys},
		field{"all", bytesCount(c.all.bytes)})
}

// percent is a part of a whole. As JSON it is a fraction.
func percent(part, whole int64) fraction { return fraction(float64(part) / float64(max(whole, 1))) }

type fraction float64

func (f fraction) String() string { return fmt.Sprintf("%.1f %%", float64(f)*100) }
