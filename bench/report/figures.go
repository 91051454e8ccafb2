package report

import (
	"math"
	"slices"

	"github.com/ebbdb/ebb/bench/measure"
)

// metric is a figure of a phase. NaN is none.
type metric struct {
	name string
	of   func(p *measure.Phase) float64
	show func(float64) string
}

var metrics = []metric{
	{"ops/s", func(p *measure.Phase) float64 { return float64(p.Ops) / p.Seconds }, count},
	{"p50", latency(func(l measure.Latency) int64 { return l.P50 }), nanoseconds},
	{"p99", latency(func(l measure.Latency) int64 { return l.P99 }), nanoseconds},
	{"p99.9", latency(func(l measure.Latency) int64 { return l.P999 }), nanoseconds},
	{"max", latency(func(l measure.Latency) int64 { return l.Max }), nanoseconds},
	{"CPU s", func(p *measure.Phase) float64 { return p.CPU }, decimal},
	{"CPU/op", func(p *measure.Phase) float64 { return p.CPU * 1e9 / float64(p.Ops) }, nanoseconds},
	{"allocs/op", func(p *measure.Phase) float64 { return float64(p.Allocs) / float64(p.Ops) }, decimal},
	{"peak RSS", func(p *measure.Phase) float64 { return float64(p.PeakRSS) }, size},
	{"peak anon", func(p *measure.Phase) float64 { return known(p.PeakAnon) }, size},
	{"peak file", func(p *measure.Phase) float64 { return known(p.PeakFile) }, size},
	{"written", func(p *measure.Phase) float64 { return float64(p.Written) }, size},
	{"disk", func(p *measure.Phase) float64 { return float64(p.Disk) }, size},
	{"write amp", func(p *measure.Phase) float64 { return ratio(p.Written, p.UserBytes) }, decimal},
	{"space amp", func(p *measure.Phase) float64 { return ratio(p.Disk, p.LiveBytes) }, decimal},
}

// Places of metrics that are shown elsewhere as well.
const (
	rate     = 0
	p50      = 1 // and the other latencies after it
	cpuPerOp = 6
	peakRSS  = 8
)

func latency(of func(measure.Latency) int64) func(p *measure.Phase) float64 {
	return func(p *measure.Phase) float64 {
		if p.Ops == 0 {
			return math.NaN()
		}
		return float64(of(p.Latency[measure.All]))
	}
}

// known returns a figure that is 0 where a system does not tell it.
func known(n int64) float64 {
	if n == 0 {
		return math.NaN()
	}
	return float64(n)
}

func ratio(a, b int64) float64 {
	if b == 0 {
		return math.NaN()
	}
	return float64(a) / float64(b)
}

// figures returns the medians over a store's runs of every metric of a phase, or nil if the store did not run it.
func (r *Report) figures(storeName, phase string) []float64 {
	var of []*measure.Phase
	for _, run := range r.Runs {
		for i := range run.Phases {
			if p := &run.Phases[i]; run.Store == storeName && p.Name == phase {
				of = append(of, p)
			}
		}
	}
	if len(of) == 0 {
		return nil
	}
	out := make([]float64, len(metrics))
	for i, m := range metrics {
		values := make([]float64, len(of))
		for j, p := range of {
			values[j] = m.of(p)
		}
		out[i] = median(values)
	}
	return out
}

// median returns the middle of the values, or the mean of the two in the middle, and NaN of none.
func median(values []float64) float64 {
	values = slices.DeleteFunc(slices.Sorted(slices.Values(values)), math.IsNaN)
	n := len(values)
	if n == 0 {
		return math.NaN()
	}
	return (values[(n-1)/2] + values[n/2]) / 2
}

// medianOf returns the median over a store's runs of what of returns, NaN where that is nothing.
func (r *Report) medianOf(storeName string, of func(*measure.Run) float64) float64 {
	var values []float64
	for i := range r.Runs {
		if r.Runs[i].Store == storeName {
			values = append(values, of(&r.Runs[i]))
		}
	}
	return median(values)
}
