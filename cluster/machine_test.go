package cluster

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"pgregory.net/rapid"

	"github.com/ebbdb/ebb"
	"github.com/ebbdb/ebb/internal/host"
)

// fatal is what tests and checks of rapid have in common.
type fatal interface {
	Helper()
	Fatalf(format string, args ...any)
}

func check(t fatal, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%v", err)
	}
}

func openTestMachine(t fatal, dir string) *machine {
	m, err := openMachine(nil, dir, &ebb.Options{Memory: 8 << 20, RetainLog: 1 << 30}, func() bool { return false })
	check(t, err)
	return m
}

func (m *machine) close(t fatal) {
	m.pins.close()
	check(t, m.db.Load().Close())
}

// applyAll applies entries in batches of the sizes that next returns, and notes the results of the calls of each.
func applyAll(t fatal, m *machine, logs []*raft.Log, results [][]result, next func(most int) int) {
	for len(logs) > 0 {
		n := next(len(logs))
		for i, a := range m.ApplyBatch(logs[:n]) {
			var list []result
			switch r := a.(type) {
			case *result:
				list = []result{*r}
			case []result:
				list = r
			}
			for k := range list {
				list[k].value = bytes.Clone(list[k].value)
			}
			if l := logs[i]; results != nil {
				results[l.Index-1] = list
			}
		}
		check(t, m.err())
		logs = logs[n:]
	}
}

func digest(t fatal, m *machine) Digest {
	snap, err := m.db.Load().Snapshot()
	check(t, err)
	defer snap.Close()
	d, err := digestOf(m.at, snap)
	check(t, err)
	return d
}

// sink is a raft.SnapshotSink in memory.
type sink struct {
	bytes.Buffer
	canceled bool
}

func (s *sink) ID() string    { return "test" }
func (s *sink) Close() error  { return nil }
func (s *sink) Cancel() error { s.canceled = true; return nil }

func snapshotOf(t fatal, m *machine) []byte {
	s, err := m.Snapshot()
	check(t, err)
	defer s.Release()
	var to sink
	check(t, s.Persist(&to))
	return to.Bytes()
}

// entryDrawer draws entries as nodes write them, and some that they do not: calls that come twice, or late.
type entryDrawer struct {
	t        *rapid.T
	stamp    int64
	index    uint64
	sessions []uint64
	next     map[[2]uint64]uint64 // by session and slot: the next sequence
	m        *machine             // has applied all that was drawn: transactions read it
	logs     []*raft.Log
}

var testKeys = []string{"a", "b", "b\x00", "c", "d", "\xff\xff"}

func (d *entryDrawer) key(label string) []byte {
	return []byte(rapid.SampledFrom(testKeys).Draw(d.t, label))
}

func (d *entryDrawer) life(o *op, keep bool) {
	switch n := rapid.IntRange(0, 6).Draw(d.t, "life"); {
	case n == 0 && keep:
		o.life = host.KeepTTL
	case n <= 2:
		o.life, o.lifeValue = host.TTL, int64(time.Duration(rapid.IntRange(-1, 60).Draw(d.t, "ttl"))*time.Millisecond)
	case n == 3:
		o.life, o.lifeValue = host.At, d.stamp+int64(rapid.IntRange(-5, 60).Draw(d.t, "at"))
	}
}

func (d *entryDrawer) condition(o *op, of ...host.Cond) {
	if rapid.Bool().Draw(d.t, "conditional") {
		return
	}
	if o.cond = rapid.SampledFrom(of).Draw(d.t, "condition"); o.cond == host.IfVersion {
		if e, err := d.m.db.Load().Stat(o.key); err == nil && rapid.Bool().Draw(d.t, "right version") {
			o.condValue = e.Version
		}
	}
}

