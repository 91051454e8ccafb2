package workload

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"

	"github.com/cespare/xxhash/v2"
)

// A value is
//
//	version 8 | deadline 8 | seal 8 | filler
//
// with numbers lowest byte first. The deadline is in Unix milliseconds, 0 for none; the seal is a hash of the key and of both,
// and says where in the pool the filler begins.
const (
	deadlineAt = 8
	sealAt     = 16
	fillerAt   = 24

	// MinValue is the shortest value, a header and a word of filler.
	MinValue = fillerAt + 8
	// MaxValue is the longest.
	MaxValue = 128 << 10

	poolSize = 256 << 10 // stays in the second-level cache, and is longer than what a store compresses at once
	stretch  = 32        // bytes of noise, and then of text, of a compressible pool
)

// Values makes and checks values of one size.
type Values struct {
	size int
	pool []byte
}

// NewValues returns the values of a size: random, or every other 32 bytes the same text.
func NewValues(size int, random bool, seed uint64) (*Values, error) {
	if size < MinValue || size > MaxValue {
		return nil, fmt.Errorf("values of %d bytes: they have %d to %d", size, MinValue, MaxValue)
	}
	v := &Values{size: size, pool: make([]byte, poolSize)}
	r := NewRand(seed, "pool", 0)
	for i := 0; i < poolSize; i += 8 {
		binary.LittleEndian.PutUint64(v.pool[i:], r.Uint64())
	}
	for i := stretch; i < poolSize && !random; i += 2 * stretch {
		copy(v.pool[i:], "every session ends, says the sea")
	}
	return v, nil
}

// Size returns the length of the values.
func (v *Values) Size() int { return v.size }

// Append appends the value of a key's version.
func (v *Values) Append(dst, key []byte, version uint64, deadline int64) []byte {
	seal := sealOf(key, version, deadline)
	dst = binary.LittleEndian.AppendUint64(dst, version)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(deadline))
	dst = binary.LittleEndian.AppendUint64(dst, seal)
	return append(dst, v.filler(seal)...)
}

// Check returns what a value says of itself, and whether it is one of the key's. Thorough looks at every byte of it, and not
// only at its header and the ends of its filler.
func (v *Values) Check(key, value []byte, thorough bool) (version uint64, deadline int64, ok bool) {
	if len(value) != v.size {
		return 0, 0, false
	}
	version = binary.LittleEndian.Uint64(value)
	deadline = int64(binary.LittleEndian.Uint64(value[deadlineAt:]))
	seal := sealOf(key, version, deadline)
	want, got := v.filler(seal), value[fillerAt:]
	ok = binary.LittleEndian.Uint64(value[sealAt:]) == seal &&
		[8]byte(got) == [8]byte(want) && [8]byte(got[len(got)-8:]) == [8]byte(want[len(want)-8:])
	return version, deadline, ok && (!thorough || bytes.Equal(got, want))
}

func (v *Values) filler(seal uint64) []byte {
	n := v.size - fillerAt
	at, _ := bits.Mul64(seal, uint64(poolSize-n))
	return v.pool[at : at+uint64(n)]
}

func sealOf(key []byte, version uint64, deadline int64) uint64 {
	h := xxhash.Sum64(key) ^ version*0x9e3779b97f4a7c15 ^ uint64(deadline)*0xc2b2ae3d27d4eb4f
	h = (h ^ h>>32) * 0xd6e8feb86659fd93
	return h ^ h>>32
}
