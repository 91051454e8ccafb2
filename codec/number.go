package codec

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
)

const signBit = 1 << 63

// Uint64 encodes an unsigned integer as 8 bytes, big-endian.
func Uint64() Key[uint64] { return uint64Key{} }

// Int64 encodes an integer as 8 bytes, big-endian, with the sign flipped so that negative ones come first.
func Int64() Key[int64] { return int64Key{} }

// Float64 encodes a number as 8 bytes in the order of cmp.Compare: every NaN is the same one and comes before -Inf,
// and -0 becomes 0. The bits are big-endian, with the sign flipped, or all of them if the number is negative.
func Float64() Key[float64] { return float64Key{} }

// Bool encodes false as a byte 0 and true as a byte 1.
func Bool() Key[bool] { return boolKey{} }

// Counter encodes an integer as decimal digits: a counter, as ebb's Add writes it. It is no key, as digits are not in the
// order of the numbers.
func Counter() Value[int64] { return counterValue{} }

type uint64Key struct{}

func (uint64Key) Append(dst []byte, v uint64) ([]byte, error) {
	return binary.BigEndian.AppendUint64(dst, v), nil
}

func (uint64Key) Decode(src []byte) (uint64, error) {
	if err := checkWidth("an integer", src, 8); err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint64(src), nil
}

func (uint64Key) Width() int { return 8 }

type int64Key struct{ uint64Key }

func (k int64Key) Append(dst []byte, v int64) ([]byte, error) {
	return k.uint64Key.Append(dst, uint64(v)^signBit)
}

func (k int64Key) Decode(src []byte) (int64, error) {
	u, err := k.uint64Key.Decode(src)
	if err != nil {
		return 0, err
	}
	return int64(u ^ signBit), nil
}

type float64Key struct{ uint64Key }

func (k float64Key) Append(dst []byte, v float64) ([]byte, error) {
	return k.uint64Key.Append(dst, orderedBits(v))
}

func (k float64Key) Decode(src []byte) (float64, error) {
	u, err := k.uint64Key.Decode(src)
	if err != nil {
		return 0, err
	}
	v := fromOrderedBits(u)
	if orderedBits(v) != u {
		return 0, fmt.Errorf("%w: a number as %x", ErrInvalid, src)
	}
	return v, nil
}

// orderedBits maps numbers to integers of the same order.
func orderedBits(v float64) uint64 {
	switch {
	case v != v:
		return 0 // below -Inf, which is 0x000fffffffffffff
	case v == 0:
		return signBit // -0 too
	}
	u := math.Float64bits(v)
	if u&signBit != 0 {
		return ^u
	}
	return u | signBit
}

// fromOrderedBits undoes orderedBits.
func fromOrderedBits(u uint64) float64 {
	switch {
	case u == 0:
		return math.NaN()
	case u&signBit != 0:
		return math.Float64frombits(u &^ signBit)
	}
	return math.Float64frombits(^u)
}

type boolKey struct{}

func (boolKey) Append(dst []byte, v bool) ([]byte, error) {
	if v {
		return append(dst, 1), nil
	}
	return append(dst, 0), nil
}

func (boolKey) Decode(src []byte) (bool, error) {
	if err := checkWidth("a bool", src, 1); err != nil {
		return false, err
	}
	if src[0] > 1 {
		return false, fmt.Errorf("%w: a bool of %d", ErrInvalid, src[0])
	}
	return src[0] == 1, nil
}

func (boolKey) Width() int { return 1 }

type counterValue struct{}

func (counterValue) Append(dst []byte, v int64) ([]byte, error) {
	return strconv.AppendInt(dst, v, 10), nil
}

func (counterValue) Decode(src []byte) (int64, error) {
	const longest = 20 // the digits of the least integer, and its sign
	if len(src) > longest {
		return 0, fmt.Errorf("%w: a counter of %d bytes", ErrInvalid, len(src))
	}
	v, err := strconv.ParseInt(string(src), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: a counter as %q", ErrInvalid, src)
	}
	return v, nil
}
