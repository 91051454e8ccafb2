package report

import (
	"encoding/json"
	"io"
	"runtime"
	"runtime/debug"
	"slices"
	"time"

	"github.com/ebbdb/ebb/bench/measure"
	"github.com/ebbdb/ebb/bench/store"
)

// Report is everything that is known of a benchmark.
type Report struct {
	Command string // that does it again
	Date    time.Time
	Machine Machine
	Stores  []Store
	Runs    []measure.Run
}

// Machine is what it ran on.
type Machine struct {
	Go, OS, Arch string
	CPUs         int
	Processor    string
	Memory       int64 // bytes
}

// Store is a store that took part.
type Store struct {
	Name, Version, Settings, TTL string
	Idle                         bool // it does nothing: what it measures is the benchmark
	Baseline                     bool // it is no database: it keeps nothing, or cannot read it
}

// New returns a report without runs.
func New(command string, stores []store.Info) *Report {
	r := &Report{
		Command: command,
		Date:    time.Now().UTC().Truncate(time.Second),
		Machine: Machine{
			Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH, CPUs: runtime.NumCPU(),
			Processor: measure.Processor(), Memory: measure.Memory(),
		},
	}
	versions := map[string]string{}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			versions[m.Path] = m.Version
			if m.Replace != nil {
				versions[m.Path] = "of this tree"
			}
		}
	}
	for _, s := range stores {
		r.Stores = append(r.Stores, Store{s.Name, versions[s.Module], s.Settings, s.TTL, s.Idle(), s.WriteOnly || s.Volatile})
	}
	return r
}

// rivals returns the stores that are compared.
func (r *Report) rivals() []Store {
	return slices.DeleteFunc(slices.Clone(r.Stores), func(s Store) bool { return s.Idle })
}

// Problems returns what a benchmark must not have: wrong answers, acknowledged writes lost that were promised to stay, and runs that failed.
func (r *Report) Problems() []Problem {
	var found []Problem
	for _, run := range r.Runs {
		for _, p := range run.Phases {
			if p.Wrong > 0 {
				found = append(found, Problem{run.Store, p.Name, run.Number, p.Wrong, "wrong answers; the first: " + p.FirstWrong})
			}
		}
		if c := run.Crash; c != nil && c.Lost > 0 && c.Promised {
			found = append(found, Problem{run.Store, "kill -9", run.Number, c.Lost, "acknowledged writes lost"})
		}
		if run.Error != "" {
			found = append(found, Problem{run.Store, run.Group, run.Number, 1, "failure: " + run.Error})
		}
	}
	return found
}

// Problem is something that went wrong in a run.
type Problem struct {
	Store, Where string
	Run          int
	Count        int64
	What         string
}

// WriteJSON writes all of it.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "\t")
	return e.Encode(r)
}

// phases returns the names of the workloads that ran, in their order.
func (r *Report) phases() []string {
	var names []string
	for _, run := range r.Runs {
		at := len(names)
		for _, p := range slices.Backward(run.Phases) {
			if i := slices.Index(names, p.Name); i >= 0 {
				at = i
			} else if !p.Aside {
				names = slices.Insert(names, at, p.Name)
			}
		}
	}
	return names
}