// op draws an operation that is a call of its own.
func (d *entryDrawer) op() op {
	kind := opKind(rapid.IntRange(int(opPut), int(opSwap)).Draw(d.t, "op"))
	if kind == opBatchExpire {
		kind = opAdd
	}
	o := op{kind: kind, key: d.key("key")}
	value := []byte(strconv.Itoa(rapid.IntRange(0, 3).Draw(d.t, "value")))
	switch kind {
	case opPut:
		o.value = value
		d.life(&o, true)
		d.condition(&o, host.IfAbsent, host.IfPresent, host.IfVersion)
		o.found = rapid.Bool().Draw(d.t, "found")
	case opDelete:
		d.condition(&o, host.IfPresent, host.IfVersion)
		o.found = rapid.Bool().Draw(d.t, "found")
	case opDeleteRange:
		o.value = append(d.key("end"), 0)
	case opExpire, opGetTouch:
		o.life, o.lifeValue = host.TTL, int64(time.Duration(rapid.IntRange(-1, 60).Draw(d.t, "ttl"))*time.Millisecond)
		d.condition(&o, host.IfNoDeadline, host.IfDeadline, host.IfLater, host.IfEarlier, host.IfVersion)
	case opTake:
		d.condition(&o, host.IfVersion)
	case opAdd:
		o.delta = int64(rapid.IntRange(-2, 2).Draw(d.t, "delta"))
		d.life(&o, false)
		d.condition(&o, host.IfAbsent, host.IfPresent, host.IfVersion)
	case opSwap:
		o.old, o.value = value, []byte(strconv.Itoa(rapid.IntRange(0, 3).Draw(d.t, "new")))
		d.life(&o, true)
		d.condition(&o, host.IfAbsent, host.IfPresent, host.IfVersion)
	}
	return o
}

// batch draws the operations of a batch.
func (d *entryDrawer) batch() (ops []op) {
	for range rapid.IntRange(0, 4).Draw(d.t, "operations") {
		o := op{kind: opKind(rapid.SampledFrom([]opKind{opPut, opPut, opDelete, opDeleteRange, opBatchExpire}).Draw(d.t, "op"))}
		o.key = d.key("key")
		switch o.kind {
		case opPut:
			o.value = []byte("b" + strconv.Itoa(rapid.IntRange(0, 3).Draw(d.t, "value")))
			d.life(&o, true)
			d.condition(&o, host.IfAbsent, host.IfPresent, host.IfVersion)
		case opDelete:
			d.condition(&o, host.IfPresent, host.IfVersion)
		case opDeleteRange:
			o.value = append(d.key("end"), 0)
		case opBatchExpire:
			o.life, o.lifeValue = host.TTL, int64(time.Duration(rapid.IntRange(-1, 60).Draw(d.t, "ttl"))*time.Millisecond)
			d.condition(&o, host.IfPresent, host.IfVersion)
		}
		ops = append(ops, o)
	}
	return ops
}

// txn draws a transaction, which has read the state after some entries before this one.
func (d *entryDrawer) txn() []byte {
	var entry []byte
	taken := errors.New("taken")
	err := d.m.db.Load().Update(func(tx *ebb.Txn) error {
		for range rapid.IntRange(0, 2).Draw(d.t, "gets") {
			_, _ = tx.Get(d.key("got"))
		}
		if rapid.Bool().Draw(d.t, "scans") {
			n := rapid.IntRange(1, 4).Draw(d.t, "length")
			for range tx.Range(&ebb.IterOptions{Start: d.key("start"), Reverse: rapid.Bool().Draw(d.t, "reverse"), Limit: n}) {
			}
		}
		check(d.t, tx.Put(d.key("put"), []byte("t"), ebb.TTL(time.Duration(rapid.IntRange(0, 60).Draw(d.t, "ttl"))*time.Millisecond)))
		if rapid.IntRange(0, 3).Draw(d.t, "deletes") == 0 {
			check(d.t, tx.DeleteRange(d.key("from"), nil))
		}
		s, err := host.Root.State(tx)
		check(d.t, err)
		entry, err = txnEntry(s)
		check(d.t, err)
		return taken
	})
	if err != taken {
		d.t.Fatalf("%v", err)
	}
	return entry
}

func writeEntry(ops []op, flags byte) []byte {
	entry := append(appendHeader(nil, &header{kind: kindWrite}), flags)
	entry = binary.AppendUvarint(appendReads(entry, nil, nil), uint64(len(ops)))
	for i := range ops {
		entry = appendOp(entry, &ops[i])
	}
	return entry
}

