package codec

import (
	"errors"
	"fmt"
)

// ErrInvalid matches the errors of keys whose bytes the codec cannot have made.
var ErrInvalid = errors.New("codec: invalid encoding")

// Value encodes values of type T.
type Value[T any] interface {
	// Append appends the encoding of v to dst. After an error the memory behind dst's length is undefined.
	Append(dst []byte, v T) ([]byte, error)
	// Decode returns the value that src is the encoding of, all of it. It keeps nothing of src, which is used again, and
	// gets along with any bytes.
	Decode(src []byte) (T, error)
}

// Key encodes values of type T so that their encodings have their order, as bytes.Compare tells it.
type Key[T any] interface {
	Value[T]
	// Width returns how many bytes every encoding has, or 0 if they differ.
	Width() int
}

// checkWidth refuses an encoding that is not as wide as all of its kind.
func checkWidth(what string, src []byte, width int) error {
	if len(src) != width {
		return fmt.Errorf("%w: %s of %d bytes instead of %d", ErrInvalid, what, len(src), width)
	}
	return nil
}
