package merge

import (
	"errors"
	"sort"

	"github.com/ebbdb/ebb/internal/kv"
)

// Part is a stretch of keys with an iterator of its own: a table.
type Part interface {
	// Bounds returns a stretch, start <= key < end, that all keys of the part lie in.
	Bounds() (start, end []byte)
}

// Concat is a kv.Runner and a kv.Aimer over parts that are sorted by their bounds and do not overlap. At any time it has the
// iterator of at most one of them.
//
// The zero Concat has no parts; Reset gives it some. It allocates nothing itself. An error of a part ends the iteration;
// First, Last and the seeks start afresh. When a positioning call has returned false, it stands nowhere until one of
// those.
type Concat[P Part] struct {
	parts   []P
	open    func(P) kv.Iterator
	at      int         // the part that it is in
	it      kv.Iterator // of parts[at]; nil if there is none
	runs    kv.Runner   // it, if it gives runs; otherwise nil
	aims    kv.Aimer    // it, if it can be aimed; otherwise nil
	on      bool        // it stands on an entry
	aimed   bool        // enter was called for the seek to come
	err     error
	nothing kv.Entry    // Entry's result where there is none
	one     [1]kv.Entry // the run of a part that gives none
}

// Reset makes it an iterator over the parts; the slice must stay as it is. open returns the iterator of a part. The Concat
// closes it before it opens the next, so that open may return the same one, reset. It closes what it has open.
func (c *Concat[P]) Reset(parts []P, open func(P) kv.Iterator) error {
	err := c.leave()
	c.parts, c.open, c.on, c.aimed, c.err, c.one[0] = parts, open, false, false, nil, kv.Entry{}
	return err
}

// Close closes the open part. Only Reset may follow.
func (c *Concat[P]) Close() error { return c.Reset(nil, nil) }

// Entry returns the entry it stands on, which is the part's own: its slices are valid until the next positioning call.
func (c *Concat[P]) Entry() *kv.Entry {
	if !c.on {
		return &c.nothing
	}
	return c.it.Entry()
}

// Err returns the error that ended the iteration, nil if none did.
func (c *Concat[P]) Err() error { return c.err }

// Run returns the entries at hand in the part that it is in: see kv.Runner.
func (c *Concat[P]) Run(want int, reverse bool) (run []kv.Entry, kept bool) {
	switch {
	case !c.on:
		return nil, false
	case c.runs == nil:
		c.one[0] = *c.it.Entry()
		return c.one[:], false
	}
	return c.runs.Run(want, reverse)
}

// Pass moves by n entries within the last run.
func (c *Concat[P]) Pass(n int, reverse bool) {
	if n > 0 {
		c.runs.Pass(n, reverse)
	}
}

// First moves to the smallest key.
func (c *Concat[P]) First() bool {
	c.on = c.enter(0) && c.it.First()
	return c.on || c.forward()
}

// Last moves to the largest key.
func (c *Concat[P]) Last() bool {
	c.on = c.enter(len(c.parts)-1) && c.it.Last()
	return c.on || c.backward()
}

// SeekGE moves to the first key >= key.
func (c *Concat[P]) SeekGE(key []byte) bool {
	c.on = c.seek(key, false) && c.it.SeekGE(key)
	return c.on || c.forward()
}

// SeekLT moves to the last key < key.
func (c *Concat[P]) SeekLT(key []byte) bool {
	c.on = c.seek(key, true) && c.it.SeekLT(key)
	return c.on || c.backward()
}

// Aim opens the part that a seek begins in, and aims that: see kv.Aimer. A seek that finds nothing there goes on in another,
// which was not.
func (c *Concat[P]) Aim(key []byte, before bool) {
	if c.enter(c.find(key, before)) && c.aims != nil {
		c.aims.Aim(key, before)
	}
	c.aimed = true
}

// Fetch asks for what the seek reads of the part.
func (c *Concat[P]) Fetch() {
	if c.aims != nil {
		c.aims.Fetch()
	}
}

// seek enters the part that a seek begins in, unless Aim has.
func (c *Concat[P]) seek(key []byte, before bool) bool {
	if c.aimed {
		c.aimed = false
		return c.it != nil // otherwise there is no such part, or err says why it was not entered
	}
	return c.enter(c.find(key, before))
}

// find returns the part that a seek begins in. There may be no such part.
func (c *Concat[P]) find(key []byte, before bool) int {
	if before {
		return sort.Search(len(c.parts), func(i int) bool {
			start, _ := c.parts[i].Bounds()
			return kv.Compare(start, key) >= 0
		}) - 1
	}
	return sort.Search(len(c.parts), func(i int) bool {
		_, end := c.parts[i].Bounds()
		return kv.Compare(end, key) > 0
	})
}

// Next moves to the next larger key.
func (c *Concat[P]) Next() bool {
	if !c.on {
		return false
	}
	c.on = c.it.Next()
	return c.on || c.forward()
}

// Prev moves to the next smaller key.
func (c *Concat[P]) Prev() bool {
	if !c.on {
		return false
	}
	c.on = c.it.Prev()
	return c.on || c.backward()
}

// forward goes on behind a part that has ended, to the next that is not empty.
func (c *Concat[P]) forward() bool {
	for c.ended() && c.enter(c.at+1) {
		c.on = c.it.First()
	}
	return c.on
}

// backward is forward in the other direction.
func (c *Concat[P]) backward() bool {
	for c.ended() && c.enter(c.at-1) {
		c.on = c.it.Last()
	}
	return c.on
}

// ended reports whether the part has no more entries in the direction of travel, and notes its error if it has one.
func (c *Concat[P]) ended() bool {
	if c.on || c.it == nil {
		return false
	}
	if err := c.it.Err(); err != nil {
		c.err = err
		return false
	}
	return true
}

// enter opens part i. It fails where there is none.
func (c *Concat[P]) enter(i int) bool {
	c.on, c.aimed, c.err = false, false, nil
	if c.it != nil && i == c.at {
		return true
	}
	if c.err = c.leave(); c.err != nil || i < 0 || i >= len(c.parts) {
		return false
	}
	c.at, c.it = i, c.open(c.parts[i])
	c.runs, _ = c.it.(kv.Runner)
	c.aims, _ = c.it.(kv.Aimer)
	return true
}

// leave closes the open part.
func (c *Concat[P]) leave() error {
	it := c.it
	if it == nil {
		return nil
	}
	c.it, c.runs, c.aims = nil, nil, nil
	if err := it.Close(); err != nil {
		return errors.Join(c.err, err)
	}
	return nil
}
