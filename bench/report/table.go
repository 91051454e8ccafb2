package report

import (
	"fmt"
	"math"

	"github.com/ebbdb/ebb/bench/measure"
)

// table is what is shown, in whichever form.
type table struct {
	Title string
	Note  string
	Head  []string
	Rows  [][]string
	Prose bool // cells are text, not figures
}

// tables returns all of them. Those with nothing in them are left out.
func (r *Report) tables() []table {
	all := []table{r.problemTable(), r.rateTable()}
	for _, phase := range r.phases() {
		all = append(all, r.phaseTable(phase))
	}
	all = append(all, r.openTable(), r.expiryTable(), r.ownTable(), r.storeTable())
	var out []table
	for _, t := range all {
		if len(t.Rows) > 0 {
			out = append(out, t)
		}
	}
	return out
}

func (r *Report) problemTable() table {
	t := table{Title: "Problems", Head: []string{"store", "where", "run", "count", "what"}, Prose: true}
	for _, p := range r.Problems() {
		t.Rows = append(t.Rows, []string{p.Store, p.Where, fmt.Sprint(p.Run), fmt.Sprint(p.Count), p.What})
	}
	return t
}

func (r *Report) rateTable() table {
	phases := r.phases()
	t := table{Title: "Operations per second", Head: append([]string{"store"}, phases...),
		Note: "Medians over runs. Operations of batch are writes of 100 records, those of queue and drain pushes and pops."}
	for _, s := range r.rivals() {
		row := []string{s.Name}
		for _, phase := range phases {
			cell := nothing
			if f := r.figures(s.Name, phase); f != nil {
				cell = metrics[rate].show(f[rate])
			}
			row = append(row, cell)
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

func (r *Report) phaseTable(phase string) table {
	t := table{Title: "Workload " + phase, Head: []string{"store"}}
	for _, m := range metrics {
		t.Head = append(t.Head, m.name)
	}
	for _, s := range r.rivals() {
		f := r.figures(s.Name, phase)
		if f == nil {
			continue
		}
		row := []string{s.Name}
		for i, m := range metrics {
			row = append(row, m.show(f[i]))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

func (r *Report) openTable() table {
	t := table{
		Title: "Closing, opening, and kill -9",
		Note: "Opening is in a fresh process, until the first read is answered. Lost are acknowledged writes, of all runs. The " +
			"amplification is of the core workloads as a whole, closing included.",
		Head: []string{"store", "close", "open", "open after kill -9", "acknowledged", "lost", "disk after close", "write amp"},
	}
	for _, s := range r.rivals() {
		core := func(of func(*measure.Run) float64) float64 {
			return r.medianOf(s.Name, func(run *measure.Run) float64 {
				if run.OpenTime == 0 {
					return math.NaN()
				}
				return of(run)
			})
		}
		var acknowledged, lost int64
		crashes := 0
		for _, run := range r.Runs {
			if run.Store == s.Name && run.Crash != nil {
				acknowledged, lost, crashes = acknowledged+run.Crash.Acknowledged, lost+run.Crash.Lost, crashes+1
			}
		}
		row := []string{
			s.Name,
			seconds(core(func(run *measure.Run) float64 { return run.CloseTime })),
			seconds(core(func(run *measure.Run) float64 { return run.OpenTime })),
			seconds(r.medianOf(s.Name, func(run *measure.Run) float64 {
				if run.Crash == nil {
					return math.NaN()
				}
				return run.Crash.OpenTime
			})),
			nothing, nothing,
			size(core(func(run *measure.Run) float64 { return float64(run.ClosedDisk) })),
			decimal(core(func(run *measure.Run) float64 { return ratio(run.Written, run.UserBytes) })),
		}
		if crashes > 0 {
			row[4], row[5] = count(float64(acknowledged)), count(float64(lost))
		}
		if crashes > 0 || row[2] != nothing {
			t.Rows = append(t.Rows, row)
		}
	}
	return t
}

func (r *Report) expiryTable() table {
	t := table{
		Title: "Disk after everything has expired",
		Note:  "After the workload ttl. CPU is from the last write until then.",
		Head:  []string{"store", "peak", "held", "of the peak", "after", "CPU s", "still visible"},
	}
	of := func(s string, f func(*measure.Expiry) float64) float64 {
		return r.medianOf(s, func(run *measure.Run) float64 {
			if run.Expiry == nil {
				return math.NaN()
			}
			return f(run.Expiry)
		})
	}
	for _, s := range r.rivals() {
		peak := of(s.Name, func(e *measure.Expiry) float64 { return float64(e.Peak) })
		if bad(peak) {
			continue
		}
		t.Rows = append(t.Rows, []string{
			s.Name,
			size(peak),
			size(of(s.Name, func(e *measure.Expiry) float64 { return float64(e.Held) })),
			decimal(of(s.Name, func(e *measure.Expiry) float64 { return ratio(100*e.Held, e.Peak) })) + " %",
			seconds(of(s.Name, func(e *measure.Expiry) float64 { return e.Linger })),
			decimal(of(s.Name, func(e *measure.Expiry) float64 { return e.CPU })),
			count(of(s.Name, func(e *measure.Expiry) float64 { return float64(e.Visible) })),
		})
	}
	return t
}

func (r *Report) storeTable() table {
	t := table{Title: "Stores", Head: []string{"store", "version", "settings", "deadlines"}, Prose: true}
	for _, s := range r.Stores {
		t.Rows = append(t.Rows, []string{s.Name, s.Version, s.Settings, s.TTL})
	}
	return t
}

// ownTable says what the benchmark itself costs.
func (r *Report) ownTable() table {
	t := table{
		Title: "The benchmark itself",
		Note: "The same workloads with a store that does nothing: choosing the operation, making key and value, looking at the clock " +
			"twice, checking the answer.",
		Head: []string{"workload", "time/op", "CPU/op", "peak RSS"},
	}
	for _, s := range r.Stores {
		for _, phase := range r.phases() {
			f := r.figures(s.Name, phase)
			if !s.Idle || f == nil {
				continue
			}
			t.Rows = append(t.Rows, []string{phase, nanoseconds(1e9 / f[rate]), nanoseconds(f[cpuPerOp]), size(f[peakRSS])})
		}
	}
	return t
}
