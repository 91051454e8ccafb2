// Package draft holds operations that are not in the log yet, those of a batch, and turns them into ones that the log takes.
//
// An operation of a draft may depend on what is there when it is made: a put may keep a deadline, an expire gives the value
// that is there another deadline, and a range may have no end. In the log there are only puts, deletes and ranges with an
// end: see Resolver.
//
// The package does no I/O and takes no lock. It knows nothing of conditions but how to keep them.
package draft

import (
	"encoding/binary"
	"time"

	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/ttl"
)

// Kind is the kind of an operation.
type Kind uint8

const (
	Put         Kind = iota // Key gets Value
	Delete                  // Key is deleted
	DeleteRange             // the keys from Key up to but not including End are deleted; a nil End is no bound
	Expire                  // Key gets another deadline if it is present, and keeps its value
	Kinds                   // how many there are
)

// Op is one operation.
type Op struct {
	Kind      Kind
	Key       []byte
	Value     []byte // of a Put
	End       []byte // of a DeleteRange
	Life      Option // of a Put or an Expire: what deadline it sets
	Condition Option // of a Put, a Delete or an Expire: kept for the caller
}

// hasEffect reports whether what the operation does depends on what its key has.
func (o *Op) hasEffect() bool { return o.Kind == Expire || o.Life.Kind == KeepTTL }

// looks reports whether it has an effect, or a condition.
func (o *Op) looks() bool { return o.Condition.Kind != 0 || o.hasEffect() }

// Option is a kind, of which 0 is none, and a number.
type Option struct {
	Kind  uint8
	Value int64
}

// Kinds of lives. The zero Option is no deadline.
const (
	TTL     uint8 = iota + 1 // Value is a time.Duration from when the operation is made; 0 is no deadline
	At                       // Value is a deadline, Unix ms; 0 is none
	KeepTTL                  // the deadline of the entry that a put replaces, if that is present
)

// Deadline returns the deadline that a life of kind TTL or At, or none, asks for as of now, and whether it has passed.
func (o Option) Deadline(now int64) (deadline int64, past bool) {
	switch o.Kind {
	case TTL:
		deadline = ttl.Deadline(now, time.Duration(o.Value))
	case At:
		deadline = o.Value
	}
	return deadline, kv.Expired(deadline, now)
}

// Overhead bounds the bytes that an operation in a batch of the log has beside its key and value: lengths and deadline.
const Overhead = 4 + 2*binary.MaxVarintLen32 + binary.MaxVarintLen64

// Size is what an operation counts towards the limit of a batch.
func Size(key, value []byte) int64 { return int64(len(key)) + int64(len(value)) + Overhead }
