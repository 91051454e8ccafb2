package report

import (
	"fmt"
	"math"
	"slices"

	"github.com/go-echarts/go-echarts/v2/charts"
	"github.com/go-echarts/go-echarts/v2/opts"
	"github.com/go-echarts/go-echarts/v2/render"

	"github.com/ebbdb/ebb/bench/measure"
)

// palette has a colour for every store that can be told from the others, whichever of them a chart shows.
var palette = []string{
	"#1f5fd0", "#6cb33f", "#f5b942", "#e5534b", "#58b5d9", "#2f8f62", "#f0803c", "#8a55b0", "#d96bb8",
}

// charts returns throughput, memory, latencies of each workload, and the disk over time of each group.
func (r *Report) charts() []render.Renderer {
	phases := r.phases()
	best := map[string]float64{}
	for _, phase := range phases {
		for _, s := range r.rivals() {
			if f := r.figures(s.Name, phase); f != nil {
				best[phase] = max(best[phase], f[rate])
			}
		}
	}
	of := func(place int, scale float64) func(store, phase string) float64 {
		return func(store, phase string) float64 {
			if f := r.figures(store, phase); f != nil {
				return f[place] * scale
			}
			return math.NaN()
		}
	}
	out := []render.Renderer{
		r.bars("Operations per second", wide, "value", phases, of(rate, 1)),
		r.bars("Operations per second, % of the fastest", wide, "value", phases, func(store, phase string) float64 {
			return of(rate, 100/best[phase])(store, phase)
		}),
		r.bars("Peak memory, MB", wide, "value", phases, of(peakRSS, 1e-6)),
	}
	percentiles := []string{"p50", "p99", "p99.9", "max"}
	for _, phase := range phases {
		out = append(out, r.bars("Latency of "+phase+", ns", narrow, "log", percentiles, func(store, name string) float64 {
			return of(p50+slices.Index(percentiles, name), 1)(store, phase)
		}))
	}
	for _, group := range r.groups() {
		out = append(out, r.disk(group))
	}
	return out
}

// bars compares the stores in each of some categories.
func (r *Report) bars(title, width, axis string, categories []string, of func(store, category string) float64) render.Renderer {
	b := charts.NewBar()
	b.SetGlobalOptions(append(common(title, width), charts.WithYAxisOpts(opts.YAxis{Type: axis}))...)
	b.SetXAxis(categories)
	for i, s := range r.rivals() {
		var data []opts.BarData
		some := false
		for _, c := range categories {
			v := of(s.Name, c)
			d := opts.BarData{Value: "-"} // which is a gap
			if !bad(v) && v > 0 {
				d.Value, some = math.Round(v*100)/100, true
			}
			data = append(data, d)
		}
		if some {
			b.AddSeries(s.Name, data, colour(i))
		}
	}
	return b
}

func colour(i int) charts.SeriesOpts {
	return charts.WithItemStyleOpts(opts.ItemStyle{Color: palette[i%len(palette)]})
}

// disk shows what the stores hold on disk over the phases of a group, in the first run.
func (r *Report) disk(group string) render.Renderer {
	l := charts.NewLine()
	l.SetGlobalOptions(append(common("Disk over time, "+group+", MB", wide),
		charts.WithXAxisOpts(opts.XAxis{Type: "value", Name: "s"}),
		charts.WithYAxisOpts(opts.YAxis{Type: "value"}))...)
	symbols := charts.WithLineChartOpts(opts.LineChart{ShowSymbol: opts.Bool(false)})
	for i, s := range r.rivals() {
		for _, run := range r.Runs {
			if run.Store == s.Name && run.Group == group && run.Number == 0 {
				l.AddSeries(s.Name, points(run.Phases), symbols, colour(i))
			}
		}
	}
	return l
}

// points puts the samples of phases one after another.
func points(phases []measure.Phase) []opts.LineData {
	var data []opts.LineData
	start := 0.0
	for _, p := range phases {
		for _, s := range p.Samples {
			at := math.Round((start+s.At)*100) / 100
			data = append(data, opts.LineData{Name: p.Name, Value: []any{at, math.Round(float64(s.Disk)/1e4) / 100}})
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

// Widths of charts: all of the page, or half of it.
const (
	wide   = "1420px"
	narrow = "700px"
)

func common(title, width string) []charts.GlobalOpts {
	return []charts.GlobalOpts{
		charts.WithInitializationOpts(opts.Initialization{Width: width, Height: "380px", ChartID: id(title)}),
		charts.WithTitleOpts(opts.Title{Title: title}),
		charts.WithTooltipOpts(opts.Tooltip{Show: opts.Bool(true), Trigger: "axis"}),
		charts.WithLegendOpts(opts.Legend{Show: opts.Bool(true), Bottom: "0"}),
		charts.WithGridOpts(opts.Grid{ContainLabel: opts.Bool(true)}),
		charts.WithAnimation(false),
	}
}

// id makes a name that a script can use of a title.
func id(title string) string {
	s := "chart"
	for _, c := range title {
		s += fmt.Sprintf("_%x", c)
	}
	return s
}
