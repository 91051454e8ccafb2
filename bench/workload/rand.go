package workload

import (
	"math/bits"
	"math/rand/v2"
)

// Rand is a generator of random numbers, a few nanoseconds each.
type Rand struct{ pcg *rand.PCG }

// NewRand returns the generator of one thread of one phase: what it gives depends on nothing but the arguments.
func NewRand(seed uint64, phase string, thread int) *Rand {
	for _, c := range []byte(phase) {
		seed = FNV64(seed ^ uint64(c))
	}
	return &Rand{rand.NewPCG(seed, FNV64(uint64(thread)))}
}

// Uint64 returns 64 random bits.
func (r *Rand) Uint64() uint64 { return r.pcg.Uint64() }

// Below returns a number in [0, n), each as likely as the others but for n/2^64.
func (r *Rand) Below(n uint64) uint64 {
	hi, _ := bits.Mul64(r.pcg.Uint64(), n)
	return hi
}

// Float returns a number in [0, 1).
func (r *Rand) Float() float64 { return float64(r.pcg.Uint64()>>11) / (1 << 53) }

// FNV64 is the hash that scrambles YCSB's record numbers: FNV-1a over the eight bytes, the lowest first.
func FNV64(n uint64) uint64 {
	h := uint64(0xcbf29ce484222325)
	for range 8 {
		h = (h ^ n&0xff) * 0x100000001b3
		n >>= 8
	}
	return h
}