// draw draws the next entry. Stamps go back now and then, as those of another leader do.
func (d *entryDrawer) draw() *raft.Log {
	d.stamp += int64(rapid.IntRange(-10, 25).Draw(d.t, "time passes"))
	n := rapid.IntRange(0, 25).Draw(d.t, "kind")
	var entry []byte
	switch {
	case n == 0 || len(d.sessions) == 0:
		id := uint64(rapid.IntRange(1, 3).Draw(d.t, "session"))
		entry = binary.LittleEndian.AppendUint64(appendHeader(nil, &header{kind: kindOpenSession}), id)
		d.sessions = append(d.sessions, id)
	case n == 1:
		entry = appendHeader(nil, &header{kind: kindTick})
	case n == 2:
		entry = appendHeader(nil, &header{kind: kindExpireSessions})
		entry = binary.LittleEndian.AppendUint64(entry, uint64(rapid.IntRange(20, 400).Draw(d.t, "idle")))
	case n >= 24:
		entry = reportEntry(n == 24 || len(d.logs)%2 == 0)
	case n <= 7:
		calls := rapid.IntRange(1, 6).Draw(d.t, "calls")
		entry = binary.AppendUvarint(appendHeader(nil, &header{kind: kindCalls}), uint64(calls))
		used := make(map[[2]uint64]bool)
		for range calls {
			entry = appendCall(entry, d.write(used))
		}
	default:
		entry = d.write(make(map[[2]uint64]bool))
	}
	setStamp(entry, d.stamp)
	d.index += uint64(rapid.IntRange(1, 1).Draw(d.t, "gap"))
	l := &raft.Log{Index: d.index, Term: 1 + d.index/10, Type: raft.LogCommand, Data: entry}
	d.logs = append(d.logs, l)
	return l
}

// write draws a write. A slot has one new call in an entry, which makes used true: also one that comes once more or late, when
// its session has expired and was opened again in between.
func (d *entryDrawer) write(used map[[2]uint64]bool) (entry []byte) {
	switch n := rapid.IntRange(0, 16).Draw(d.t, "write"); {
	case n <= 1:
		entry = d.txn()
	case n <= 5:
		entry = writeEntry(d.batch(), flagBatch)
	default:
		entry = writeEntry([]op{d.op()}, 0)
	}
	id, slot := rapid.SampledFrom(d.sessions).Draw(d.t, "of session"), uint16(rapid.IntRange(0, 2).Draw(d.t, "slot"))
	at := [2]uint64{id, uint64(slot)}
	switch n := rapid.IntRange(0, 9).Draw(d.t, "call"); {
	case n == 0 || used[at]: // once more
	case n == 1: // late
		d.next[at] = max(d.next[at], 1) - 1
	default:
		d.next[at]++
	}
	used[at] = used[at] || d.next[at] > d.last(id, slot)
	setCaller(entry, id, slot, d.next[at])
	return entry
}

// last returns the sequence of the last call that the machine has of a slot.
func (d *entryDrawer) last(id uint64, slot uint16) uint64 {
	if s := d.m.sessions[id]; s != nil && int(slot) < len(s.slots) {
		return s.slots[slot].sequence
	}
	return 0
}

