package wal

import "errors"

// The errors of a record fall into two groups, which a log has to treat differently.
//
// No record here. The bytes are cut off, damaged or were never written, and where the next record would begin is
// unknown. The decoders return n = 0 with these.
var (
	// ErrIncomplete says that the bytes end before the record does.
	ErrIncomplete = errors.New("wal: incomplete record")
	// ErrCRC says that the checksum does not match.
	ErrCRC = errors.New("wal: record checksum mismatch")
	// ErrVarintOverflow says that a varint does not fit 64 bits. Without the lengths there is no checksum to look at,
	// so this is damage like ErrCRC.
	ErrVarintOverflow = errors.New("wal: record varint overflows 64 bits")
)

// A record that cannot be used. The checksum holds, so the bytes are as they were written; cutting the log here would lose
// good data. The decoders return the record's length n > 0 with these.
var (
	// ErrReservedBits says that a flag bit is set that has no meaning yet: the record was written by a newer version.
	ErrReservedBits = errors.New("wal: record has reserved flag bits set")
	// ErrUnknownCompression says that the compression is none of those in this package. AppendRecord returns it too.
	ErrUnknownCompression = errors.New("wal: unknown record compression")
	// ErrDecompression says that the stored value is not valid data of its compression.
	ErrDecompression = errors.New("wal: record value does not decompress")
	// ErrTooLarge says that the key or the value is over its limit. A value that would be over the limit when
	// decompressed matches ErrDecompression as well. AppendRecord returns it too.
	ErrTooLarge = errors.New("wal: record over the size limit")
)
