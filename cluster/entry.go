package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/ebbdb/ebb"
	"github.com/ebbdb/ebb/internal/host"
)

// An entry of the raft log, numbers little-endian, uvarints as in encoding/binary:
//
//	offset  size  field
//	     0     1  Version   1; a node stops at one that it does not know
//	     1     1  Kind      write, tick, open session, expire sessions, pin, calls, report
//	     2     8  Stamp     Unix ms, set by the leader; the entry's time is the later of it and the time of the entry before
//	    10     8  Session   of the caller; 0: none
//	    18     2  Slot      of the session: one call at a time
//	    20     8  Sequence  of the call in its slot, from 1 on
//	    28        Body
//
// The body of a write:
//
//	Flags     1 byte    batch: see below
//	Keys      uvarint, and for each: key, uvarint version (0: absent)              \ what a transaction has read
//	Ranges    uvarint, and for each: start, end, 16 bytes of digest (host.Sum)     /
//	Ops       uvarint, and for each:
//	          Op      1 byte
//	          Options 1 byte: life in bits 0-1, condition in bits 2-4, bit 5: an old value, bit 6: a delta,
//	                            bit 7: whether the key was there is asked for
//	          Key
//	          Value             of a put, a swap; the end of a range delete
//	          Life    8 bytes   if there is one
//	          Cond    8 bytes   if it is IfVersion
//	          Old               if there is one: what a swap replaces
//	          Delta   8 bytes   if there is one: what Add adds
//
// A key, a start, an end, a value is a uvarint length and its bytes. A tick has no body. Open session: 8 bytes of its id.
// Expire sessions: 8 bytes, how long in ms one has been idle that goes. A pin has no body. Report: 1 byte, 1 if what expires from
// here on is reported, 0 if not.
//
// Calls are writes that came together. They have the entry's stamp in common, and are made one after the other as if each were
// an entry. Session, slot and sequence of the entry are 0. Its body:
//
//	Calls     uvarint, and for each:
//	          Session   8 bytes
//	          Slot      2 bytes
//	          Sequence  8 bytes
//	          Body      uvarint length, and the body of a write
const (
	entryVersion = 1

	versionOffset  = 0
	kindOffset     = 1
	stampOffset    = 2
	sessionOffset  = 10
	slotOffset     = 18
	sequenceOffset = 20
	headerSize     = 28
)

type entryKind uint8

const (
	kindWrite entryKind = iota + 1
	kindTick
	kindOpenSession
	kindExpireSessions
	kindPin    // a tick at which each node pins a snapshot, to make its digest
	kindCalls  // several writes
	kindReport // whether expiries are reported

	lastKind = kindReport
)

type opKind uint8

const (
	opPut opKind = iota + 1
	opDelete
	opDeleteRange
	opExpire      // a new deadline; an absent key is an error
	opBatchExpire // a new deadline; an absent key is none
	opGetTouch    // opExpire that returns the value
	opTake
	opAdd
	opSwap
)

const (
	flagBatch = 1 << iota // conditions are about the state before all operations; a version is that of the last
)

const (
	lifeMask  = 0x03
	condShift = 2
	condMask  = 0x07
	hasOld    = 1 << 5
	hasDelta  = 1 << 6
	asksFound = 1 << 7
)

// header is the fixed part of an entry.
type header struct {
	kind     entryKind
	stamp    int64
	session  uint64
	slot     uint16
	sequence uint64
}

// op is one operation of a write. Its slices point into the entry.
type op struct {
	kind      opKind
	key       []byte
	value     []byte // the end of a range delete
	old       []byte
	delta     int64
	life      host.Life
	lifeValue int64
	cond      host.Cond
	condValue uint64
	found     bool // the caller asks whether the key was there
}

// looks reports whether the operation depends on what its key has.
func (o *op) looks() bool {
	return o.cond != host.NoCond || o.life == host.KeepTTL || o.kind >= opExpire || o.found
}

var errEntry = errors.New("not an entry")

// errNewer says that an entry was written by a newer release.
type errNewer struct{ version, kind uint8 }

func (e *errNewer) Error() string {
	return fmt.Sprintf("an entry of version %d and kind %d: this release knows version %d", e.version, e.kind, entryVersion)
}

// appendHeader appends a header whose stamp is to be set.
func appendHeader(b []byte, h *header) []byte {
	b = append(b, entryVersion, byte(h.kind))
	b = binary.LittleEndian.AppendUint64(b, uint64(h.stamp))
	b = binary.LittleEndian.AppendUint64(b, h.session)
	b = binary.LittleEndian.AppendUint16(b, h.slot)
	return binary.LittleEndian.AppendUint64(b, h.sequence)
}

// setStamp sets the stamp of an entry.
func setStamp(entry []byte, stamp int64) {
	binary.LittleEndian.PutUint64(entry[stampOffset:], uint64(stamp))
}

// setCaller makes an entry that of a call.
func setCaller(entry []byte, session uint64, slot uint16, sequence uint64) {
	binary.LittleEndian.PutUint64(entry[sessionOffset:], session)
	binary.LittleEndian.PutUint16(entry[slotOffset:], slot)
	binary.LittleEndian.PutUint64(entry[sequenceOffset:], sequence)
}

