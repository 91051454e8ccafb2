package raftlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"github.com/ebbdb/ebb/internal/format"
)

// The log is one of package wal whose records are puts without deadlines. The first byte of a key is the kind of the record;
// integers in keys are big-endian.
//
//	e index u64   an entry, which continues the one before
//	b index u64   an entry that begins the log anew: there was none when it was written
//	E, B          the same, but the batch that was stored together goes on with the next entry
//	u index u64   the entries from index on are deleted; no value
//	s name        a stable value of that name, which is the value
//	c             a checkpoint: all that is to be known of the records before it, but for the entries that are left
//
// A batch is there as a whole or not at all: entries whose batch does not come to its end are none. The disk was full, or there
// was a crash. The next batch begins with the same index as they do, or begins the log anew.
//
// The value of an entry:
//
//	uvarint term, type 1 byte, varint appended at (Unix ns, 0: not known), uvarint commit index (0: none was staged),
//	uvarint length of the extensions, extensions, data
//
// The value of a checkpoint:
//
//	version 1 byte, uvarint first (the entries before it are deleted), uvarint commit index,
//	uvarint number of stable values, and of each: uvarint length, name, uvarint length, value; sorted by name
//
// The first record of a log is a checkpoint, and so there is one in whatever a deletion of segments leaves.
const (
	kindEntry      = 'e'
	kindBegin      = 'b'
	kindEntryMore  = 'E'
	kindBeginMore  = 'B'
	kindCut        = 'u'
	kindStable     = 's'
	kindCheckpoint = 'c'

	formatVersion = 1

	indexKeySize = 1 + 8
)

var errMalformed = errors.New("malformed")

// appendIndexKey appends the key of a record about an index.
func appendIndexKey(dst []byte, kind byte, index uint64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, kind), index)
}

// decodeIndexKey returns the index in a key that has one.
func decodeIndexKey(key []byte) (uint64, error) {
	if len(key) != indexKeySize {
		return 0, errMalformed
	}
	return binary.BigEndian.Uint64(key[1:]), nil
}

// maxEntryOverhead bounds what an entry's value has beside its data and extensions.
const maxEntryOverhead = 4*binary.MaxVarintLen64 + 1

// appendEntry appends the value of an entry.
func appendEntry(dst []byte, l *raft.Log, commit uint64) []byte {
	dst = binary.AppendUvarint(dst, l.Term)
	dst = append(dst, byte(l.Type))
	var at int64
	if !l.AppendedAt.IsZero() {
		at = l.AppendedAt.UnixNano()
	}
	dst = binary.AppendVarint(dst, at)
	dst = binary.AppendUvarint(dst, commit)
	dst = binary.AppendUvarint(dst, uint64(len(l.Extensions)))
	dst = append(dst, l.Extensions...)
	return append(dst, l.Data...)
}

// decodeEntry fills l, but for its index, from the value of an entry. Data and Extensions alias the value.
func decodeEntry(value []byte, l *raft.Log) (commit uint64, err error) {
	d := decoder{rest: value}
	term, kind, at := d.uvarint(), d.byte(), d.varint()
	commit = d.uvarint()
	extensions := d.bytes()
	if d.failed {
		return 0, errMalformed
	}
	*l = raft.Log{Index: l.Index, Term: term, Type: raft.LogType(kind), Data: d.rest, Extensions: extensions}
	if at != 0 {
		l.AppendedAt = time.Unix(0, at)
	}
	return commit, nil
}

// checkpoint is what a checkpoint says.
type checkpoint struct {
	first  uint64
	commit uint64
	stable map[string][]byte
}

func (c *checkpoint) append(dst []byte) []byte {
	dst = append(dst, formatVersion)
	dst = binary.AppendUvarint(dst, c.first)
	dst = binary.AppendUvarint(dst, c.commit)
	dst = binary.AppendUvarint(dst, uint64(len(c.stable)))
	for _, name := range slices.Sorted(maps.Keys(c.stable)) {
		dst = binary.AppendUvarint(dst, uint64(len(name)))
		dst = append(dst, name...)
		dst = binary.AppendUvarint(dst, uint64(len(c.stable[name])))
		dst = append(dst, c.stable[name]...)
	}
	return dst
}

// decodeCheckpoint reads the value of a checkpoint, of which the result keeps nothing. The version is checked first: a newer
// one may look different from there on.
func decodeCheckpoint(value []byte) (checkpoint, error) {
	d := decoder{rest: value}
	if version := d.byte(); version > formatVersion {
		return checkpoint{}, format.Newer("raft log", version, formatVersion)
	} else if version == 0 {
		return checkpoint{}, errMalformed
	}
	c := checkpoint{first: d.uvarint(), commit: d.uvarint(), stable: make(map[string][]byte)}
	last, n := "", d.uvarint()
	for i := uint64(0); i < n && !d.failed; i++ {
		name := string(d.bytes())
		if i > 0 && name <= last {
			return checkpoint{}, fmt.Errorf("%w: names out of order", errMalformed)
		}
		c.stable[name], last = slices.Clone(d.bytes()), name
	}
	if d.failed || len(d.rest) > 0 {
		return checkpoint{}, errMalformed
	}
	return c, nil
}

// decoder reads a value from its beginning. Once it has failed everything it reads is zero.
type decoder struct {
	rest   []byte
	failed bool
}

func (d *decoder) fail() {
	d.rest, d.failed = nil, true
}

func (d *decoder) byte() byte {
	if len(d.rest) == 0 {
		d.fail()
		return 0
	}
	b := d.rest[0]
	d.rest = d.rest[1:]
	return b
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.rest)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.rest)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

// bytes reads a length and so many bytes, which alias the value; nil for none.
func (d *decoder) bytes() []byte {
	n := d.uvarint()
	if n > uint64(len(d.rest)) {
		d.fail()
	}
	if d.failed || n == 0 {
		return nil
	}
	b := d.rest[:n:n]
	d.rest = d.rest[n:]
	return b
}
