package table

import "errors"

// Errors of a Writer.
var (
	// ErrOrder means an entry whose key is not greater than the one before it.
	ErrOrder = errors.New("table: key not in ascending order")
	// ErrInvalid means an entry, a range delete or an option that no table can hold.
	ErrInvalid = errors.New("table: invalid")
	// ErrFull means that the table has reached the largest size that its format can address. Finish it and start another.
	ErrFull = errors.New("table: full")
	// ErrEmpty means Finish without an entry and without a range delete: there is nothing to make a file of.
	ErrEmpty = errors.New("table: empty")
	// ErrFinished means a use of the Writer after Finish or Abort.
	ErrFinished = errors.New("table: writer is finished")
)

// Errors of Open. A damaged file is a *corrupt.Error; they come wrapped in one.
var (
	// ErrForeign means that the table belongs to another database.
	ErrForeign = errors.New("table: of another database")
	// ErrMisplaced means that the table stands under the name of another, or a part of it in the place of another.
	ErrMisplaced = errors.New("table: not written at this place")
)

// Causes within a *corrupt.Error, where no lower package has named one.
var (
	errMalformed = errors.New("malformed")
	errLayout    = errors.New("parts do not fit together")
	errMagic     = errors.New("not a table, or cut short")
	errRecord    = errors.New("unexpected kind of record")
	errTruncated = errors.New("file ends early")
	errMismatch  = errors.New("does not match the entries")
)
