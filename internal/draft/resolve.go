package draft

import (
	"fmt"
	"math"

	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/op"
)

// Entry is what a key has.
type Entry struct {
	Present  bool
	Value    []byte
	Deadline int64 // Unix ms; 0: none
}

// Looked is a key that a list depends on, with what it has before the list's operations.
type Looked struct {
	Key       []byte
	WantValue bool // an operation gives the value another deadline

	entry Entry
	at    uint64 // number of the list's operation that has made entry, from 1 on; 0: none has
}

// Set says what the key has before the list's operations.
func (k *Looked) Set(e Entry) { k.entry, k.at = e, 0 }

// Resolver makes of a list what the log takes. Begin finds out on which keys the list depends; the caller looks these up, and
// tells by Set what they have; Encode adds the operations to a batch of the log. The zero Resolver is ready. It may be used
// for one list after another, and is for one goroutine.
type Resolver struct {
	// Keys are the keys that the list depends on, each once. Their slices point into the list.
	Keys []Looked

	list     *List
	index    map[string]int // into Keys
	effects  bool           // what an operation does depends on what is there
	greatest []byte         // of the keys that operations put and of the starts of ranges without end; nil: no such range
	ranges   *kv.RangeDeletes
}

// Begin begins with a list, which must not change until Reset.
func (r *Resolver) Begin(l *List) {
	r.Reset()
	r.list = l
	if l.traits.Looks {
		for o := range l.All {
			r.depend(o)
		}
	}
	if l.traits.Endless {
		r.findGreatest()
	}
}

// depend adds the key that an operation depends on.
func (r *Resolver) depend(o *Op) {
	if !o.looks() {
		return
	}
	if r.index == nil {
		r.index = make(map[string]int)
	}
	i, ok := r.index[string(o.Key)]
	if !ok {
		i = len(r.Keys)
		r.index[string(o.Key)] = i
		r.Keys = append(r.Keys, Looked{Key: o.Key})
	}
	r.effects = r.effects || o.hasEffect()
	r.Keys[i].WantValue = r.Keys[i].WantValue || o.Kind == Expire
}

func (r *Resolver) findGreatest() {
	r.greatest = []byte{}
	for o := range r.list.All {
		if (o.Kind == Put || o.Kind == DeleteRange && o.End == nil) && kv.Compare(o.Key, r.greatest) > 0 {
			r.greatest = o.Key
		}
	}
}

// Reset forgets the list and what was looked up, and keeps memory for the next list.
func (r *Resolver) Reset() {
	const keep = 1 << 12
	if len(r.Keys) > keep {
		r.Keys, r.index = nil, nil
	}
	clear(r.Keys)
	clear(r.index)
	*r = Resolver{Keys: r.Keys[:0], index: r.index}
}

// Find returns a key that an operation of the list depends on.
func (r *Resolver) Find(key []byte) int { return r.index[string(key)] }

// Reach returns the last key that a range without end has to reach behind: last, which is the last key there is anything of,
// or one that the list itself has. It is nil if the list has no range without end.
func (r *Resolver) Reach(last []byte) []byte {
	if r.greatest == nil || kv.Compare(last, r.greatest) < 0 {
		return r.greatest
	}
	return last
}

// TooLargeError says that the operations are larger, once they are known, than the limit.
type TooLargeError struct {
	Key []byte // of the first operation beyond it
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("too large from the operation on %q on", e.Key)
}

// Moment is when operations are made.
type Moment struct {
	Now   int64  // Unix ms: TTLs count from here
	Last  []byte // as Resolver.Reach returns it
	After []byte // where a range without end ends: behind Last; nil if there is no such key
	Limit int64  // of the size of the operations, as Size counts
	Some  bool   // if there were no operation there is to be one that changes nothing
}

// Encode adds the operations to a batch of the log. Each sees those before it. An Expire of an absent key is no operation:
// so there may be none.
func (r *Resolver) Encode(to *op.Encoder, m Moment) error {
	e := encoding{Resolver: r, to: to, Moment: m}
	var err error
	for o := range r.list.All {
		e.number++
		switch o.Kind {
		case Put:
			err = e.put(o)
		case Delete:
			err = e.delete(o.Key)
		case DeleteRange:
			err = e.deleteRange(o)
		case Expire:
			err = e.expire(o)
		}
		if err != nil {
			return err
		}
	}
	if m.Some && e.made == 0 {
		for o := range r.list.All { // an Expire of an absent key, as all are
			return e.delete(o.Key)
		}
	}
	return nil
}

// encoding is one Encode.
type encoding struct {
	*Resolver
	Moment // Limit is what is left of it
	to     *op.Encoder
	number uint64 // of the operation, from 1 on
	made   int    // operations that were added
}

func (e *encoding) put(o *Op) error {
	if o.Life.Kind != KeepTTL {
		deadline, past := o.Life.Deadline(e.Now)
		return e.write(o.Key, o.Value, deadline, past)
	}
	var deadline int64
	if k := e.current(o.Key); k.Present {
		deadline = k.Deadline
	}
	return e.write(o.Key, o.Value, deadline, false)
}

func (e *encoding) expire(o *Op) error {
	k := e.current(o.Key)
	if !k.Present {
		return nil
	}
	deadline, past := o.Life.Deadline(e.Now)
	return e.write(o.Key, k.Value, deadline, past)
}

// count counts an operation, and takes its size off the limit.
func (e *encoding) count(key, value []byte) error {
	if e.Limit -= Size(key, value); e.Limit < 0 {
		return &TooLargeError{key}
	}
	e.made++
	return nil
}

// write adds a put, or a delete if the deadline has passed.
func (e *encoding) write(key, value []byte, deadline int64, past bool) error {
	if past {
		return e.delete(key)
	}
	if err := e.count(key, value); err != nil {
		return err
	}
	e.note(key, Entry{true, value, deadline})
	return e.to.Put(key, value, deadline)
}

func (e *encoding) delete(key []byte) error {
	if err := e.count(key, nil); err != nil {
		return err
	}
	e.note(key, Entry{})
	return e.to.Delete(key)
}

// deleteRange adds a range delete. There is no end that is as short as a key may be behind a key of the largest size whose
// bytes are all 0xff: then the range ends at that key, which is deleted by itself.
func (e *encoding) deleteRange(o *Op) error {
	if o.End != nil {
		return e.deleteBetween(o.Key, o.End)
	}
	if e.After != nil {
		return e.deleteBetween(o.Key, e.After)
	}
	if kv.Compare(o.Key, e.Last) < 0 {
		if err := e.deleteBetween(o.Key, e.Last); err != nil {
			return err
		}
	}
	return e.delete(e.Last)
}

func (e *encoding) deleteBetween(start, end []byte) error {
	if err := e.count(start, end); err != nil {
		return err
	}
	if e.effects {
		if e.ranges == nil {
			e.ranges = new(kv.RangeDeletes)
		}
		e.ranges.Add(start, end, e.number)
	}
	return e.to.DeleteRange(start, end)
}

// note notes what a key has now.
func (e *encoding) note(key []byte, now Entry) {
	if !e.effects {
		return
	}
	if i, ok := e.index[string(key)]; ok {
		k := &e.Keys[i]
		k.entry, k.at = now, e.number
	}
}

// current returns what a key that an operation depends on has by now.
func (e *encoding) current(key []byte) Entry {
	k := &e.Keys[e.index[string(key)]]
	if e.ranges != nil && e.ranges.Seq(key, math.MaxUint64) > k.at {
		return Entry{}
	}
	return k.entry
}
