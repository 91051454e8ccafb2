package codec

import (
	"bytes"
	"fmt"
	"slices"
)

// Pair is a key of two parts. It is ordered by First, and by Second where First is the same. A pair of a pair makes
// three.
type Pair[A, B any] struct {
	First  A
	Second B
}

// MakePair returns a pair of two parts, whose types follow from them.
func MakePair[A, B any](first A, second B) Pair[A, B] { return Pair[A, B]{first, second} }

// PairOf encodes the first part and then the second. If the first has no fixed width, it is delimited: a byte 0 in it
// becomes 0x00 0xFF, and 0x00 0x00 ends it. That is below whatever a longer first part goes on with, so that "a" comes
// before "ab", and "ab" before "b", whatever the second parts are.
//
// For three parts, nest to the right, PairOf(a, PairOf(b, c)): the left of a pair is the one that is delimited.
func PairOf[A, B any](first Key[A], second Key[B]) PairKey[A, B] {
	return PairKey[A, B]{first, second}
}

const (
	escaped = 0xff // after a byte 0: it belongs to the part
	end     = 0x00 // after a byte 0: the part has ended
)

// PairKey is the codec of a Pair. Make one with PairOf.
type PairKey[A, B any] struct {
	first  Key[A]
	second Key[B]
}

// First returns what the encodings of all pairs with this first part begin with, and of no others.
func (k PairKey[A, B]) First(first A) Prefix {
	data, err := k.appendFirst(nil, first)
	return Prefix{data, err}
}

// Prefix is what the encodings of some keys begin with: see PairKey.First. The zero Prefix is that of all keys.
type Prefix struct {
	data []byte
	err  error
}

// Then returns what the encodings of those pairs begin with whose first part has p and whose second part has next: in a key
// of three parts those with the same first two.
func (p Prefix) Then(next Prefix) Prefix {
	if p.err != nil {
		return p
	}
	return Prefix{append(p.data[:len(p.data):len(p.data)], next.data...), next.err}
}

// Append appends the bytes to dst, or returns the error of the codec that could not encode a part.
func (p Prefix) Append(dst []byte) ([]byte, error) { return append(dst, p.data...), p.err }

// Append appends the encoding of a pair to dst.
func (k PairKey[A, B]) Append(dst []byte, v Pair[A, B]) ([]byte, error) {
	dst, err := k.appendFirst(dst, v.First)
	if err != nil {
		return dst, err
	}
	return k.second.Append(dst, v.Second)
}

func (k PairKey[A, B]) appendFirst(dst []byte, first A) ([]byte, error) {
	start := len(dst)
	dst, err := k.first.Append(dst, first)
	if err != nil || k.first.Width() != 0 {
		return dst, err
	}
	return delimit(dst, start), nil
}

// Decode returns the pair that src is the encoding of.
func (k PairKey[A, B]) Decode(src []byte) (Pair[A, B], error) {
	part, rest, err := k.split(src)
	if err != nil {
		return Pair[A, B]{}, err
	}
	var v Pair[A, B]
	if v.First, err = k.first.Decode(part); err != nil {
		return Pair[A, B]{}, fmt.Errorf("first of a pair: %w", err)
	}
	if v.Second, err = k.second.Decode(rest); err != nil {
		return Pair[A, B]{}, fmt.Errorf("second of a pair: %w", err)
	}
	return v, nil
}

// Width returns how many bytes every encoding has, or 0 if they differ.
func (k PairKey[A, B]) Width() int {
	a, b := k.first.Width(), k.second.Width()
	if a == 0 || b == 0 {
		return 0
	}
	return a + b
}

// split returns the encodings of the first and the second part.
func (k PairKey[A, B]) split(src []byte) (part, rest []byte, err error) {
	width := k.first.Width()
	if width == 0 {
		return undelimit(src)
	}
	if len(src) < width {
		return nil, nil, fmt.Errorf("%w: a pair of %d bytes, the first of which takes %d", ErrInvalid, len(src), width)
	}
	return src[:width], src[width:], nil
}

// delimit escapes dst[start:] in place and appends the end mark.
func delimit(dst []byte, start int) []byte {
	zeros := bytes.Count(dst[start:], []byte{0})
	from := len(dst)
	dst = slices.Grow(dst, zeros+2)[:from+zeros+2]
	to := len(dst) - 2
	dst[to], dst[to+1] = 0, end
	for ; to > from; from-- { // backwards, until all zeros are behind
		if to--; dst[from-1] == 0 {
			dst[to] = escaped
			to--
		}
		dst[to] = dst[from-1]
	}
	return dst
}

// undelimit is the inverse of delimit. It also returns the bytes behind the end mark.
func undelimit(src []byte) (part, rest []byte, err error) {
	rest = src
	for {
		i := bytes.IndexByte(rest, 0)
		if i < 0 || i+1 == len(rest) {
			return nil, nil, fmt.Errorf("%w: no end of the first of a pair", ErrInvalid)
		}
		head, mark := rest[:i], rest[i+1]
		rest = rest[i+2:]
		switch {
		case mark == end && part == nil:
			return head, rest, nil // there was nothing to undo
		case mark == end:
			return append(part, head...), rest, nil
		case mark == escaped:
			part = append(append(part, head...), 0)
		default:
			return nil, nil, fmt.Errorf("%w: byte %#x after a 0 in the first of a pair", ErrInvalid, mark)
		}
	}
}
