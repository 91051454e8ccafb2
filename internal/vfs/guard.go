package vfs

import (
	"errors"
	"runtime"
	"runtime/debug"
)

// ErrFault says that touching a mapping failed: another process cut the file short, its medium gave an I/O error, or
// the mapping is gone because the file was closed.
var ErrFault = errors.New("vfs: fault in mapped memory")

// Guard runs fn, which reads or writes mapped memory, and turns a memory fault in it into ErrFault instead of the death
// of the process. It allocates nothing and costs about 20 ns, so it belongs around a whole lookup, not around each load.
//
// Only a fault that carries an address counts; every other panic, a nil pointer among them, goes on. A fault unwinds fn
// like a panic, so a lock taken in fn is released only by a deferred unlock, and what fn was writing is half written. Only
// faults of the calling goroutine are caught.
func Guard(fn func()) (err error) {
	old := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(old)
		if r := recover(); r != nil {
			err = asFault(r)
		}
	}()
	fn()
	return nil
}

// asFault returns ErrFault for the panic value of a memory fault and panics again with any other.
func asFault(r any) error {
	if _, ok := r.(interface {
		runtime.Error
		Addr() uintptr
	}); ok {
		return ErrFault
	}
	panic(r)
}