// decodeHeader reads a header, and returns the body.
func decodeHeader(b []byte) (h header, body []byte, err error) {
	if len(b) < 2 {
		return header{}, nil, errEntry
	}
	if b[versionOffset] != entryVersion || b[kindOffset] > byte(lastKind) {
		return header{}, nil, &errNewer{b[versionOffset], b[kindOffset]}
	}
	if len(b) < headerSize || b[kindOffset] == 0 {
		return header{}, nil, errEntry
	}
	return header{
		kind:     entryKind(b[kindOffset]),
		stamp:    int64(binary.LittleEndian.Uint64(b[stampOffset:])),
		session:  binary.LittleEndian.Uint64(b[sessionOffset:]),
		slot:     binary.LittleEndian.Uint16(b[slotOffset:]),
		sequence: binary.LittleEndian.Uint64(b[sequenceOffset:]),
	}, b[headerSize:], nil
}

func appendBytes(b, v []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(v))), v...)
}

// appendOp appends an operation.
func appendOp(b []byte, o *op) []byte {
	options := byte(o.life) | byte(o.cond)<<condShift
	if o.old != nil {
		options |= hasOld
	}
	if o.kind == opAdd {
		options |= hasDelta
	}
	if o.found {
		options |= asksFound
	}
	b = append(b, byte(o.kind), options)
	b = appendBytes(appendBytes(b, o.key), o.value)
	if o.life != host.NoLife {
		b = binary.LittleEndian.AppendUint64(b, uint64(o.lifeValue))
	}
	if o.cond == host.IfVersion {
		b = binary.LittleEndian.AppendUint64(b, o.condValue)
	}
	if o.old != nil {
		b = appendBytes(b, o.old)
	}
	if o.kind == opAdd {
		b = binary.LittleEndian.AppendUint64(b, uint64(o.delta))
	}
	return b
}

// opSize bounds the size of an operation in an entry.
func opSize(o *op) int {
	return 2 + len(o.key) + len(o.value) + len(o.old) + 3*binary.MaxVarintLen32 + 3*8
}

// appendReads appends what a transaction has read.
func appendReads(b []byte, keys []host.KeyRead, ranges []host.RangeRead) []byte {
	b = binary.AppendUvarint(b, uint64(len(keys)))
	for _, k := range keys {
		b = binary.AppendUvarint(appendBytes(b, k.Key), k.Version)
	}
	b = binary.AppendUvarint(b, uint64(len(ranges)))
	for _, r := range ranges {
		b = append(appendBytes(appendBytes(b, r.Start), r.End), r.Sum[:]...)
	}
	return b
}

// reader reads a body. After the first failure bad is set, and all it returns is zero.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) fail() { r.b, r.bad = nil, true }

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.fail()
		return 0
	}
	v := r.b[0]
	r.b = r.b[1:]
	return v
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) uint16() uint16 {
	b := r.take(2)
	if b == nil {
		return 0
	}
	return binary.LittleEndian.Uint16(b)
}

func (r *reader) uint64() uint64 {
	if len(r.b) < 8 {
		r.fail()
		return 0
	}
	v := binary.LittleEndian.Uint64(r.b)
	r.b = r.b[8:]
	return v
}

func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.fail()
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) bytes() []byte { return r.take(r.uvarint()) }

// count reads a number of things that take at least a byte each.
func (r *reader) count() int {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.fail()
		return 0
	}
	return int(n)
}

// op reads an operation.
func (r *reader) op(o *op) {
	*o = op{kind: opKind(r.byte())}
	options := r.byte()
	o.key, o.value = r.bytes(), r.bytes()
	o.life, o.cond = host.Life(options&lifeMask), host.Cond(options>>condShift&condMask)
	if o.life != host.NoLife {
		o.lifeValue = int64(r.uint64())
	}
	if o.cond == host.IfVersion {
		o.condValue = r.uint64()
	}
	if options&hasOld != 0 {
		o.old = r.bytes()
	}
	if options&hasDelta != 0 {
		o.delta = int64(r.uint64())
	}
	o.found = options&asksFound != 0
	if o.kind == 0 || o.kind > opSwap || len(o.key) == 0 && o.kind != opDeleteRange {
		r.fail()
	}
}

// reads reads what a transaction has read.
func (r *reader) reads() (keys []host.KeyRead, ranges []host.RangeRead) {
	for range r.count() {
		k := host.KeyRead{Key: r.bytes()}
		k.Version = r.uvarint()
		if len(k.Key) == 0 || len(k.Key) > ebb.MaxKeySize {
			r.fail()
		}
		keys = append(keys, k)
	}
	for range r.count() {
		var s host.RangeRead
		s.Start, s.End = r.bytes(), r.bytes()
		copy(s.Sum[:], r.take(uint64(len(s.Sum))))
		ranges = append(ranges, s)
	}
	return keys, ranges
}

// call is one of the writes of an entry that has several. Its body points into the entry.
type call struct {
	session  uint64
	slot     uint16
	sequence uint64
	body     []byte
}

// callOverhead bounds what a call has beside its body.
const callOverhead = headerSize - sessionOffset + binary.MaxVarintLen32

// appendCall appends the call that an entry of its own has.
func appendCall(b, entry []byte) []byte {
	return appendBytes(append(b, entry[sessionOffset:headerSize]...), entry[headerSize:])
}

// decodeCalls appends the calls of a body to a list.
func decodeCalls(body []byte, list []call) ([]call, error) {
	in := reader{b: body}
	n := in.count()
	if n == 0 {
		in.fail()
	}
	for i := 0; i < n && !in.bad; i++ {
		c := call{session: in.uint64(), slot: in.uint16(), sequence: in.uint64()}
		c.body = in.bytes()
		list = append(list, c)
	}
	if in.bad || len(in.b) > 0 {
		return nil, errEntry
	}
	return list, nil
}

// maxEntrySize bounds an entry: all keys and values of a call, with some bytes for each.
const maxEntrySize = 64 << 20
