package snapstore

import (
	"errors"

	"github.com/ebbdb/ebb/internal/corrupt"
	"github.com/ebbdb/ebb/internal/format"
	"github.com/ebbdb/ebb/internal/vfs"
)

var (
	// ErrCorrupt matches every error that reports a snapshot that is damaged, or a stream that is no whole snapshot file.
	// errors.As with *ebb.CorruptError tells file and offset.
	ErrCorrupt = corrupt.ErrCorrupt
	// ErrVersion says that a newer release has written the snapshot. Nothing is wrong with it.
	ErrVersion = format.ErrNewer
	// ErrLocked says that another owner has the directory open.
	ErrLocked = vfs.ErrLocked
	// ErrNotFound says that there is no snapshot of an id, or none any more.
	ErrNotFound = errors.New("snapstore: no such snapshot")
	// ErrCanceled is returned by a sink after Cancel, or after it has failed.
	ErrCanceled = errors.New("snapstore: the snapshot was given up")
	// ErrClosed is returned by everything once the store is closed.
	ErrClosed = errors.New("snapstore: closed")
)
