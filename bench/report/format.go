package report

import (
	"fmt"
	"math"

	"github.com/dustin/go-humanize"
)

const nothing = "-"

func count(n float64) string {
	if bad(n) {
		return nothing
	}
	return humanize.Comma(int64(math.Round(n)))
}

func decimal(n float64) string {
	if bad(n) {
		return nothing
	}
	return fmt.Sprintf("%.2f", n)
}

// size shows a number of bytes with three digits, in powers of a thousand.
func size(n float64) string {
	if bad(n) {
		return nothing
	}
	v, unit := humanize.ComputeSI(n)
	if unit == "" {
		return fmt.Sprintf("%.0f B", v)
	}
	return digits(v) + " " + unit + "B"
}

func nanoseconds(n float64) string {
	if bad(n) {
		return nothing
	}
	v, unit := humanize.ComputeSI(n * 1e-9)
	return digits(v) + " " + unit + "s"
}

func seconds(s float64) string { return nanoseconds(s * 1e9) }

// digits shows three of them, and all of an integer part.
func digits(v float64) string {
	switch {
	case v == 0:
		return "0"
	case v < 9.995:
		return fmt.Sprintf("%.2f", v)
	case v < 99.95:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

func bad(n float64) bool { return math.IsNaN(n) || math.IsInf(n, 0) }
