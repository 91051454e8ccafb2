package report

import (
	"bytes"
	"html/template"
	"image/color"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// A chart is a picture that the page holds itself. It has no size of its own: it is as wide as the page lets it be.
type chart struct {
	Class string
	SVG   template.HTML
}

// Classes of charts: all of the page, or half of it where that is wide enough.
const (
	wide   = "wide"
	narrow = "narrow"
)

// drawing collects charts until one of them cannot be drawn.
type drawing struct {
	charts []chart
	err    error
}

func (d *drawing) add(class string, f *figure) {
	if d.err != nil {
		return
	}
	var svg []byte
	if svg, d.err = f.svg(class); d.err == nil {
		d.charts = append(d.charts, chart{class, template.HTML(svg)})
	}
}

// figure is a plot with its legend beside it.
type figure struct {
	plot   *plot.Plot
	legend []legendEntry
	err    error
}

type legendEntry struct {
	name  string
	thumb plot.Thumbnailer
}

func newFigure(title string) *figure {
	f := &figure{plot: plot.New()}
	p := f.plot
	p.Title.Text, p.Title.Padding = title, vg.Points(8)
	for _, a := range []*plot.Axis{&p.X, &p.Y} {
		a.LineStyle.Color = color.Gray{0x88}
		a.Tick.LineStyle.Color = color.Gray{0x88}
	}
	grid := plotter.NewGrid()
	grid.Vertical.Width = 0
	grid.Horizontal.Color = color.Gray{0xdd}
	p.Add(grid)
	return f
}

func (f *figure) fail(err error) {
	if f.err == nil {
		f.err = err
	}
}

func (f *figure) add(name string, p plot.Plotter, thumb plot.Thumbnailer) {
	f.plot.Add(p)
	f.legend = append(f.legend, legendEntry{name, thumb})
}

// line adds a line through some points, if there are any.
func (f *figure) line(name string, c color.Color, points plotter.XYs) {
	if len(points) == 0 {
		return
	}
	l, err := plotter.NewLine(points)
	f.fail(err)
	if err == nil {
		l.Color, l.Width = c, vg.Points(1.5)
		f.add(name, l, l)
	}
}

// svg draws the figure: the plot, and right of it the legend, from the upper end of the axis on.
func (f *figure) svg(class string) ([]byte, error) {
	if f.err != nil {
		return nil, f.err
	}
	const height, legendWidth = 200, 70
	width := vg.Points(720)
	if class == narrow {
		width = vg.Points(355)
	}
	canvas := vgsvg.New(width, vg.Points(height))
	area := draw.New(canvas)
	legend := plot.NewLegend()
	legend.Top, legend.Left, legend.YOffs, legend.Padding = true, true, vg.Points(-25), vg.Points(3)
	for _, e := range f.legend {
		legend.Add(e.name, e.thumb)
	}
	f.plot.Draw(draw.Crop(area, 0, vg.Points(-legendWidth), 0, 0))
	legend.Draw(draw.Crop(area, width-vg.Points(legendWidth-6), 0, 0, 0))
	var b bytes.Buffer
	if _, err := canvas.WriteTo(&b); err != nil {
		return nil, err
	}
	return inline(b.Bytes()), nil
}

// inline makes an SVG document a part of a page: without a prolog, name spaces, a size and a font of its own.
func inline(svg []byte) []byte {
	_, svg, _ = bytes.Cut(svg, []byte("<svg"))
	if _, rest, ok := bytes.Cut(svg, []byte("viewBox=")); ok {
		if box, body, ok := bytes.Cut(rest, []byte("\n")); ok {
			if _, body, ok = bytes.Cut(body, []byte(">")); ok {
				svg = append(append(append([]byte(" viewBox="), box...), '>'), body...)
			}
		}
	}
	svg = append([]byte("<svg"), svg...)
	return bytes.ReplaceAll(svg, []byte("font-family:Liberation Serif;"), nil)
}

// ticks are those of a linear axis, named by show.
type ticks func(float64) string

// Ticks implements plot.Ticker.
func (show ticks) Ticks(low, high float64) []plot.Tick {
	return named(plot.DefaultTicks{}, low, high, show)
}

// logTicks are those of a logarithmic axis.
type logTicks func(float64) string

// Ticks implements plot.Ticker.
func (show logTicks) Ticks(low, high float64) []plot.Tick {
	return named(plot.LogTicks{Prec: -1}, low, high, show)
}

func named(t plot.Ticker, low, high float64, show func(float64) string) []plot.Tick {
	list := t.Ticks(low, high)
	for i := range list {
		if list[i].Label != "" {
			list[i].Label = show(list[i].Value)
		}
	}
	return list
}
