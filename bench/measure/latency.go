package measure

import "github.com/HdrHistogram/hdrhistogram-go"

// Two digits: a figure is off by at most one in a hundred, and a histogram takes 30 KB.
const (
	maxLatency = 1000 * 1e9
	precision  = 2
)

// Histogram gathers latencies of one goroutine.
type Histogram struct{ h *hdrhistogram.Histogram }

// NewHistogram returns an empty one.
func NewHistogram() *Histogram { return &Histogram{hdrhistogram.New(1, maxLatency, precision)} }

// Record adds a latency in nanoseconds; one of more than a thousand seconds counts as that.
func (h *Histogram) Record(ns int64) {
	_ = h.h.RecordValue(min(max(ns, 1), maxLatency)) // which it cannot refuse
}

// Merge adds another's latencies.
func (h *Histogram) Merge(o *Histogram) { h.h.Merge(o.h) }

// Latency returns what is reported.
func (h *Histogram) Latency() Latency {
	return Latency{
		Count: h.h.TotalCount(),
		P50:   h.h.ValueAtQuantile(50),
		P99:   h.h.ValueAtQuantile(99),
		P999:  h.h.ValueAtQuantile(99.9),
		Max:   h.h.Max(),
		Mean:  h.h.Mean(),
	}
}
