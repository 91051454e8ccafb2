package raftlog

import (
	"errors"

	"github.com/ebbdb/ebb/wal"
)

var (
	// ErrClosed is returned by everything once the store is closed.
	ErrClosed = wal.ErrClosed
	// ErrFailed matches the error of every write after a write or an fsync has failed. Nothing more is acknowledged until the
	// store is opened again; reading goes on.
	ErrFailed = wal.ErrFailed
	// ErrNoSpace says that the disk is full. Nothing was stored or deleted, and the store goes on when there is room.
	ErrNoSpace = wal.ErrNoSpace
	// ErrCorrupt matches every error that reports damaged files. errors.As with *wal.CorruptError tells file and offset.
	ErrCorrupt = wal.ErrCorrupt
	// ErrVersion says that a newer release has written the log. Nothing is wrong with it.
	ErrVersion = wal.ErrVersion
	// ErrLocked says that another owner has the log open.
	ErrLocked = wal.ErrLocked
	// ErrOrder says that entries to store do not continue the log, or one another. Nothing was stored.
	ErrOrder = errors.New("raftlog: entries do not continue the log")
	// ErrRange says that a range to delete has entries before it and after it. Nothing was deleted.
	ErrRange = errors.New("raftlog: a range in the middle cannot be deleted")
)
