package worker

import (
	"fmt"
	"time"

	"github.com/ebbdb/ebb/bench/store"
	"github.com/ebbdb/ebb/bench/workload"
)

// Mode is what a process does.
type Mode string

// The modes. Crash writes until it is killed; Verify is told what Crash had acknowledged.
const (
	Phases Mode = "phases"
	Open   Mode = "open"
	Crash  Mode = "crash"
	Verify Mode = "verify"
)

// Config is what a process is told, as JSON.
type Config struct {
	Mode   Mode
	Store  string
	Group  string
	Run    int
	Phases []string
	Dir    string // the store's own

	Records   uint64
	ValueSize int
	Random    bool // values that cannot be compressed; otherwise half of each can
	LoadBatch int  // records in one write of a load
	Threads   int
	Commit    bool
	Duration  time.Duration // of a phase
	Ops       uint64        // of a phase, instead of Duration if not 0
	Seed      uint64

	TTLMin, TTLMax time.Duration
	Pace           uint64        // bytes of keys and values that are written in a second, where writes have a pace
	Linger         time.Duration // from the last deadline to the look at what the disk still holds

	Acked   []uint64 `json:",omitempty"` // Verify: writes acknowledged, by thread
	Profile string   `json:",omitempty"` // directory of profiles
}

// Names of groups that are not like the others.
const (
	CoreGroup  = "core"
	TTLGroup   = "ttl"
	LargeGroup = "large"
	CrashGroup = "crash"

	boundedPhase = "bounded"
)

// groups has the phases, each group's in the order in which it runs whatever the order it was asked for in. A group shares a process and a
// directory.
var groups = []Group{
	{CoreGroup, []string{"load", "e", "a", "e2", "b", "c", "f", "d", "batch"}},
	{TTLGroup, []string{"ttl"}},
	{"queue", []string{"queue", "drain"}},
	{LargeGroup, []string{"large-load", "large"}},
	{boundedPhase, []string{boundedPhase}},
	{CrashGroup, []string{"crash"}},
}

// Group is the phases that share a process and a directory, in order.
type Group struct {
	Name   string
	Phases []string
}

// Select returns the groups that the workloads ask for, without the phases that they do not. A load is added where something
// else needs it.
func Select(workloads []string) ([]Group, error) {
	wanted := map[string]bool{}
	for _, w := range workloads {
		wanted[w] = true
	}
	var selected []Group
	for _, g := range groups {
		var phases []string
		for _, p := range g.Phases {
			if wanted[p] {
				phases = append(phases, p)
			}
			delete(wanted, p)
		}
		if len(phases) == 0 {
			continue
		}
		if first := g.Phases[0]; (g.Name == CoreGroup || g.Name == LargeGroup) && phases[0] != first {
			phases = append([]string{first}, phases...)
		}
		selected = append(selected, Group{g.Name, phases})
	}
	for w := range wanted {
		return nil, fmt.Errorf("no workload %q", w)
	}
	return selected, nil
}

func (c *Config) options() store.Options {
	return store.Options{Dir: c.Dir, Commit: c.Commit, Threads: c.Threads}
}

// Check refuses what cannot be run.
func (c *Config) Check() error {
	switch {
	case c.Records == 0:
		return fmt.Errorf("no records")
	case c.Threads < 1 || c.Threads >= workload.MaxThreads:
		return fmt.Errorf("%d threads: 1 to %d", c.Threads, workload.MaxThreads-1)
	case c.Pace == 0:
		return fmt.Errorf("a pace of 0 bytes/s")
	case c.LoadBatch < 1 || c.LoadBatch*c.Threads > workload.Window/2:
		return fmt.Errorf("%d threads load in batches of %d: together at most %d", c.Threads, c.LoadBatch, workload.Window/2)
	case c.Ops == 0 && c.Duration <= 0:
		return fmt.Errorf("neither operations nor a duration")
	case c.TTLMin < time.Second || c.TTLMax < c.TTLMin:
		return fmt.Errorf("deadlines after %v to %v: at least a second, which is what some stores can tell", c.TTLMin, c.TTLMax)
	}
	_, err := workload.NewValues(c.ValueSize, c.Random, c.Seed)
	return err
}