// TestMachineModel applies the same entries to several machines: one by one; in other batches; with restarts; with a crash
// that takes the newest, which are applied again; from a snapshot. All come to the same results, and to the same state, with
// the same versions.
func TestMachineModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "machine")
		check(t, err)
		defer os.RemoveAll(dir)
		one := openTestMachine(t, filepath.Join(dir, "one"))
		defer func() { one.close(t) }()
		d := &entryDrawer{t: t, stamp: 1000, next: make(map[[2]uint64]uint64), m: one}
		n := rapid.IntRange(1, 60).Draw(t, "entries")
		want := make([][]result, n)
		ref := newReference(t)
		defer ref.db.Close()
		for i := range n {
			l := d.draw()
			applyAll(t, one, []*raft.Log{l}, want, func(int) int { return 1 })
			ref.apply(t, l, want[i], one)
			if rapid.IntRange(0, 9).Draw(t, "flush") == 0 {
				check(t, one.checkpoint())
				check(t, one.db.Load().Flush())
			}
		}
		ref.compare(t, one)
		final, reports := digest(t, one), reportsOf(t, one)

		batches := func(most int) int { return rapid.IntRange(1, most).Draw(t, "batch") }
		same := func(what string, m *machine, got [][]result, from int) {
			t.Helper()
			if d := digest(t, m); d != final {
				t.Fatalf("%s: %v, want %v: %s, want %s", what, d, final, dump(m), dump(one))
			}
			if m.sequence != one.sequence || !reflect.DeepEqual(m.sessions.used(), one.sessions.used()) {
				t.Fatalf("%s: sequence %d, want %d; sessions %v, want %v", what, m.sequence, one.sequence, m.sessions.used(),
					one.sessions.used())
			}
			for i := from; i < len(got); i++ {
				if g, w := fmt.Sprintf("%+v", got[i]), fmt.Sprintf("%+v", want[i]); g != w {
					t.Fatalf("%s: entry %d has come to %s, want %s", what, i+1, g, w)
				}
			}
		}

		told := func(what string, m *machine) {
			t.Helper()
			if got := reportsOf(t, m); !slices.Equal(got, reports) {
				t.Fatalf("%s: reports %v, want %v", what, got, reports)
			}
		}
		// upkeep has what may leave the disk of a machine leave it, now and then.
		upkeep := func(m *machine) func(int) int {
			return func(most int) int {
				if rapid.IntRange(0, 4).Draw(t, "upkeep") == 0 {
					check(t, m.checkpoint())
					check(t, m.db.Load().Flush())
					check(t, m.db.Load().Compact(context.Background()))
				}
				return batches(most)
			}
		}

		many := openTestMachine(t, filepath.Join(dir, "many"))
		got := make([][]result, n)
		applyAll(t, many, d.logs, got, upkeep(many))
		same("in batches", many, got, 0)
		told("in batches", many)
		many.close(t)

		at := rapid.IntRange(0, n).Draw(t, "restart at")
		again := openTestMachine(t, filepath.Join(dir, "again"))
		applyAll(t, again, d.logs[:at], nil, upkeep(again))
		again.close(t)
		check(t, os.CopyFS(filepath.Join(dir, "crashed"), os.DirFS(filepath.Join(dir, "again"))))
		again = openTestMachine(t, filepath.Join(dir, "again"))
		got = make([][]result, n)
		applyAll(t, again, d.logs, got, batches) // raft begins at its last snapshot, or at the beginning
		same("after a restart", again, got, at)
		told("after a restart", again)
		again.close(t)

		again = openTestMachine(t, filepath.Join(dir, "crashed"))
		applyAll(t, again, d.logs, got, batches)
		same("after a crash", again, got, at)
		told("after a crash", again)
		snap := snapshotOf(t, again)
		again.close(t)

		from := openTestMachine(t, filepath.Join(dir, "from"))
		applyAll(t, from, d.logs[:at], nil, upkeep(from))
		part := snapshotOf(t, from)
		from.close(t)
		behind := rapid.IntRange(0, at).Draw(t, "behind")
		installed := openTestMachine(t, filepath.Join(dir, "installed"))
		applyAll(t, installed, d.logs[:behind], nil, batches)
		check(t, installed.Restore(io.NopCloser(bytes.NewReader(part))))
		applyAll(t, installed, d.logs[at:], got, upkeep(installed))
		same("after a snapshot", installed, got, at)
		check(t, installed.Restore(io.NopCloser(bytes.NewReader(snap))))
		same("of a snapshot", installed, nil, 0)
		installed.close(t)
		installed = openTestMachine(t, filepath.Join(dir, "installed"))
		same("of a snapshot, opened again", installed, nil, 0)
		installed.close(t)
	})
}

