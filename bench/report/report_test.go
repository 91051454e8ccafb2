package report

import (
	"bytes"
	"encoding/json"
	"io"
	"math"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/ebbdb/ebb/bench/measure"
	"github.com/ebbdb/ebb/bench/store"
)

func phase(name string, ops int64, p50 int64) measure.Phase {
	return measure.Phase{
		Name: name, Ops: ops, Seconds: 2, CPU: 1, PeakRSS: 50e6, Allocs: 2 * ops, Written: 3000, UserBytes: 1000,
		LiveBytes: 2000, Disk: 5000,
		Latency: map[string]measure.Latency{measure.All: {Count: ops, P50: p50, P99: 5000, P999: 6e6, Max: 7e9}},
		Samples: []measure.Sample{{At: 0, Disk: 0}, {At: 2, Disk: 5000, RSS: 1}},
	}
}

// sample is three runs of one store, one of another, and one of the store that does nothing.
func sample(t *testing.T) *Report {
	t.Helper()
	var infos []store.Info
	for _, name := range []string{"ebb", "pebble", "none"} {
		info, err := store.Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		infos = append(infos, info)
	}
	r := New("go run . -short", infos)
	for n, ops := range []int64{100, 900, 300} {
		r.Runs = append(r.Runs, measure.Run{
			Store: "ebb", Group: "core", Number: n, Phases: []measure.Phase{phase("load", ops, 1200), phase("a", 2*ops, 345)},
			OpenTime: 0.004, CloseTime: 0.1, Written: 6000, UserBytes: 4000, ClosedDisk: 7e6,
		})
	}
	aside := phase("ttl-warm", 1, 1)
	aside.Aside = true
	r.Runs = append(r.Runs,
		measure.Run{Store: "ebb", Group: "ttl", Phases: []measure.Phase{aside, phase("ttl", 8, 1)},
			Expiry: &measure.Expiry{Linger: 10, Peak: 1000, Held: 25, CPU: .5}},
		measure.Run{Store: "pebble", Group: "core", Phases: []measure.Phase{phase("load", 2_000_000, 7)}},
		measure.Run{Store: "pebble", Group: "crash", Crash: &measure.Crash{Acknowledged: 1234567, Lost: 3, OpenTime: .5}},
		measure.Run{Store: "none", Group: "core", Phases: []measure.Phase{phase("load", 40_000_000, 7)}})
	return r
}

func TestMedian(t *testing.T) {
	nan := math.NaN()
	for _, c := range []struct {
		of   []float64
		want float64
	}{{[]float64{3}, 3}, {[]float64{9, 1, 2}, 2}, {[]float64{4, 1, 2, 3}, 2.5}, {[]float64{nan, 5, nan}, 5}} {
		if got := median(c.of); got != c.want {
			t.Errorf("of %v: %v", c.of, got)
		}
	}
	if !math.IsNaN(median(nil)) {
		t.Error("nothing has a median")
	}
}

func TestFormats(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{count(1234567.4), "1,234,567"}, {count(math.NaN()), "-"}, {decimal(1.005), "1.00"}, {decimal(math.Inf(1)), "-"},
		{size(0), "0 B"}, {size(999), "999 B"}, {size(1234567), "1.23 MB"}, {size(64e9), "64.0 GB"},
		{nanoseconds(28), "28.0 ns"}, {nanoseconds(345), "345 ns"}, {nanoseconds(1200), "1.20 µs"}, {nanoseconds(7e9), "7.00 s"},
		{seconds(0.004), "4.00 ms"}, {seconds(28), "28.0 s"},
	} {
		if got := strings.ReplaceAll(c.got, "μ", "µ"); got != c.want {
			t.Errorf("%s, not %s", got, c.want)
		}
	}
}

// squeeze makes one blank of many, so that a test can look for rows.
func squeeze(s string) string { return regexp.MustCompile(`[ |\n]+`).ReplaceAllString(s, " ") }

