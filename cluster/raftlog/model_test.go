package raftlog

import (
	"errors"
	"fmt"
	"math"
	"testing"

	"github.com/hashicorp/raft"
	"pgregory.net/rapid"

	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// Random histories against a slice and a map, over kills, clean ends and disks that are full for a while.
func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		h := &history{t: t, mem: vfstest.NewMem(), model: newModel()}
		h.fault = vfstest.NewFault(h.mem)
		h.store = open(t, h.fault)
		defer func() { h.store.Close() }() // whatever it says: a failing history ends anywhere
		rt.Repeat(map[string]func(*rapid.T){
			"StoreLogs":   h.storeLogs,
			"CutEnd":      h.cutEnd,
			"CutBegin":    h.cutBegin,
			"DeleteAll":   h.deleteAll,
			"Set":         h.set,
			"StageCommit": h.stage,
			"Reopen":      h.reopen,
			"Kill":        h.kill,
			"FullDisk":    h.fullDisk,
			"": func(rt *rapid.T) {
				if err := h.model.check(h.store); err != nil {
					rt.Fatal(err)
				}
			},
		})
	})
}

// history is one that a model and a store share.
type history struct {
	t      *testing.T
	mem    *vfstest.Mem
	fault  *vfstest.Fault
	store  *Store
	model  *model
	staged uint64
	term   uint64
}

// draw returns entries that continue the log.
func (h *history) draw(rt *rapid.T) []*raft.Log {
	_, last := h.model.bounds()
	if len(h.model.logs) == 0 {
		last = rapid.Uint64Range(0, 1000).Draw(rt, "before the first")
	}
	h.term += rapid.Uint64Range(0, 2).Draw(rt, "later term")
	size := rapid.SampledFrom([]int{0, 10, 100, 700}).Draw(rt, "size")
	return entries(last+1, rapid.IntRange(1, 12).Draw(rt, "entries"), h.term, size)
}

// stored takes entries that the store has into the model.
func (h *history) stored(logs []*raft.Log) {
	h.model.logs = append(h.model.logs, logs...)
	if _, last := h.model.bounds(); h.staged > h.model.commit {
		h.model.commit = min(h.staged, last)
	}
}

func (h *history) storeLogs(rt *rapid.T) {
	logs := h.draw(rt)
	if err := h.store.StoreLogs(logs); err != nil {
		rt.Fatal(err)
	}
	h.stored(logs)
}

func (h *history) fullDisk(rt *rapid.T) {
	h.fault.SetRoom(rapid.Int64Range(0, 1500).Draw(rt, "room"))
	defer h.fault.SetRoom(-1)
	for range rapid.IntRange(1, 4).Draw(rt, "tries") {
		logs := h.draw(rt)
		switch err := h.store.StoreLogs(logs); {
		case err == nil:
			h.stored(logs)
		case !errors.Is(err, ErrNoSpace):
			rt.Fatal(err)
		}
		if err := h.model.check(h.store); err != nil {
			rt.Fatalf("on a full disk: %v", err)
		}
	}
	if err := h.store.Set([]byte("full"), []byte("disk")); err == nil {
		h.model.stable["full"] = "disk"
	} else if !errors.Is(err, ErrNoSpace) {
		rt.Fatal(err)
	}
}

func (h *history) cutEnd(rt *rapid.T) {
	first, last := h.model.bounds()
	if last <= first {
		rt.Skip()
	}
	h.delete(rt, rapid.Uint64Range(first+1, last).Draw(rt, "from"), math.MaxUint64)
}

func (h *history) cutBegin(rt *rapid.T) {
	first, last := h.model.bounds()
	if last == 0 {
		rt.Skip()
	}
	h.delete(rt, rapid.Uint64Range(0, first).Draw(rt, "from"), rapid.Uint64Range(first, last).Draw(rt, "to"))
}

func (h *history) deleteAll(rt *rapid.T) { h.delete(rt, 0, math.MaxUint64) }

func (h *history) delete(rt *rapid.T, from, to uint64) {
	if err := h.store.DeleteRange(from, to); err != nil {
		rt.Fatal(err)
	}
	h.model.delete(from, to)
}

func (h *history) set(rt *rapid.T) {
	name := rapid.SampledFrom([]string{"", "CurrentTerm", "LastVoteCand"}).Draw(rt, "name")
	value := rapid.StringN(0, 20, 40).Draw(rt, "value")
	if err := h.store.Set([]byte(name), []byte(value)); err != nil {
		rt.Fatal(err)
	}
	h.model.stable[name] = value
}

func (h *history) stage(rt *rapid.T) {
	h.staged = rapid.Uint64Range(0, 1100).Draw(rt, "commit")
	if err := h.store.StageCommitIndex(h.staged); err != nil {
		rt.Fatal(err)
	}
}

func (h *history) reopen(rt *rapid.T) {
	if err := h.store.Close(); err != nil {
		rt.Fatal(err)
	}
	h.open(rt)
}

// kill opens what the death of the process leaves. The store before is left to itself, on files that nobody sees any more.
func (h *history) kill(rt *rapid.T) {
	dead, mem := h.store, h.mem
	h.mem = mem.Clone()
	h.fault = vfstest.NewFault(h.mem)
	if err := dead.Close(); err != nil {
		rt.Fatal(err)
	}
	h.open(rt)
}

func (h *history) open(rt *rapid.T) {
	report, err := Verify(testDir, testOptions(h.fault))
	if err != nil {
		rt.Fatalf("verify: %v", err)
	}
	s, err := Open(testDir, testOptions(h.fault))
	if err != nil {
		rt.Fatal(err)
	}
	h.store, h.staged = s, 0
	if first, last := h.model.bounds(); report.First != first || report.Last != last || report.Entries != len(h.model.logs) {
		rt.Fatal(fmt.Errorf("verify: %+v, want %d to %d", report, first, last))
	}
}