// used returns what is remembered of sessions.
func (ss sessions) used() map[uint64]string {
	m := make(map[uint64]string)
	for id, s := range ss {
		slots := s.slots
		for len(slots) > 0 && slots[len(slots)-1].sequence == 0 {
			slots = slots[:len(slots)-1]
		}
		m[id] = fmt.Sprint(s.used, slots)
	}
	return m
}

func dump(m *machine) (s string) {
	for _, o := range []*ebb.IterOptions{nil, {Prefix: reserved}} {
		for e := range m.db.Load().Range(o) {
			s += fmt.Sprintf("%q=%q v%d d%d; ", bytes.TrimLeft(e.Key, "\xff"), e.Value, e.Version, e.Deadline)
		}
	}
	return s
}

// reference is a database alone, on which the verbs are called that the entries stand for.
type reference struct {
	db  *ebb.DB
	now atomic.Int64
}

func newReference(t fatal) *reference {
	r := new(reference)
	r.now.Store(1)
	now := r.now.Load
	o := &ebb.Options{Memory: 8 << 20}
	host.Root.Serve(o, &host.Host{Now: now, DropBefore: now, Hidden: reserved})
	db, err := ebb.OpenMemory(o)
	check(t, err)
	r.db = db
	return r
}

// apply makes the calls of an entry that count, and compares their answers.
func (r *reference) apply(t fatal, l *raft.Log, got []result, m *machine) {
	h, body, err := decodeHeader(l.Data)
	check(t, err)
	r.now.Store(max(r.now.Load(), h.stamp))
	calls := []call{{h.session, h.slot, h.sequence, body}}
	switch h.kind {
	case kindWrite:
	case kindCalls:
		calls, err = decodeCalls(body, nil)
		check(t, err)
	default:
		return
	}
	if len(got) != len(calls) {
		t.Fatalf("entry %d has %d calls and %d results", l.Index, len(calls), len(got))
	}
	for i := range calls {
		r.call(t, l.Index, &calls[i], uint32((i+1)%len(calls)), &got[i], m)
	}
}

// call makes a call, if it counts. last is what its record says of the calls that are made.
func (r *reference) call(t fatal, index uint64, c *call, last uint32, got *result, m *machine) {
	if got.code == codeNoSession || got.code == codeOldCall || c.sequence == 0 {
		return
	}
	value, err := m.db.Load().Get(appendSlotKey(nil, c.session, c.slot))
	check(t, err)
	if s, _, _ := decodeState(value); s.index != index || s.calls != last {
		return // a call that was made before
	}
	in := reader{b: c.body}
	flags := in.byte()
	in.reads()
	ops, err := m.decodeOps(&in, in.count())
	check(t, err)
	if got.code == codeConflict {
		return
	}
	var want code
	if flags&flagBatch != 0 {
		want = r.batch(t, ops, got)
	} else {
		want = r.one(t, &ops[0], got)
	}
	if want != got.code {
		t.Fatalf("entry %d, %+v: code %d, a database alone has %d", index, ops, got.code, want)
	}
}

// options returns the options of an operation. A version of the machine is no version here: what it says is asked for in
// another way.
func (r *reference) options(o *op) (opts []ebb.WriteOption) {
	switch o.life {
	case host.TTL:
		opts = append(opts, ebb.TTL(time.Duration(o.lifeValue)))
	case host.At:
		opts = append(opts, ebb.ExpireAt(time.UnixMilli(o.lifeValue)))
	case host.KeepTTL:
		opts = append(opts, ebb.KeepTTL)
	}
	return append(opts, r.condition(o)...)
}

func (r *reference) condition(o *op) []ebb.WriteOption {
	switch o.cond {
	case host.NoCond:
		return nil
	case host.IfAbsent:
		return []ebb.WriteOption{ebb.IfAbsent}
	case host.IfPresent:
		return []ebb.WriteOption{ebb.IfPresent}
	case host.IfVersion:
		return []ebb.WriteOption{ebb.IfVersion(o.condValue)}
	}
	return []ebb.WriteOption{map[host.Cond]ebb.WriteOption{
		host.IfNoDeadline: ebb.IfNoDeadline, host.IfDeadline: ebb.IfDeadline, host.IfLater: ebb.IfLater, host.IfEarlier: ebb.IfEarlier,
	}[o.cond]}
}

