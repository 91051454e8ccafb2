// Package op says what the entries of the log mean: which operations each of them is.
//
// It is the only place that knows how a batch in the log is written, and the only decoder of it. Whatever looks into the log
// reads operations from here: the memtable, watchers, increments of a backup, `ebb dump` and `ebb repair`. A schema or a
// kind that one of them does not know is an error there, never taken for another.
//
// The package does no I/O, keeps no state and allocates nothing per operation.
package op

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/ebbdb/ebb/batch"
	"github.com/ebbdb/ebb/internal/kv"
)

// A put, a delete, a range delete and an eviction in the log are one operation each: see wal/format.go. A batch there is a
// KV batch (package batch) of at least one record, each of which is an operation. The batch's schema says which:
//
//	1 operations   a put    uvarint deadline (Unix ms, 0: none), then the value
//	               a delete has no value
//	3 expiries     a put    uvarint version, uvarint deadline (Unix ms), and nothing after it: the version of the key that
//	                        has expired. To the memtable it is a delete
//	5 operations with range deletes among them
//	               a put    uvarint deadline + 1, then the value; or uvarint 0, then the end of a range delete: the key is
//	                        its start, which may be empty
//	               a delete has no value
//
// The operations take consecutive sequences, of which the log's entry has the first. No other key is empty. A batch of
// schema 1 or 5 may carry a writer, one of schema 3 does not. Schema 5 is written only where there is a range delete.
//
// A range delete always has an end: one "to the end" of all keys ends behind the last key that there was.
//
// The other schemas of KV batches stand elsewhere: 2 are the rows of tables, 4 those of snapshot files.
const (
	schemaOperations = 1
	schemaExpiries   = 3
	schemaRanges     = 5
)

// Errors of an entry whose bytes are as they were written.
var (
	errBytesAfter = errors.New("bytes after the batch")
	errSchema     = errors.New("no schema of a batch in the log")
	errCount      = errors.New("the batch holds another number of operations than the log says")
	errWriter     = errors.New("no writer of a batch in the log")
	errKey        = errors.New("the key is empty")
	errDeadline   = errors.New("the value has no deadline before it")
	errExpiry     = errors.New("the value is no version and deadline")
	errRange      = errors.New("the range of keys ends before it begins")
	errHorizon    = errors.New("an eviction up to no deadline")
)

// ErrUnknown is the error of a consumer that does not know the kind of an operation.
var ErrUnknown = errors.New("unknown operation")

// Unknown returns the error that matches ErrUnknown and names the kind.
func Unknown(k Kind) error { return fmt.Errorf("%w: kind %d", ErrUnknown, uint8(k)) }

// hasOperations reports whether a schema is one of puts and deletes.
func hasOperations(schema int) bool { return schema == schemaOperations || schema == schemaRanges }

// appendDeadline appends the deadline that precedes the value of a put.
func appendDeadline(dst []byte, deadline int64) []byte {
	return binary.AppendUvarint(dst, uint64(deadline))
}

// decodeDeadline splits the value of a put's record.
func decodeDeadline(b []byte) (deadline int64, value []byte, ok bool) {
	d, n := binary.Uvarint(b)
	if n <= 0 || d > math.MaxInt64 {
		return 0, nil, false
	}
	return int64(d), b[n:], true
}

// appendExpiry appends the value of an expiry's record.
func appendExpiry(dst []byte, version uint64, deadline int64) []byte {
	return appendDeadline(binary.AppendUvarint(dst, version), deadline)
}

// decodeExpiry reads the value of an expiry's record.
func decodeExpiry(b []byte) (version uint64, deadline int64, ok bool) {
	version, n := binary.Uvarint(b)
	if n <= 0 {
		return 0, 0, false
	}
	deadline, rest, ok := decodeDeadline(b[n:])
	return version, deadline, ok && len(rest) == 0
}

// decodeAmongRanges makes o the put or the range delete whose record of schema 5 has the value b.
func (o *Op) decodeAmongRanges(b []byte) error {
	d, n := binary.Uvarint(b)
	switch {
	case n <= 0 || d > math.MaxInt64+1:
		return errDeadline
	case d > 0:
		o.Kind, o.Deadline, o.Value = Put, int64(d-1), b[n:]
		return nil
	}
	if o.Kind, o.End = DeleteRange, b[n:]; kv.Compare(o.Key, o.End) >= 0 {
		return errRange
	}
	return nil
}

// decode makes o the operation that a record of a batch is. It leaves the sequence.
func (o *Op) decode(schema int, r *batch.Record) error {
	o.Key, o.Value, o.End, o.Deadline, o.Version = r.Key, nil, nil, 0, 0
	var ok bool
	switch {
	case schema == schemaExpiries:
		o.Kind = Expired
		if o.Version, o.Deadline, ok = decodeExpiry(r.Value); !ok {
			return errExpiry
		}
	case r.Delete:
		o.Kind = Delete
	case schema == schemaRanges:
		if err := o.decodeAmongRanges(r.Value); err != nil {
			return err
		}
	default:
		o.Kind = Put
		if o.Deadline, o.Value, ok = decodeDeadline(r.Value); !ok {
			return errDeadline
		}
	}
	if len(r.Key) == 0 && o.Kind != DeleteRange {
		return errKey
	}
	return nil
}
