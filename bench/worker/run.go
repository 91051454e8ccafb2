package worker

import (
	"errors"
	"fmt"
	"time"

	"github.com/ebbdb/ebb/bench/measure"
	"github.com/ebbdb/ebb/bench/profile"
	"github.com/ebbdb/ebb/bench/store"
	"github.com/ebbdb/ebb/bench/workload"
)

// runner runs the phases of one group on one store.
type runner struct {
	config  Config
	info    store.Info
	values  *workload.Values
	store   store.Store
	records *records
	judge   judge
	run     measure.Run
}

// Run runs the phases of a group. What it measured up to an error is in the result, which has the error as well.
func Run(c Config) measure.Run {
	r := &runner{config: c, run: measure.Run{Store: c.Store, Group: c.Group, Number: c.Run}}
	start := time.Now()
	if err := r.all(); err != nil {
		r.run.Error = err.Error()
	}
	r.run.Seconds = time.Since(start).Seconds()
	return r.run
}

func (r *runner) all() (err error) {
	if r.info, err = store.Lookup(r.config.Store); err != nil {
		return err
	}
	r.judge.deaf = !r.info.Answers
	if r.values, err = workload.NewValues(r.config.ValueSize, r.config.Random, r.config.Seed); err != nil {
		return err
	}
	if r.config.Group == TTLGroup {
		return r.ttl()
	}
	if r.store, err = r.info.Open(r.config.options()); err != nil {
		return err
	}
	for _, name := range r.config.Phases {
		if err = r.named(name); err != nil {
			err = fmt.Errorf("%s: %w", name, err)
			break
		}
	}
	return errors.Join(err, r.close())
}

// close closes the store, and takes stock.
func (r *runner) close() error {
	start := time.Now()
	err := r.store.Close()
	r.run.CloseTime = time.Since(start).Seconds()
	r.run.Written = measure.Used().Written
	r.run.ClosedDisk = measure.Disk(r.config.Dir)
	for _, p := range r.run.Phases {
		r.run.UserBytes += p.UserBytes
	}
	return err
}

func (r *runner) named(name string) error {
	switch name {
	case "queue":
		return r.queue(name, 0)
	case boundedPhase:
		return r.bounded(name)
	case "drain":
		return r.queue(name, max(1, min(drainDepth, r.config.Records/uint64(r.config.Threads))))
	case "load", "large-load":
		r.records = &records{
			judge:    &r.judge,
			store:    r.store,
			versions: workload.NewVersions(r.config.Threads, r.config.Records),
			values:   r.values,
			batch:    r.config.LoadBatch,
			total:    r.config.Records,
		}
	}
	var latest *workload.Zipfian
	mix, core := workload.Core[name]
	if name == "large" {
		mix, core = workload.Core["a"], true
	}
	if mix.Keys == workload.ByLatest {
		latest = workload.NewZipfian(r.records.sequence.Limit())
	}
	clients := make([]client, r.config.Threads)
	for i := range clients {
		switch {
		case core:
			clients[i] = newCoreClient(r.records, mix, latest, r.config.Seed, name, i)
		case name == "batch":
			clients[i] = newBatchClient(r.records, r.config.Seed, name, i)
		default:
			clients[i] = newLoadClient(r.records, r.config.Seed, name, i)
		}
	}
	l := r.limits()
	if name == "load" || name == "large-load" {
		l = limits{} // it ends when all are there
	}
	return r.measured(name, clients, l, func() int64 {
		return int64(r.records.sequence.Limit()) * int64(workload.KeySize+r.values.Size())
	})
}

// queue runs one of the phases with a queue for each thread.
func (r *runner) queue(name string, drain uint64) error {
	clients := make([]client, r.config.Threads)
	for i := range clients {
		c, err := newQueueClient(&r.judge, r.store, r.values, r.config.Seed, i, drain)
		if err != nil {
			return err
		}
		clients[i] = c
	}
	return r.measured(name, clients, r.limits(), func() (n int64) {
		for _, c := range clients {
			q := c.(*queueClient)
			n += int64(q.tail-q.head) * int64(len(q.key)+r.values.Size())
		}
		return n
	})
}

func (r *runner) limits() limits {
	if r.config.Ops > 0 {
		return limits{ops: r.config.Ops}
	}
	return limits{duration: r.config.Duration}
}

// measured runs the clients as a phase, with all that is measured around it.
func (r *runner) measured(name string, clients []client, l limits, live func() int64) (err error) {
	if r.config.Profile != "" {
		label := fmt.Sprintf("%s-%s-%d", r.config.Store, name, r.config.Run)
		p, err := profile.Start(r.config.Profile, label)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, p.Stop()) }()
	}
	phase := measure.Phase{Name: name}
	measure.ResetPeak()
	before := measure.Used()
	sampler := measure.StartSampler(r.config.Dir, r.samplePeriod())
	err = drive(clients, l, &phase)
	phase.Samples = sampler.Stop()
	used := measure.Used().Since(before)
	phase.CPU, phase.Written, phase.Allocs, phase.AllocBytes = used.CPU, used.Written, used.Allocs, used.AllocBytes
	phase.PeakRSS = measure.PeakRSS()
	phase.PeakAnon, phase.PeakFile = sampler.Peaks()
	phase.Disk = phase.Samples[len(phase.Samples)-1].Disk
	phase.LiveBytes = live()
	phase.Wrong = r.judge.count.Swap(0)
	if first := r.judge.first.Swap(nil); first != nil {
		phase.FirstWrong = *first
	}
	r.run.Phases = append(r.run.Phases, phase)
	return err
}

// samplePeriod gives some forty looks at a phase.
func (r *runner) samplePeriod() time.Duration {
	return min(max(r.config.Duration/40, 100*time.Millisecond), time.Second)
}

// Opened opens the store that a run of the core workloads has left, and reads a record.
func Opened(c Config) measure.Run {
	run := measure.Run{Store: c.Store, Group: "open", Number: c.Run}
	if err := opened(c, &run); err != nil {
		run.Error = err.Error()
	}
	return run
}

func opened(c Config, run *measure.Run) error {
	info, err := store.Lookup(c.Store)
	if err != nil {
		return err
	}
	start := time.Now()
	s, err := info.Open(c.options())
	if err != nil {
		return err
	}
	if _, err = s.Get(workload.AppendKey(nil, 0), make([]byte, c.ValueSize)); err != nil {
		err = fmt.Errorf("the first record: %w", err)
	}
	run.OpenTime = time.Since(start).Seconds()
	return errors.Join(err, s.Close())
}