func TestTables(t *testing.T) {
	r := sample(t)
	for name, write := range map[string]func(*bytes.Buffer) error{
		"text":     func(b *bytes.Buffer) error { return r.WriteText(b) },
		"Markdown": func(b *bytes.Buffer) error { return r.WriteMarkdown(b) },
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			if err := write(&b); err != nil {
				t.Fatal(err)
			}
			text := squeeze(b.String())
			for _, want := range []string{
				"go run . -short",
				" store load a ttl ",     // no warming up
				" ebb 150 300 4 ",        // medians
				" pebble 1,000,000 - - ", // and gaps
				" ebb 150 1.20 ",         // latency
				" 3.00 2.50 ",            // amplification
				" ebb 100 ms 4.00 ms - - - 7.00 MB 1.50 ",
				" pebble - - 500 ms 1,234,567 3 - - ",
				" ebb 1.00 kB 25 B 2.50 % 10.0 s 0.50 0 ",
				" load 50.0 ns 25.0 ns 50.0 MB ", // the benchmark itself
			} {
				if !strings.Contains(text, want) {
					t.Errorf("%q is not in\n%s", want, b.String())
				}
			}
			if strings.Contains(text, "none 20,000,000") {
				t.Error("the store that does nothing is compared with others")
			}
		})
	}
}

func TestMarkdownEscapes(t *testing.T) {
	if got := line([]string{"a|b\nc", "<d>"}); got != `| a\|b c | &lt;d> |` {
		t.Error(got)
	}
}

func TestProblems(t *testing.T) {
	r := sample(t)
	if p := r.Problems(); len(p) > 0 {
		t.Errorf("%v: nothing was promised", p)
	}
	r.Runs[0].Phases[1].Wrong, r.Runs[0].Phases[1].FirstWrong = 7, "k has another's value"
	r.Runs[1].Error = "killed"
	r.Runs[5].Crash.Promised = true
	var b bytes.Buffer
	if err := r.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	text := squeeze(b.String())
	for _, want := range []string{
		"ebb a 0 7 wrong answers; the first: k has another's value", "ebb core 1 1 failure: killed",
		"pebble kill -9 0 3 acknowledged writes lost",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, b.String())
		}
	}
}

func TestJSON(t *testing.T) {
	r := sample(t)
	var b bytes.Buffer
	if err := r.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	var again Report
	if err := json.Unmarshal(b.Bytes(), &again); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(&again, r) {
		t.Errorf("%+v\n%+v", again, r)
	}
}

// TestHTML looks for everything on the page, and for nothing that it would have to fetch.
func TestHTML(t *testing.T) {
	r := sample(t)
	r.Runs[0].Error = "<script>alert(1)</script>"
	var b bytes.Buffer
	if err := r.WriteHTML(&b); err != nil {
		t.Fatal(err)
	}
	html := b.String()
	for _, outside := range []string{"src=", "href=", "http:", "https:", "<script"} {
		if strings.Contains(html, outside) {
			t.Errorf("there is %s", outside)
		}
	}
	for _, want := range []string{
		"Operations per second", "Peak memory", "Latency of a", "Disk over time, core", "Disk over time, ttl", "<td>1,000,000</td>",
	} {
		if !strings.Contains(html, want) {
			t.Errorf("%q is not on the page", want)
		}
	}
	if got, want := strings.Count(html, "<svg viewBox="), 3+3+2; got != want {
		t.Errorf("%d charts, not %d", got, want)
	}
}

// TestHTMLOfLittle makes pages of nothing, and of latencies that are all the same.
func TestHTMLOfLittle(t *testing.T) {
	full := sample(t)
	same := phase("load", 1, 1)
	same.Latency[measure.All] = measure.Latency{Count: 1, P50: 1, P99: 1, P999: 1, Max: 1}
	for _, runs := range [][]measure.Run{
		nil, {{Store: "ebb", Group: "core", Error: "it has failed"}}, {{Store: "ebb", Group: "core", Phases: []measure.Phase{same}}},
	} {
		full.Runs = runs
		if err := full.WriteHTML(io.Discard); err != nil {
			t.Errorf("%+v: %v", runs, err)
		}
	}
}

func TestPhasesKeepTheirOrder(t *testing.T) {
	r := &Report{Runs: []measure.Run{
		{Phases: []measure.Phase{{Name: "load"}}},
		{Phases: []measure.Phase{{Name: "load"}, {Name: "e"}, {Name: "a"}}},
		{Phases: []measure.Phase{{Name: "load"}, {Name: "a"}}},
		{Phases: []measure.Phase{{Name: "warm", Aside: true}, {Name: "ttl"}}},
	}}
	if got := strings.Join(r.phases(), " "); got != "load e a ttl" {
		t.Error(got)
	}
}
