package snapstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/hashicorp/raft"

	"github.com/ebbdb/ebb/internal/format"
	"github.com/ebbdb/ebb/wal"
)

// NAME.meta is one record of package wal, under the key "ebb raft snapshot":
//
//	version 1 byte, uvarint index, uvarint term, uvarint index of the configuration, uvarint bytes of NAME.snap,
//	u64 xxHash64 of NAME.snap (little-endian), the configuration as raft.EncodeConfiguration has it
//
// NAME is INDEX-TERM-N, in decimal of 20 digits each but for N, which tells snapshots of one index apart.
const (
	metaKey     = "ebb raft snapshot"
	metaVersion = 1

	snapSuffix = ".snap"
	metaSuffix = ".meta"
	tmpSuffix  = ".tmp"
)

var errMalformed = errors.New("malformed")

// meta is what is written down of a snapshot.
type meta struct {
	raft.SnapshotMeta
	digest uint64
}

func (m *meta) append(dst []byte) ([]byte, error) {
	value := []byte{metaVersion}
	for _, n := range []uint64{m.Index, m.Term, m.ConfigurationIndex, uint64(m.Size)} {
		value = binary.AppendUvarint(value, n)
	}
	value = binary.LittleEndian.AppendUint64(value, m.digest)
	value = append(value, raft.EncodeConfiguration(m.Configuration)...)
	return wal.AppendRecord(dst, &wal.Record{Key: []byte(metaKey), Value: value})
}

// decodeMeta reads the meta of a snapshot. The version is checked first: a newer one may look different from there on.
func decodeMeta(b []byte) (m meta, err error) {
	rec, n, err := wal.DecodeRecord(b)
	if err != nil {
		return meta{}, err
	}
	if n != len(b) || string(rec.Key) != metaKey || len(rec.Value) == 0 || rec.Value[0] == 0 {
		return meta{}, errMalformed
	}
	if version := rec.Value[0]; version > metaVersion {
		return meta{}, format.Newer("raft snapshot", version, metaVersion)
	}
	rest := rec.Value[1:]
	var numbers [4]uint64
	for i := range numbers {
		var n int
		if numbers[i], n = binary.Uvarint(rest); n <= 0 {
			return meta{}, errMalformed
		}
		rest = rest[n:]
	}
	if len(rest) < 8 || int64(numbers[3]) < 0 {
		return meta{}, errMalformed
	}
	m.Version = raft.SnapshotVersionMax
	m.Index, m.Term, m.ConfigurationIndex, m.Size = numbers[0], numbers[1], numbers[2], int64(numbers[3])
	m.digest = binary.LittleEndian.Uint64(rest)
	m.Configuration, err = decodeConfiguration(rest[8:])
	return m, err
}

// decodeConfiguration is raft.DecodeConfiguration, which panics at what is none.
func decodeConfiguration(b []byte) (c raft.Configuration, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: configuration: %v", errMalformed, r)
		}
	}()
	return raft.DecodeConfiguration(b), nil
}

// nameOf returns the n-th name of a snapshot.
func nameOf(index, term uint64, n int) string { return fmt.Sprintf("%020d-%020d-%d", index, term, n) }

// kindOf splits the name of a file into that of the snapshot and the suffix. A name that no snapshot has is not ok.
func kindOf(file string) (name, suffix string, ok bool) {
	at := strings.IndexByte(file, '.')
	if at < 0 {
		return "", "", false
	}
	name, suffix = file[:at], file[at:]
	var index, term uint64
	var n int
	if _, err := fmt.Sscanf(name, "%d-%d-%d", &index, &term, &n); err != nil || nameOf(index, term, n) != name {
		return "", "", false
	}
	switch suffix {
	case snapSuffix, metaSuffix, snapSuffix + tmpSuffix, metaSuffix + tmpSuffix:
		return name, suffix, true
	}
	return "", "", false
}
