package report

import (
	_ "embed"
	"html/template"
	"io"
)

//go:embed echarts.common.min.js
var echarts string

//go:embed page.html
var pageSource string

var page = template.Must(template.New("page").Parse(pageSource))

// WriteHTML writes one page with charts and tables, complete in itself.
func (r *Report) WriteHTML(w io.Writer) error {
	var charts []snippet
	for _, c := range r.charts() {
		s := c.RenderSnippet()
		charts = append(charts, snippet{template.HTML(s.Element), template.HTML(s.Script)})
	}
	return page.Execute(w, struct {
		Report  *Report
		Machine string
		Tables  []table
		Charts  []snippet
		Script  template.JS
	}{r, r.machine(), r.tables(), charts, template.JS(echarts)})
}

type snippet struct{ Element, Script template.HTML }
