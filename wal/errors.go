package wal

import (
	"errors"

	"github.com/ebbdb/ebb/internal/corrupt"
	"github.com/ebbdb/ebb/internal/format"
	"github.com/ebbdb/ebb/internal/vfs"
)

// Errors of appending and syncing.
var (
	// ErrClosed is returned by everything once the log is closed.
	ErrClosed = errors.New("wal: closed")
	// ErrFailed matches the error of every append and sync after a write or an fsync has failed. The first failure is in
	// its chain. Nothing more is acknowledged until the log is opened again; reading goes on.
	ErrFailed = errors.New("wal: failed earlier")
	// ErrNoSpace says that the disk is full. The append did not happen, and the log goes on when there is room.
	ErrNoSpace = errors.New("wal: no space left")
	// ErrInvalidEntry says that an entry cannot be appended: an empty key, a batch of no operations.
	ErrInvalidEntry = errors.New("wal: invalid entry")
)

// Errors of opening and reading.
var (
	// ErrCorrupt matches every error that reports damaged files. errors.As with *CorruptError tells file and offset.
	ErrCorrupt = corrupt.ErrCorrupt
	// ErrForeign says that a segment belongs to another database.
	ErrForeign = errors.New("wal: segment of another database")
	// ErrMisplaced says that a segment, or a mark inside one, stands where it was not written: swapped or duplicated.
	ErrMisplaced = errors.New("wal: not written at this place")
	// ErrGap says that a segment between two others, or one that the owner counts on, is missing.
	ErrGap = errors.New("wal: segment missing")
	// ErrChain says that a segment does not continue the one before it.
	ErrChain = errors.New("wal: segment does not continue its predecessor")
	// ErrVersion says that a newer release has written the segment. Nothing is wrong with it.
	ErrVersion = format.ErrNewer
	// ErrUnused says that a segment was made ahead of its need and not taken into use. Nothing is wrong with it.
	ErrUnused = errors.New("wal: segment not in use yet")
	// ErrDeleted says that a reader's position is no longer in the log: DeleteBefore has taken it out. A segment that is
	// missing for another reason is ErrGap, which is damage.
	ErrDeleted = errors.New("wal: position no longer in the log")
	// ErrAhead says that a sequence is beyond the log's end.
	ErrAhead = errors.New("wal: sequence not reached yet")
	// ErrLocked says that another owner has the log open. errors.As with *LockedError may tell which process.
	ErrLocked = vfs.ErrLocked
)

// CorruptError says which file is damaged and where. It matches ErrCorrupt.
type CorruptError = corrupt.Error

// LockedError says which process holds the lock. It matches ErrLocked.
type LockedError = vfs.LockedError
