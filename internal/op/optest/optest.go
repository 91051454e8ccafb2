// Package optest has what tests of the log's consumers share: an example of everything that an entry of the log can say.
package optest

import (
	"fmt"

	"github.com/ebbdb/ebb/internal/op"
	"github.com/ebbdb/ebb/wal"
)

// Entries returns at least one entry of every kind, every schema and every kind of operation, with consecutive sequences from
// 1 on. A consumer is to take each of them without an error.
func Entries() []*wal.Entry {
	batch := func(begin func(*op.Encoder) error, add ...func(*op.Encoder) error) *wal.Entry {
		var c op.Encoder
		for _, do := range append([]func(*op.Encoder) error{begin}, add...) {
			if err := do(&c); err != nil {
				panic(fmt.Sprint("optest: ", err))
			}
		}
		e := c.Entry()
		return &e
	}
	entries := []*wal.Entry{
		{Kind: wal.KindPut, Key: []byte("put"), Value: []byte("value")},
		{Kind: wal.KindPut, Key: []byte("ttl"), Value: []byte("brief"), Deadline: 1 << 50},
		{Kind: wal.KindDelete, Key: []byte("deleted")},
		{Kind: wal.KindRangeDelete, Key: []byte("m"), Value: []byte("n")},
		{Kind: wal.KindClock, Time: 1 << 40},
		batch((*op.Encoder).Begin,
			func(c *op.Encoder) error { return c.SetWriter(op.Writer{ID: 7, Sequence: 3}) },
			func(c *op.Encoder) error { return c.Put([]byte("batch-put"), []byte("v"), 0) },
			func(c *op.Encoder) error { return c.Put([]byte("batch-ttl"), nil, 1<<50) },
			func(c *op.Encoder) error { return c.Delete([]byte("batch-deleted")) }),
		batch((*op.Encoder).BeginExpiries,
			func(c *op.Encoder) error { return c.Expired([]byte("expired-1"), 1<<41+5, 1<<40+1) },
			func(c *op.Encoder) error { return c.Expired([]byte("expired-2"), 1, 1) }),
		batch((*op.Encoder).BeginWithRanges,
			func(c *op.Encoder) error { return c.Put([]byte("among-put"), []byte("v"), 0) },
			func(c *op.Encoder) error { return c.DeleteRange(nil, []byte("b")) },
			func(c *op.Encoder) error { return c.Put([]byte("among-ttl"), []byte("w"), 1<<50) },
			func(c *op.Encoder) error { return c.DeleteRange([]byte("o"), []byte("p")) },
			func(c *op.Encoder) error { return c.Delete([]byte("among-deleted")) }),
		{Kind: wal.KindEvict, Deadline: 1 << 39},
	}
	seq := uint64(1)
	for _, e := range entries {
		e.Seq = seq
		seq = e.LastSeq() + 1
	}
	return entries
}
