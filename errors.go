package ebb

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/ebbdb/ebb/internal/copies"
	"github.com/ebbdb/ebb/internal/corrupt"
	"github.com/ebbdb/ebb/internal/dir"
	"github.com/ebbdb/ebb/internal/format"
	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/wal"
)

// Errors of operations. Compare with errors.Is.
var (
	// ErrNotFound says that the key is absent: never written, deleted, or expired.
	ErrNotFound = errors.New("ebb: not found")
	// ErrClosed is returned by everything once the database is closed.
	ErrClosed = errors.New("ebb: closed")
	// ErrKeyEmpty and ErrKeyTooLarge refuse keys of 0 and of more than MaxKeySize bytes.
	ErrKeyEmpty    = errors.New("ebb: empty key")
	ErrKeyTooLarge = errors.New("ebb: key too large")
	// ErrValueTooLarge refuses values of more than MaxValueSize bytes.
	ErrValueTooLarge = errors.New("ebb: value too large")
	// ErrBatchTooLarge refuses a batch of more than MaxBatchSize bytes.
	ErrBatchTooLarge = errors.New("ebb: batch too large")
	// ErrBatchEmpty refuses a writer's batch without operations: the batch's sequence belongs to the next batch that has some.
	ErrBatchEmpty = errors.New("ebb: empty batch of a writer")
	// ErrWriterSequence refuses a batch that is neither the next of its writer nor the last one once more. errors.As with
	// *WriterSequenceError tells which sequence was expected.
	ErrWriterSequence = errors.New("ebb: not the writer's next batch")
	// ErrTooManyWriters refuses a batch of yet another writer than the MaxWriters that are known.
	ErrTooManyWriters = errors.New("ebb: too many writers")
	// ErrInvalidOption refuses a write option that makes no sense for the call.
	ErrInvalidOption = errors.New("ebb: invalid write option")
	// ErrInvalidOptions refuses options: those of Open, of an iterator, of a backup or of any other call. The message names the
	// field, its value and the values that are allowed.
	ErrInvalidOptions = errors.New("ebb: invalid options")
	// ErrConditionFailed says that the condition of a write does not hold. Nothing was written. errors.As with
	// *ConditionError tells the key, the condition and the version that is there.
	ErrConditionFailed = errors.New("ebb: condition failed")
	// ErrConflict says that others have written again and again to keys that an Update has read. Nothing was written.
	ErrConflict = errors.New("ebb: conflict")
	// ErrTxnManaged refuses Commit in a transaction of View or Update, which commit by themselves.
	ErrTxnManaged = errors.New("ebb: View and Update commit by themselves")
	// ErrTxnDone is returned by a transaction whose function has returned, or that was committed or discarded.
	ErrTxnDone = errors.New("ebb: transaction has ended")
	// ErrNotUnique refuses a write that would give two entries the same key of a unique index. errors.As with *UniqueError tells
	// the index and the key.
	ErrNotUnique = errors.New("ebb: not unique")
	// ErrIndexFunction says that the function of an index has panicked. Nothing was written.
	ErrIndexFunction = errors.New("ebb: the function of an index has panicked")
	// ErrNotCounter refuses Add on a value that is no counter, ErrOverflow an Add whose sum an int64 does not hold.
	ErrNotCounter = errors.New("ebb: not a counter")
	ErrOverflow   = errors.New("ebb: counter overflow")
	// ErrLogTrimmed says that the log does not have changes which were asked for: they went with an obsolete segment, see
	// Options.RetainLog, or came by an Ingest.
	ErrLogTrimmed = errors.New("ebb: no longer in the log")
	// ErrNoSpace says that the disk is full, or the directory as large as Options.MaxDisk allows. The write did not happen;
	// reads go on, and writes when there is room.
	ErrNoSpace = wal.ErrNoSpace
	// ErrReadOnly refuses writes to a database that was opened with Options.ReadOnly, and in a transaction of View.
	ErrReadOnly = errors.New("ebb: read-only")
	// ErrFailed matches the error of every write after a write or an fsync of the log has failed, or the directory was moved
	// or replaced; the first failure is in its chain. Reads go on. Open the database again to find out what the disk still
	// holds.
	ErrFailed = wal.ErrFailed
	// ErrSequenceAhead says that the database has not come to a sequence yet: the sequence is another database's, or this
	// database has lost writes that nobody had synced.
	ErrSequenceAhead = errors.New("ebb: sequence not reached yet")
)

// Errors of Open, and of reading what is damaged.
var (
	// ErrCorrupt matches every error that reports damaged files. errors.As with *CorruptError tells file and offset.
	ErrCorrupt = corrupt.ErrCorrupt
	// ErrVersion says that a newer release of ebb has written a file, and which version of the format it has. Nothing is wrong
	// with the file, and nothing was changed.
	ErrVersion = format.ErrNewer
	// ErrLocked says that another owner has the database open. errors.As with *LockedError tells its process, if known.
	// Options.ReadOnly opens the database all the same.
	ErrLocked = vfs.ErrLocked
	// ErrNotDatabase says that the directory holds something else.
	ErrNotDatabase = dir.ErrNotDatabase
	// ErrNotBeside refuses to swap databases that are not in one directory.
	ErrNotBeside = dir.ErrNotBeside
	// ErrTargetExists refuses to make a database where there is something already.
	ErrTargetExists = dir.ErrTargetExists
	// ErrSnapshotOrder refuses snapshot files that do not follow one another: the first has to be full, the others have to be
	// increments of the same database, and none may begin after the end of the one before.
	ErrSnapshotOrder = copies.ErrSnapshotOrder
)

// noSpace makes the error of a full disk match ErrNoSpace, and returns other errors as they are.
func noSpace(err error) error {
	if vfs.NoSpace(err) && !errors.Is(err, ErrNoSpace) && !errors.Is(err, ErrFailed) { // what failed for good has no second try
		return fmt.Errorf("%w: %w", ErrNoSpace, err)
	}
	return err
}

// closedLog translates the error of a log that was closed meanwhile to ErrClosed.
func closedLog(err error) error {
	if errors.Is(err, wal.ErrClosed) {
		return ErrClosed
	}
	return err
}

// CorruptError says which file is damaged and where. It matches ErrCorrupt.
type CorruptError = corrupt.Error

// LockedError says who has the database open. It matches ErrLocked.
type LockedError = vfs.LockedError

// ofKey adds the key that an error is about, which the caller has passed in.
func ofKey(err error, key []byte) error { return fmt.Errorf("%w, key %s", err, quoted(key)) }

// quoted returns a key that the caller has passed in as errors show it: escaped, and cut at 64 bytes.
func quoted(key []byte) string {
	const most = 64
	if len(key) <= most {
		return strconv.Quote(string(key))
	}
	return fmt.Sprintf("%q... (%d bytes)", key[:most], len(key))
}

// LoadPanicError says that a load function of GetOrLoad has panicked.
type LoadPanicError struct {
	Value any // of the panic
	Stack []byte
}

// Error returns a text with the value of the panic and the stack.
func (e *LoadPanicError) Error() string {
	return fmt.Sprintf("ebb: a load function has panicked: %v\n\n%s", e.Value, e.Stack)
}

// Unwrap returns the value of the panic if it is an error.
func (e *LoadPanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// loadPanic makes the error of a panic.
func loadPanic(value any, stack []byte) error { return &LoadPanicError{value, stack} }
