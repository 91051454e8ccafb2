package cluster

import "encoding/binary"

// A result is what an entry has come to, the same on every node. As a slot remembers it, and as it goes over the wire:
//
//	Code      1 byte
//	Flags     1 byte: found
//	At        uvarint  which operation a condition has refused, from 0 on
//	Version   uvarint
//	Deadline  varint
//	Value     the rest
type result struct {
	code     code
	found    bool // the key was present; of a swap: it was made
	at       int
	version  uint64 // of the write; of what has refused a condition
	deadline int64
	value    []byte
}

type code uint8

const (
	codeDone code = iota
	codeCondition
	codeNotFound
	codeNotCounter
	codeOverflow
	codeConflict     // what a transaction has read has changed
	codeTooLarge     // of a batch whose values, once known, are
	codeNoSession    // it was never opened, or has expired: nothing was done
	codeOldCall      // a later call of the slot was made
	codeInvalid      // the entry breaks the format: nothing was done
	codeStopped      // the node applies no more entries
	codeNotCompleted // the node has been told to stop before it knew
)

func (r *result) append(b []byte) []byte {
	var flags byte
	if r.found {
		flags = 1
	}
	b = append(b, byte(r.code), flags)
	b = binary.AppendUvarint(b, uint64(r.at))
	b = binary.AppendUvarint(b, r.version)
	b = binary.AppendVarint(b, r.deadline)
	return append(b, r.value...)
}

// decodeResult reads a result. Its value points into b.
func decodeResult(b []byte) (r result, ok bool) {
	in := reader{b: b}
	r.code = code(in.byte())
	r.found = in.byte()&1 != 0
	r.at = int(in.uvarint())
	r.version = in.uvarint()
	deadline, n := binary.Varint(in.b)
	if in.bad || n <= 0 {
		return result{}, false
	}
	r.deadline, r.value = deadline, in.b[n:]
	return r, true
}
