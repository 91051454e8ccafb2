// Package corrupt owns the one error that says a file's bytes are wrong.
//
// Every package that reads a file of a database reports damage as an *Error, so that a user can tell damage from other
// failures with one errors.Is and can read which file to look at, and where. The package does no I/O and keeps no state.
package corrupt

import (
	"errors"
	"fmt"
)

// ErrCorrupt matches every *Error with errors.Is.
var ErrCorrupt = errors.New("corrupt")

// Error says that the bytes of File at Offset are not what was written there.
type Error struct {
	File   string // path as the reader opened it; empty where bytes have no file
	Offset int64  // of the first byte that cannot be trusted
	What   string // the structure that was being read, as in "segment header"
	Err    error  // the cause; may be nil
}

// New returns an *Error with the given fields. err may be nil.
func New(file string, offset int64, what string, err error) *Error {
	return &Error{File: file, Offset: offset, What: what, Err: err}
}

// Error names the file, the offset and the structure. It never contains key or value bytes.
func (e *Error) Error() string {
	s := fmt.Sprintf("corrupt: %s: offset %d: %s", e.File, e.Offset, e.What)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap makes the error match ErrCorrupt and its cause.
func (e *Error) Unwrap() []error {
	if e.Err == nil {
		return []error{ErrCorrupt}
	}
	return []error{ErrCorrupt, e.Err}
}
