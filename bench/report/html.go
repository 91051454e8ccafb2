package report

import (
	_ "embed"
	"html/template"
	"io"
)

//go:embed page.html
var pageSource string

var page = template.Must(template.New("page").Parse(pageSource))

// WriteHTML writes one page with charts and tables, complete in itself and without a script.
func (r *Report) WriteHTML(w io.Writer) error {
	charts, err := r.charts()
	if err != nil {
		return err
	}
	return page.Execute(w, struct {
		Report  *Report
		Machine string
		Tables  []table
		Charts  []chart
	}{r, r.machine(), r.tables(), charts})
}
