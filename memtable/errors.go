package memtable

import "errors"

var (
	// ErrFull says that the arena cannot address another byte: the entry belongs into the next memtable.
	ErrFull = errors.New("memtable: full")
	// ErrSize says that a key is empty or over MaxKeySize, or a value over MaxValueSize.
	ErrSize = errors.New("memtable: key or value size out of range")
)
