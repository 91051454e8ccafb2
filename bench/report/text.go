package report

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// WriteText writes the tables for a terminal.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%s\n", r.Command, r.machine())
	for _, t := range r.tables() {
		fmt.Fprintf(&b, "\n%s\n", t.Title)
		if t.Note != "" {
			fmt.Fprintf(&b, "%s\n", t.Note)
		}
		t.align(&b)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (t *table) align(b *strings.Builder) {
	flags, end := tabwriter.AlignRight, "\t\n"
	if t.Prose {
		flags, end = 0, "\n"
	}
	tw := tabwriter.NewWriter(b, 0, 0, 2, ' ', flags)
	for _, row := range append([][]string{t.Head}, t.Rows...) {
		fmt.Fprint(tw, strings.Join(row, "\t"), end)
	}
	_ = tw.Flush() // a Builder takes everything
}

// WriteMarkdown writes the tables as Markdown.
func (r *Report) WriteMarkdown(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# Benchmark\n\n```sh\n%s\n```\n\n%s\n", r.Command, r.machine())
	for _, t := range r.tables() {
		fmt.Fprintf(&b, "\n## %s\n\n", t.Title)
		if t.Note != "" {
			fmt.Fprintf(&b, "%s\n\n", t.Note)
		}
		rule := "|---" + strings.Repeat("|--:", len(t.Head)-1) + "|"
		if t.Prose {
			rule = strings.ReplaceAll(rule, ":", "-")
		}
		fmt.Fprintf(&b, "%s\n%s\n", line(t.Head), rule)
		for _, row := range t.Rows {
			fmt.Fprintln(&b, line(row))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

var escape = strings.NewReplacer("|", `\|`, "\n", " ", "<", "&lt;")

func line(cells []string) string {
	escaped := make([]string, len(cells))
	for i, c := range cells {
		escaped[i] = escape.Replace(c)
	}
	return "| " + strings.Join(escaped, " | ") + " |"
}

func (r *Report) machine() string {
	m := r.Machine
	s := fmt.Sprintf("%s, %s/%s, %d CPUs", m.Go, m.OS, m.Arch, m.CPUs)
	if m.Processor != "" {
		s += ", " + m.Processor
	}
	if m.Memory > 0 {
		s += fmt.Sprintf(", %.0f GiB", float64(m.Memory)/(1<<30))
	}
	return s + ", " + r.Date.Format("2006-01-02")
}
