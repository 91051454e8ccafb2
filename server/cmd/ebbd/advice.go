package main

import (
	"errors"
	"syscall"

	"github.com/ebbdb/ebb"
)

// advice says what can be done about an error; empty if the error says it, or nothing can.
func advice(err error) string {
	switch {
	case errors.Is(err, ebb.ErrLocked):
		return "only one process can have a database open to write; nothing was changed"
	case errors.Is(err, ebb.ErrVersion):
		return "a newer ebb has written it: use that one; nothing was changed"
	case errors.Is(err, ebb.ErrNotDatabase):
		return "the directory holds something else; nothing was changed"
	case errors.Is(err, ebb.ErrCorrupt):
		return "restore a backup, or 'ebb repair DIR NEWDIR' saves what can be read into a new database"
	case errors.Is(err, ebb.ErrNoSpace):
		return "make room and start again"
	case errors.Is(err, syscall.EADDRINUSE):
		return "another process listens there; nothing was changed"
	}
	return ""
}
