package workload

import (
	"math"
	"testing"
)

// TestZipfian holds what is drawn against the probabilities that it should have.
func TestZipfian(t *testing.T) {
	const n, draws = 1000, 2_000_000
	z, r := NewZipfian(n), NewRand(1, "zipf", 0)
	counts := make([]float64, n)
	for range draws {
		counts[z.Next(r)]++
	}
	total := zeta(n)
	share := func(from, to int) (got, want float64) {
		for i := from; i < to; i++ {
			got += counts[i] / draws
			want += math.Pow(float64(i+1), -Theta) / total
		}
		return got, want
	}
	// The method is exact for the first two and an approximation for the rest.
	for _, c := range []struct {
		from, to int
		within   float64
	}{{0, 1, .01}, {1, 2, .01}, {2, 10, .1}, {10, 100, .05}, {100, 1000, .05}} {
		if got, want := share(c.from, c.to); math.Abs(got/want-1) > c.within {
			t.Errorf("ranks %d to %d: a share of %.4f, not %.4f", c.from, c.to, got, want)
		}
	}
}

func TestPower100(t *testing.T) {
	for x := 0.0; x <= 1; x += 1.0 / 1024 {
		if got, want := power100(x), math.Pow(x, 1/(1-Theta)); math.Abs(got-want) > 1e-11 {
			t.Errorf("%v to the 100th is %v, not %v", x, got, want)
		}
	}
}

// TestScrambled looks for the popular records: there are as many as in the zipfian distribution, and they are apart.
func TestScrambled(t *testing.T) {
	const n, draws = 100_000, 1_000_000
	s, r := NewScrambled(), NewRand(1, "scrambled", 0)
	counts := make([]int, n)
	for range draws {
		counts[s.Next(r, n)]++
	}
	first, second := 0, 0
	for i := range counts {
		switch {
		case counts[i] > counts[first]:
			first, second = i, first
		case i != first && counts[i] > counts[second]:
			second = i
		}
	}
	if got, want := float64(counts[first])/draws, 1/scrambledZeta; math.Abs(got/want-1) > .03 {
		t.Errorf("the most popular has a share of %.4f, not %.4f", got, want)
	}
	if d := first - second; d*d <= 100 {
		t.Errorf("records %d and %d are the most popular", first, second)
	}
}

func TestRandIsOfItsArguments(t *testing.T) {
	draw := func(seed uint64, phase string, thread int) [4]uint64 {
		r := NewRand(seed, phase, thread)
		return [4]uint64{r.Uint64(), r.Below(1000), NewScrambled().Next(r, 1000), r.Uint64()}
	}
	first := draw(1, "a", 0)
	if draw(1, "a", 0) != first {
		t.Error("the same arguments give something else")
	}
	for _, other := range [][4]uint64{draw(2, "a", 0), draw(1, "b", 0), draw(1, "a", 1)} {
		if other == first {
			t.Error("other arguments give the same")
		}
	}
}

func TestBelow(t *testing.T) {
	r := NewRand(1, "below", 0)
	var counts [7]int
	for range 70_000 {
		counts[r.Below(7)]++
	}
	for i, n := range counts {
		if n < 9_500 || n > 10_500 {
			t.Errorf("%d came %d times of 70,000", i, n)
		}
	}
}

func TestMixes(t *testing.T) {
	for name, m := range Core {
		if sum := m.Read + m.Update + m.Insert + m.Scan + m.Modify; sum != 100 {
			t.Errorf("%s has %d per cent", name, sum)
		}
		c, r := m.Chooser(), NewRand(1, name, 0)
		var counts [Kinds]int
		for range 100_000 {
			counts[c.Next(r)]++
		}
		for kind, percent := range map[Kind]int{Read: m.Read, Update: m.Update, Insert: m.Insert, Scan: m.Scan, Modify: m.Modify} {
			if d := counts[kind] - 1000*percent; d < -700 || d > 700 || percent == 0 && d > 0 {
				t.Errorf("%s has %d of %v in 100,000", name, counts[kind], kind)
			}
		}
	}
}
