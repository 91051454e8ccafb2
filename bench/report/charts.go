package report

import (
	"image/color"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

	"github.com/ebbdb/ebb/bench/measure"
)

// palette has a colour for every store that can be told from the others, whichever of them a chart shows.
var palette = []color.Color{
	rgb(0x1f5fd0), rgb(0x6cb33f), rgb(0xf5b942), rgb(0xe5534b), rgb(0x58b5d9), rgb(0x2f8f62), rgb(0xf0803c), rgb(0x8a55b0),
	rgb(0xd96bb8),
}

func rgb(c uint32) color.Color { return color.RGBA{uint8(c >> 16), uint8(c >> 8), uint8(c), 0xff} }

// percentiles of the latency charts, in the order of the metrics from p50 on.
var percentiles = []string{"p50", "p99", "p99.9", "max"}

// charts returns throughput, memory, latencies of each workload, and the disk over time of each group.
func (r *Report) charts() ([]chart, error) {
	phases := r.phases()
	of := func(place int, scale float64) func(store, phase string) float64 {
		return func(store, phase string) float64 {
			if f := r.figures(store, phase); f != nil {
				return f[place] * scale
			}
			return math.NaN()
		}
	}
	var d drawing
	d.add(wide, r.bars("Operations per second", phases, of(rate, 1)))
	d.add(wide, r.bars("Operations per second, % of the fastest that keeps data on disk", phases, func(store, phase string) float64 {
		return of(rate, 100/r.fastest(phase))(store, phase)
	}))
	d.add(wide, r.bars("Peak memory, MB", phases, of(peakRSS, 1e-6)))
	for _, phase := range phases {
		d.add(narrow, r.latencies("Latency of "+phase, func(store, name string) float64 {
			return of(p50+slices.Index(percentiles, name), 1)(store, phase)
		}))
	}
	for _, group := range r.groups() {
		d.add(wide, r.disk(group))
	}
	return d.charts, d.err
}

// fastest returns the operations per second of the fastest store that keeps data on disk and can read it: neither a raw
// loop nor a map in memory is what a database is measured by.
func (r *Report) fastest(phase string) float64 {
	best := 0.0
	for _, s := range r.rivals() {
		if f := r.figures(s.Name, phase); f != nil && !s.Baseline {
			best = max(best, f[rate])
		}
	}
	return best
}

// bars compares the stores in each of some categories.
func (r *Report) bars(title string, categories []string, of func(store, category string) float64) *figure {
	f := newFigure(title)
	if len(categories) > 0 { // otherwise nothing has run
		f.plot.NominalX(categories...)
	}
	f.plot.Y.Min = 0
	f.plot.Y.Tick.Marker = ticks(count)
	stores := r.rivals()
	width := vg.Points(620 / float64(max(1, len(categories))) * .8 / float64(max(1, len(stores))))
	for i, s := range stores {
		values := make(plotter.Values, len(categories))
		some := false
		for j, c := range categories {
			if v := of(s.Name, c); !bad(v) && v > 0 {
				values[j], some = v, true
			}
		}
		if !some {
			continue
		}
		b, err := plotter.NewBarChart(values, width)
		f.fail(err)
		if err == nil {
			b.LineStyle.Width, b.Color = 0, colour(i)
			b.Offset = width * vg.Length(float64(i)-float64(len(stores)-1)/2)
			f.add(s.Name, b, b)
		}
	}
	return f
}

// latencies shows a line over the percentiles for each store, on a logarithmic axis with units of time.
func (r *Report) latencies(title string, of func(store, percentile string) float64) *figure {
	f := newFigure(title)
	f.plot.NominalX(percentiles...)
	f.plot.Y.Scale, f.plot.Y.Tick.Marker = plot.LogScale{}, logTicks(nanoseconds)
	for i, s := range r.rivals() {
		var points plotter.XYs
		for j, p := range percentiles {
			if v := of(s.Name, p); !bad(v) && v > 0 {
				points = append(points, plotter.XY{X: float64(j), Y: v})
			}
		}
		f.line(s.Name, colour(i), points)
	}
	switch y := &f.plot.Y; { // a logarithm has no empty range, nor one that begins at 0
	case len(f.legend) == 0:
		y.Min, y.Max = 1, 10
	case y.Min == y.Max:
		y.Min, y.Max = y.Min/2, y.Max*2
	}
	return f
}

func colour(i int) color.Color { return palette[i%len(palette)] }

// disk shows what the stores hold on disk over the phases of a group, in the first run.
func (r *Report) disk(group string) *figure {
	f := newFigure("Disk over time, " + group + ", MB")
	f.plot.X.Label.Text, f.plot.Y.Min = "seconds", 0
	f.plot.Y.Tick.Marker = ticks(count)
	for i, s := range r.rivals() {
		for _, run := range r.Runs {
			if run.Store == s.Name && run.Group == group && run.Number == 0 {
				f.line(s.Name, colour(i), points(run.Phases))
			}
		}
	}
	return f
}

// points puts the samples of phases one after another.
func points(phases []measure.Phase) plotter.XYs {
	var data plotter.XYs
	start := 0.0
	for _, p := range phases {
		for _, s := range p.Samples {
			data = append(data, plotter.XY{X: start + s.At, Y: float64(s.Disk) / 1e6})
		}
		if n := len(p.Samples); n > 0 {
			start += p.Samples[n-1].At
		}
	}
	return data
}

// groups returns the groups that have samples of a disk, in the order in which they ran.
func (r *Report) groups() []string {
	var names []string
	for _, run := range r.Runs {
		if len(run.Phases) > 0 && !slices.Contains(names, run.Group) {
			names = append(names, run.Group)
		}
	}
	return names
}