// versioned makes IfVersion of an operation the version that the key has here, if the machine has found it right.
func (r *reference) versioned(o *op, held bool) {
	if o.cond != host.IfVersion {
		return
	}
	e, err := r.db.Stat(o.key)
	present := err == nil
	switch {
	case held && present:
		o.condValue = e.Version
	case held:
		o.condValue = 0
	case present:
		o.condValue = e.Version + 1<<40
	default:
		o.condValue = 1 << 40
	}
}

func (r *reference) one(t fatal, o *op, got *result) code {
	r.versioned(o, got.code != codeCondition)
	var err error
	var found bool
	var until int64
	var value []byte
	asks := []ebb.WriteOption{}
	if o.found {
		asks = append(asks, ebb.FoundTo(&found))
	}
	switch o.kind {
	case opPut:
		err = r.db.Put(o.key, o.value, append(append(r.options(o), asks...), ebb.DeadlineTo(&until))...)
	case opDelete:
		err = r.db.Delete(o.key, append(r.condition(o), asks...)...)
	case opDeleteRange:
		err = r.db.DeleteRange(o.key, o.value)
	case opExpire:
		err = r.db.Expire(o.key, time.Duration(o.lifeValue), append(r.condition(o), ebb.DeadlineTo(&until))...)
	case opGetTouch:
		value, err = r.db.GetTouch(o.key, time.Duration(o.lifeValue), append(r.condition(o), ebb.DeadlineTo(&until))...)
	case opTake:
		value, err = r.db.Take(o.key, r.condition(o)...)
	case opAdd:
		var sum int64
		sum, err = r.db.Add(o.key, o.delta, append(r.options(o), ebb.FoundTo(&found), ebb.DeadlineTo(&until))...)
		value = strconv.AppendInt(nil, sum, 10)
	case opSwap:
		found, err = r.db.CompareAndSwap(o.key, o.old, o.value, append(r.options(o), ebb.DeadlineTo(&until))...)
	}
	switch {
	case errors.Is(err, ebb.ErrConditionFailed):
		return codeCondition
	case errors.Is(err, ebb.ErrNotFound):
		return codeNotFound
	case errors.Is(err, ebb.ErrNotCounter):
		return codeNotCounter
	}
	check(t, err)
	if (o.found || o.kind == opAdd || o.kind == opSwap) && found != got.found || until != got.deadline ||
		len(value) > 0 && !bytes.Equal(value, got.value) {
		t.Fatalf("%+v: %+v, a database alone has %v, %d, %q", *o, *got, found, until, value)
	}
	return codeDone
}

func (r *reference) batch(t fatal, ops []op, got *result) code {
	var b ebb.Batch
	for i := range ops {
		o := &ops[i]
		if o.cond == host.IfVersion { // the versions of the machine before the batch are not known any more
			if got.code == codeCondition {
				return codeCondition
			}
			o.cond = host.NoCond
		}
		var err error
		switch o.kind {
		case opPut:
			err = b.Put(o.key, o.value, r.options(o)...)
		case opDelete:
			err = b.Delete(o.key, r.condition(o)...)
		case opDeleteRange:
			err = b.DeleteRange(o.key, o.value)
		case opBatchExpire:
			err = b.Expire(o.key, time.Duration(o.lifeValue), r.condition(o)...)
		}
		check(t, err)
	}
	err := r.db.Apply(&b)
	if errors.Is(err, ebb.ErrConditionFailed) {
		return codeCondition
	}
	check(t, err)
	return codeDone
}

// compare compares what both have.
func (r *reference) compare(t fatal, m *machine) {
	list := func(db *ebb.DB) (s []string) {
		for e, err := range db.Range(nil) {
			check(t, err)
			s = append(s, fmt.Sprintf("%q=%q until %d", e.Key, e.Value, e.Deadline))
		}
		return s
	}
	if got, want := list(m.db.Load()), list(r.db); !reflect.DeepEqual(got, want) {
		t.Fatalf("%v, a database alone has %v", got, want)
	}
}
