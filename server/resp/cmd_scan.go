package resp

import (
	"math/rand/v2"
	"sync"

	"github.com/ebbdb/ebb"
)

const (
	maxCursors     = 1 << 16
	maxCursorBytes = 8 << 20
)

// cursors remembers where calls of SCAN have ended: a cursor of Redis is a number, and a place in this store a key. A cursor may
// be used again, by any client, until maxCursors newer ones have been made, or their keys are too large.
type cursors struct {
	mu     sync.Mutex
	oldest uint64            // guarded by mu
	next   uint64            // guarded by mu
	keys   map[uint64]string // guarded by mu
	bytes  int               // guarded by mu
}

func newCursors() *cursors { return &cursors{oldest: 1, next: 1, keys: make(map[uint64]string)} }

func (cs *cursors) len() int {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return len(cs.keys)
}

// add returns a cursor behind a key.
func (cs *cursors) add(key []byte) uint64 {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	id := cs.next
	cs.next++
	cs.keys[id] = string(key)
	cs.bytes += len(key)
	for len(cs.keys) > maxCursors || cs.bytes > maxCursorBytes && len(cs.keys) > 1 {
		cs.bytes -= len(cs.keys[cs.oldest])
		delete(cs.keys, cs.oldest)
		cs.oldest++
	}
	return id
}

// after returns where to go on, or false for a cursor that is not known.
func (cs *cursors) after(id uint64) ([]byte, bool) {
	if id == 0 {
		return nil, true
	}
	cs.mu.Lock()
	defer cs.mu.Unlock()
	key, ok := cs.keys[id]
	return append([]byte(key), 0), ok
}

// scanArgs are the arguments of SCAN.
type scanArgs struct {
	count   int64
	match   []byte // nil: all
	strings bool
}

func parseScan(args [][]byte) (a scanArgs, refusal string) {
	a = scanArgs{count: 10, strings: true}
	for i := 2; i < len(args); i += 2 {
		if i+1 == len(args) {
			return a, errSyntax
		}
		value := args[i+1]
		switch {
		case equalFold(args[i], "count"):
			n, ok := parseInt(value)
			switch {
			case !ok:
				return a, errNotInteger
			case n < 1:
				return a, errSyntax
			}
			a.count = min(n, 1<<30)
		case equalFold(args[i], "match"):
			a.match = value
		case equalFold(args[i], "type"):
			a.strings = equalFold(value, "string")
		default:
			return a, errSyntax
		}
	}
	if string(a.match) == "*" {
		a.match = nil
	}
	return a, ""
}

func scan(x *exec, args [][]byte) {
	id, ok := parseCursor(args[1])
	if !ok {
		x.out.err("ERR invalid cursor")
		return
	}
	a, refusal := parseScan(args)
	if refusal != "" {
		x.out.err(refusal)
		return
	}
	start, ok := x.srv.cursors.after(id)
	if !ok {
		x.out.err("ERR invalid cursor")
		return
	}
	o := &ebb.IterOptions{Start: start, Limit: int(a.count) + 1, KeysOnly: true}
	if a.match != nil {
		o.Prefix = globPrefix(a.match)
	}
	var (
		found, last []byte
		list        reply
		n, matches  int64
		more        bool
	)
	for e, err := range x.tx.Range(o) {
		if x.fail(err) {
			return
		}
		if n == a.count || len(list.b) > x.srv.opts.MaxReplyBuffer/2 {
			more = true
			break
		}
		n++
		last = append(last[:0], e.Key...)
		if a.strings && (a.match == nil || globMatch(a.match, e.Key, false)) {
			list.bulk(e.Key)
			matches++
		}
	}
	found = list.b
	next := uint64(0)
	if more {
		next = x.srv.cursors.add(last)
	}
	x.out.array(2)
	x.out.bulk(appendInt(nil, int64(next)))
	x.out.array(int(matches))
	x.out.b = append(x.out.b, found...)
}

func parseCursor(arg []byte) (uint64, bool) {
	n, ok := parseInt(arg)
	return uint64(n), ok && n >= 0
}

func keys(x *exec, args [][]byte) {
	var (
		list  reply
		count int
		all   = string(args[1]) == "*"
	)
	for e, err := range x.tx.Range(&ebb.IterOptions{Prefix: globPrefix(args[1]), KeysOnly: true}) {
		if x.fail(err) {
			return
		}
		if all || globMatch(args[1], e.Key, false) {
			list.bulk(e.Key)
			count++
		}
		if len(list.b) > x.srv.opts.MaxReplyBuffer {
			break // bound makes an error of it
		}
	}
	x.out.array(count)
	x.out.b = append(x.out.b, list.b...)
}

// randomSteps is how many keys RANDOMKEY walks over at most: of so few each is as likely as the others.
const randomSteps = 1024

func randomKey(x *exec, _ [][]byte) {
	n, err := x.tx.Count(&ebb.IterOptions{Limit: randomSteps})
	if x.fail(err) {
		return
	}
	if n == 0 {
		x.out.null()
		return
	}
	var start []byte
	if n == randomSteps {
		if start = x.randomPlace(); x.err != nil {
			return
		}
	}
	skip := rand.IntN(n)
	var key []byte
	for e, err := range x.tx.Range(&ebb.IterOptions{Start: start, Limit: skip + 1, KeysOnly: true}) {
		if x.fail(err) {
			return
		}
		key = append(key[:0], e.Key...)
	}
	if key == nil { // the place is behind the last key
		e, err := x.tx.Last(&ebb.IterOptions{KeysOnly: true})
		if x.fail(err) {
			return
		}
		key = e.Key
	}
	x.out.bulk(key)
}

// randomPlace returns a place between the first key and the last: those behind a gap are likelier.
func (x *exec) randomPlace() []byte {
	first, err := x.tx.First(&ebb.IterOptions{KeysOnly: true})
	if x.fail(err) {
		return nil
	}
	last, err := x.tx.Last(&ebb.IterOptions{KeysOnly: true})
	if x.fail(err) {
		return nil
	}
	common := 0
	for common < min(len(first.Key), len(last.Key)) && first.Key[common] == last.Key[common] {
		common++
	}
	low, high := wordAt(first.Key, common), wordAt(last.Key, common)
	at := low
	if high > low {
		at += rand.Uint64N(high - low)
	}
	place := append([]byte(nil), first.Key[:common]...)
	for shift := 56; shift >= 0; shift -= 8 {
		place = append(place, byte(at>>shift))
	}
	return place
}

// wordAt returns the eight bytes from i on as a number.
func wordAt(b []byte, i int) uint64 {
	var n uint64
	for j := i; j < i+8; j++ {
		n <<= 8
		if j < len(b) {
			n |= uint64(b[j])
		}
	}
	return n
}
