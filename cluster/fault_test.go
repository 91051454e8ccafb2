package cluster

import (
	"errors"
	"fmt"
	"reflect"
	"syscall"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/ebbdb/ebb"
	"github.com/ebbdb/ebb/internal/host"
	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// applyOn applies entries to a machine on a file system as far as it goes, and closes it. The error is why it went no further.
func applyOn(fs vfs.FS, logs []*raft.Log, retry func() bool) (sum Digest, err error) {
	m, err := openMachine(fs, crashDir, &ebb.Options{Memory: 8 << 20}, retry)
	if err != nil {
		return Digest{}, err
	}
	for _, l := range logs {
		m.ApplyBatch([]*raft.Log{l})
		if err = m.err(); err != nil {
			break
		}
	}
	if err == nil {
		err = m.checkpoint()
	}
	if err == nil {
		var snap *ebb.Snapshot
		if snap, err = m.db.Load().Snapshot(); err == nil {
			sum, err = digestOf(m.at, snap)
			snap.Close()
		}
	}
	m.pins.close()
	return sum, errors.Join(err, m.db.Load().Close())
}

func giveUp() bool { return false }

// TestErrorAtEveryOperation has the disk of the state fail at any operation: the node stops, and opened again it comes to the
// same state as others, each call made once.
func TestErrorAtEveryOperation(t *testing.T) {
	for _, logs := range [][]*raft.Log{callEntries(), reportEntries()} {
		errorAtEveryOperation(t, logs)
	}
}

func errorAtEveryOperation(t *testing.T, logs []*raft.Log) {
	counter := vfstest.NewFault(vfstest.NewMem())
	want, err := applyOn(counter, logs, giveUp)
	must(t, err)
	for n := 1; n <= counter.Count(vfstest.OpAny); n += vfstest.Step(7) {
		mem := vfstest.NewMem()
		fault := vfstest.NewFault(mem)
		fault.Inject(vfstest.FailNth(vfstest.OpAny, "", n, syscall.EIO))
		if d, err := applyOn(fault, logs, giveUp); err == nil && d != want || err != nil && !errors.Is(err, syscall.EIO) {
			t.Fatalf("error at operation %d: %v, %v", n, d, err)
		}
		if d, err := applyOn(mem, logs, giveUp); d != want || err != nil {
			t.Fatalf("after an error at operation %d: %v, %v; want %v", n, d, err, want)
		}
	}
}

// TestFullDiskOfTheState has no room for the state, while an entry is applied: the node waits, and goes on where it was once
// there is room, or stops if it is told to.
func TestFullDiskOfTheState(t *testing.T) {
	logs := callEntries()
	for i := range 40 { // more than the log of a new database has room for
		h := header{kind: kindWrite, stamp: 2000, session: 9, slot: 1, sequence: uint64(100 + i)}
		o := op{kind: opPut, key: fmt.Appendf(nil, "large %d", i), value: make([]byte, 1<<20)}
		logs = append(logs, &raft.Log{Index: uint64(len(logs) + 1), Term: 1, Type: raft.LogCommand,
			Data: append(appendHeader(nil, &h), goldenWrite(0, nil, o)...)})
	}
	want, err := applyOn(vfstest.NewMem(), logs, giveUp)
	must(t, err)
	full := 0
	for room := int64(1 << 20); room < 40<<20; room += 13 << 20 * int64(vfstest.Step(2)) {
		fault := vfstest.NewFault(vfstest.NewMem())
		must(t, new(errOnly).of(applyOn(fault, logs[:len(logs)-40], giveUp)))
		fault.SetRoom(room)
		_, err := applyOn(fault, logs, giveUp)
		if err != nil && !errors.Is(err, ebb.ErrNoSpace) {
			t.Fatalf("room %d: %v", room, err)
		}
		asked := 0
		d, err := applyOn(fault, logs, func() bool {
			if asked++; asked == 3 {
				fault.SetRoom(-1)
			}
			return true
		})
		if err != nil || d != want {
			t.Fatalf("room %d: with room again: %v, %v; want %v", room, d, err, want)
		}
		full += min(asked, 1)
	}
	if full == 0 {
		t.Error("the disk was never full")
	}
}

// TestFullDiskOfReports has no room for the reports of what has expired: the node waits amid them, where a checkpoint does not take
// them for made, and a read finds none of the keys, and goes on with the next once there is room.
func TestFullDiskOfReports(t *testing.T) {
	const keys = 700
	logs, add := reportingLog()
	for i := range uint64(keys) {
		key := fmt.Appendf(make([]byte, 0, 60<<10), "%05d", i)
		add(1000, callsOf(i+1, one(op{kind: opPut, key: key[:cap(key)], life: host.At, lifeValue: 2000})))
	}
	last := len(*logs)
	add(2000, appendHeader(nil, &header{kind: kindTick}))

	fault := vfstest.NewFault(vfstest.NewMem())
	var m *machine
	asked := 0
	m, err := openMachine(fault, crashDir, &ebb.Options{Memory: 512 << 20, RetainLog: 1 << 30}, func() bool {
		if asked++; asked == 3 {
			fault.SetRoom(-1)
		}
		must(t, m.checkpoint())
		if n := m.db.Load().Stats().ExpiryEvents; m.durable.Load() != 1000 || n == 0 || n == keys {
			t.Errorf("%d reports are made, and what has expired by %d may leave the disk", n, m.durable.Load())
		}
		for e := range m.db.Load().Range(&ebb.IterOptions{KeysOnly: true}) {
			t.Fatalf("%.5s is there, while others of its deadline are not", e.Key)
		}
		return true
	})
	must(t, err)
	defer m.close(t)
	applyAll(t, m, (*logs)[:last], nil, func(most int) int { return most })
	fault.SetRoom(1 << 20)
	applyAll(t, m, (*logs)[last:], nil, func(int) int { return 1 })
	must(t, m.checkpoint())
	if got := reportsOf(t, m); len(got) != keys || asked < 3 || m.durable.Load() != 2000 {
		t.Errorf("%d reports after %d tries, durable %d", len(got), asked, m.durable.Load())
	}
}

// errOnly returns the error of a call with two results.
type errOnly struct{}

func (*errOnly) of(_ Digest, err error) error { return err }

// TestResultsOfCalls looks at what the calls of an entry come to, and that one which breaks the format, or is of no session, is
// nobody else's loss.
func TestResultsOfCalls(t *testing.T) {
	m := openTestMachine(t, t.TempDir())
	defer m.close(t)
	logs := callEntries()
	results := make([][]result, len(logs))
	applyAll(t, m, logs, results, func(int) int { return 1 })
	var codes []code
	for _, list := range results {
		for _, r := range list {
			codes = append(codes, r.code)
		}
	}
	want := []code{
		codeDone,
		codeDone, codeDone, codeDone, codeDone, codeDone, codeCondition,
		codeDone,
		codeDone, codeDone, codeDone, codeDone, codeDone,
		codeDone,
		codeDone, codeDone, codeNotFound, codeDone, codeDone,
		codeDone,
	}
	if !reflect.DeepEqual(codes, want) {
		t.Errorf("%v, want %v", codes, want)
	}
	if string(results[2][0].value) != "2" || results[2][0].version != results[1][2].version {
		t.Errorf("a call once more has come to %+v, at first to %+v", results[2][0], results[1][2])
	}
}
