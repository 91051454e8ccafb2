package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"hash/maphash"
	"math"
	"strconv"
	"time"

	"github.com/ebbdb/ebb"
	"github.com/ebbdb/ebb/internal/host"
	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/ttl"
)

func unixMilli(ms int64) time.Time { return time.UnixMilli(ms) }

// present is what a key has.
type present struct {
	found    bool
	value    []byte
	version  uint64
	deadline int64
}

// evaluate does what the body of a write says, at the time of the entry.
func (m *machine) evaluate(in *reader) result {
	flags := in.byte()
	keys, ranges := in.reads()
	n := in.count()
	ops, err := m.decodeOps(in, n)
	if err != nil {
		return result{code: codeInvalid}
	}
	if len(keys)+len(ranges) > 0 {
		m.commit()
		if m.failed != nil || !m.unchanged(keys, ranges) {
			return result{code: codeConflict}
		}
	}
	if m.conflicts(ops) {
		m.commit()
	}
	if m.failed != nil {
		return result{}
	}
	if flags&flagBatch != 0 {
		return m.all(ops)
	}
	if len(ops) != 1 {
		return result{code: codeInvalid}
	}
	return m.one(&ops[0])
}

// decodeOps reads operations, which are there until the next are read.
func (m *machine) decodeOps(in *reader, n int) ([]op, error) {
	ops := m.ops[:0]
	if n > len(m.ops) {
		ops = make([]op, 0, min(n, 1<<16))
	}
	for range n {
		var o op
		in.op(&o)
		ops = append(ops, o)
		if in.bad {
			break
		}
		if !o.allowed() {
			return nil, errEntry
		}
	}
	if in.bad || len(in.b) > 0 {
		return nil, errEntry
	}
	return ops, nil
}

// allowed reports whether an operation is one that a node of this release may write. What it is refused for here would be an error
// of the database, which stops every node.
func (o *op) allowed() bool {
	switch {
	case len(o.key) > ebb.MaxKeySize, len(o.value) > maxEntrySize, isReserved(o.key):
		return false
	case o.kind == opDeleteRange: // its start may be empty, which is no key to look at
		return len(o.value) > 0 && len(o.value) <= ebb.MaxKeySize && bytes.Compare(o.value, reserved) <= 0 && !o.looks()
	}
	return len(o.key) > 0
}

// conflicts reports whether an operation has to look at what the batch writes.
func (m *machine) conflicts(ops []op) bool {
	if m.batch.Len() == 0 {
		return false
	}
	for i := range ops {
		if !ops[i].looks() {
			continue
		}
		if m.ranges {
			return true
		}
		if _, ok := m.touched[maphash.Bytes(m.seed, ops[i].key)]; ok {
			return true
		}
	}
	return false
}

// look returns what a key has at the time of the entry, whatever is in the batch.
func (m *machine) look(key []byte, withValue bool) (p present) {
	var e ebb.Entry
	var err error
	if withValue {
		e, err = m.db.Load().GetEntry(key)
	} else {
		e, err = m.db.Load().Stat(key)
	}
	switch {
	case errors.Is(err, ebb.ErrNotFound):
		return present{}
	case err != nil:
		m.fail(fmt.Errorf("cluster: entry %d: %w", m.at.index, err))
		return present{}
	case kv.Expired(e.Deadline, m.at.time):
		return present{}
	}
	return present{true, e.Value, e.Version, e.Deadline}
}

// unchanged reports whether a transaction would read what it has read.
func (m *machine) unchanged(keys []host.KeyRead, ranges []host.RangeRead) bool {
	for _, k := range keys {
		if m.look(k.Key, false).version != k.Version {
			return false
		}
	}
	for i := range ranges {
		r := &ranges[i]
		end := r.End
		if len(end) == 0 || isReserved(end) {
			end = reserved
		}
		sum := host.NewSummer()
		for e, err := range m.db.Load().Range(&ebb.IterOptions{Start: r.Start, End: end, KeysOnly: true}) {
			if err != nil {
				m.fail(fmt.Errorf("cluster: entry %d: %w", m.at.index, err))
				return false
			}
			if !kv.Expired(e.Deadline, m.at.time) {
				sum.Add(e.Key, e.Version)
			}
		}
		if sum.Sum() != r.Sum {
			return false
		}
	}
	return true
}

// holds reports whether a condition about what is there holds.
func (o *op) holds(p *present) bool {
	switch o.cond {
	case host.IfAbsent:
		return !p.found
	case host.IfPresent:
		return p.found
	case host.IfVersion:
		return p.found && p.version == o.condValue || !p.found && o.condValue == 0
	}
	return true
}

// allows reports whether a condition about deadlines lets a deadline replace an old one.
func (o *op) allows(deadline, old int64) bool {
	endless := func(d int64) int64 {
		if d == 0 {
			return math.MaxInt64
		}
		return d
	}
	switch o.cond {
	case host.IfNoDeadline:
		return old == 0
	case host.IfDeadline:
		return old != 0
	case host.IfLater:
		return endless(deadline) > endless(old)
	case host.IfEarlier:
		return endless(deadline) < endless(old)
	}
	return true
}

// deadline returns the deadline that the operation asks for, and whether it has passed at a time.
func (o *op) deadline(now int64) (deadline int64, past bool) {
	switch o.life {
	case host.TTL:
		deadline = ttl.Deadline(now, time.Duration(o.lifeValue))
	case host.At:
		deadline = o.lifeValue
	}
	return deadline, kv.Expired(deadline, now)
}

