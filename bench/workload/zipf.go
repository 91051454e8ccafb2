package workload

import (
	"math"
	"math/bits"
)

// Theta is the skew of YCSB's zipfian distributions.
const Theta = 0.99

// The items that YCSB draws from before it scrambles, and their zeta, which would take minutes to add up.
const (
	scrambledItems = 10_000_000_000
	scrambledZeta  = 26.46902820178302
)

// Zipfian draws numbers from 0 up, small ones most often: the i-th with a probability proportional to 1/(i+1)^Theta. It is
// the algorithm of Gray et al., "Quickly Generating Billion-Record Synthetic Databases", 1994, as YCSB has it.
type Zipfian struct {
	n, zeta, eta, second float64
}

// NewZipfian returns a Zipfian over n numbers. It takes time proportional to n.
func NewZipfian(n uint64) *Zipfian { return newZipfian(float64(n), zeta(n)) }

func newZipfian(n, zetaN float64) *Zipfian {
	return &Zipfian{
		n:      n,
		zeta:   zetaN,
		eta:    (1 - math.Pow(2/n, 1-Theta)) / (1 - zeta(2)/zetaN),
		second: 1 + math.Pow(0.5, Theta),
	}
}

func zeta(n uint64) float64 {
	sum := 0.0
	for i := uint64(1); i <= n; i++ {
		sum += math.Pow(float64(i), -Theta)
	}
	return sum
}

// Next draws a number.
func (z *Zipfian) Next(r *Rand) uint64 {
	u := r.Float()
	switch uz := u * z.zeta; {
	case uz < 1:
		return 0
	case uz < z.second:
		return 1
	}
	return uint64(z.n * power100(z.eta*u-z.eta+1))
}

// power100 raises to the power of 1/(1-Theta), at a tenth of the cost of math.Pow.
func power100(x float64) float64 {
	x4 := x * x * x * x
	x32 := x4 * x4 * x4 * x4 * x4 * x4 * x4 * x4
	return x32 * x32 * x32 * x4
}

// Scrambled draws record numbers with the same skew, but with the popular ones all over the key space.
type Scrambled struct{ z *Zipfian }

// NewScrambled returns YCSB's scrambled zipfian distribution.
func NewScrambled() Scrambled { return Scrambled{newZipfian(scrambledItems, scrambledZeta)} }

// Next draws a number in [0, n). YCSB takes the remainder of the hash; its upper bits do as well, and a division takes longer
// than all the rest.
func (s Scrambled) Next(r *Rand, n uint64) uint64 {
	hi, _ := bits.Mul64(FNV64(s.z.Next(r)), n)
	return hi
}