// one does an operation that is a call of its own.
func (m *machine) one(o *op) result {
	var p present
	if o.looks() {
		p = m.look(o.key, o.kind >= opExpire)
		if m.failed != nil {
			return result{}
		}
	}
	if !o.holds(&p) {
		if o.kind == opExpire || o.kind == opGetTouch || o.kind == opTake {
			if !p.found {
				return result{code: codeNotFound}
			}
		}
		return result{code: codeCondition, version: p.version}
	}
	r := result{found: p.found}
	switch o.kind {
	case opPut:
		deadline, past := o.deadline(m.at.time)
		if o.life == host.KeepTTL && p.found {
			deadline = p.deadline
		}
		m.write1(o.key, o.value, deadline, past, &r)
	case opDelete:
		m.delete(o.key)
	case opDeleteRange:
		m.deleteRange(o.key, o.value)
	case opExpire, opGetTouch, opTake:
		return m.touch(o, &p)
	case opAdd:
		return m.add(o, &p)
	case opSwap:
		if r.found = p.found && bytes.Equal(p.value, o.old); !r.found {
			return r
		}
		deadline, past := o.deadline(m.at.time)
		if o.life == host.KeepTTL {
			deadline = p.deadline
		}
		m.write1(o.key, o.value, deadline, past, &r)
	default:
		return result{code: codeInvalid}
	}
	r.version = m.sequence
	return r
}

// write1 adds a put, or a delete if its deadline has passed.
func (m *machine) write1(key, value []byte, deadline int64, past bool, r *result) {
	if past {
		m.delete(key)
		return
	}
	m.put(key, value, deadline)
	r.deadline = deadline
}

// touch gives a key another deadline, or deletes it.
func (m *machine) touch(o *op, p *present) result {
	if !p.found {
		return result{code: codeNotFound}
	}
	r := result{found: true}
	if o.kind != opExpire {
		r.value = p.value
	}
	if o.kind == opTake {
		m.delete(o.key)
	} else {
		deadline, past := o.deadline(m.at.time)
		if !o.allows(deadline, p.deadline) {
			return result{code: codeCondition, version: p.version}
		}
		m.write1(o.key, p.value, deadline, past, &r)
	}
	r.version = m.sequence
	return r
}

// add adds to a counter.
func (m *machine) add(o *op, p *present) result {
	deadline, past := o.deadline(m.at.time)
	var n int64
	if p.found {
		var err error
		if n, err = ebb.Counter(p.value); err != nil {
			return result{code: codeNotCounter}
		}
		deadline, past = p.deadline, false
	}
	sum := n + o.delta
	if (sum > n) != (o.delta > 0) && o.delta != 0 {
		return result{code: codeOverflow}
	}
	r := result{found: p.found, value: strconv.AppendInt(nil, sum, 10)}
	m.write1(o.key, r.value, deadline, past, &r)
	r.version = m.sequence
	return r
}

// all does the operations of a batch: each sees those before it, and conditions are about the state before all.
func (m *machine) all(ops []op) result {
	before, r := m.before(ops)
	if r.code != codeDone || m.failed != nil {
		return r
	}
	if before == nil { // nothing depends on what is there
		for i := range ops {
			m.plain(&ops[i])
		}
		return result{version: m.sequence}
	}
	return m.resolved(ops, before)
}

// plain adds an operation that depends on nothing.
func (m *machine) plain(o *op) {
	var r result
	switch o.kind {
	case opPut:
		deadline, past := o.deadline(m.at.time)
		m.write1(o.key, o.value, deadline, past, &r)
	case opDelete:
		m.delete(o.key)
	case opDeleteRange:
		m.deleteRange(o.key, o.value)
	}
}

// before looks up what operations depend on, and checks their conditions. It is nil if they depend on nothing.
func (m *machine) before(ops []op) (map[string]present, result) {
	var before map[string]present
	for i := range ops {
		o := &ops[i]
		switch o.kind {
		case opPut, opDelete, opDeleteRange, opBatchExpire:
		default:
			return nil, result{code: codeInvalid}
		}
		if !o.looks() {
			continue
		}
		if before == nil {
			before = make(map[string]present)
		}
		p, ok := before[string(o.key)]
		if !ok || o.kind == opBatchExpire && p.found && p.value == nil {
			p = m.look(o.key, o.kind == opBatchExpire)
			before[string(o.key)] = p
		}
		if !o.holds(&p) {
			return nil, result{code: codeCondition, at: i, version: p.version}
		}
	}
	return before, result{}
}

// resolved does operations some of which depend on what their keys have, in now.
//
// The values that Expires find count towards the largest batch: so all are resolved before the first is added.
func (m *machine) resolved(ops []op, now map[string]present) result {
	size := int64(0)
	out := make([]op, 0, len(ops))
	for i := range ops {
		o := ops[i]
		p, tracked := now[string(o.key)]
		switch o.kind {
		case opDeleteRange:
			for k := range now {
				if k >= string(o.key) && k < string(o.value) {
					now[k] = present{}
				}
			}
			out = append(out, o)
			continue
		case opBatchExpire:
			if !p.found {
				continue
			}
			o.kind, o.value = opPut, p.value
		case opPut:
			if o.life == host.KeepTTL {
				o.life, o.lifeValue = host.NoLife, 0
				if p.found && p.deadline != 0 {
					o.life, o.lifeValue = host.At, p.deadline
				}
			}
		}
		if size += int64(opSize(&o)); size > maxEntrySize {
			return result{code: codeTooLarge, at: i}
		}
		deadline, past := o.deadline(m.at.time)
		if tracked {
			now[string(o.key)] = present{found: o.kind == opPut && !past, value: o.value, deadline: deadline}
		}
		out = append(out, o)
	}
	for i := range out {
		m.plain(&out[i])
	}
	return result{version: m.sequence}
}
