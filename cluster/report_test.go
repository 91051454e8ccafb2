package cluster

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/ebbdb/ebb"
	"github.com/ebbdb/ebb/internal/host"
)

// expiry is a version, or the report of one.
type expiry struct {
	key      string
	version  uint64
	deadline int64
}

// reportModel follows the changes of a state, and holds that the reports in it are what they are to be: those of an entry come
// before all else of it, and are of what has expired by then, in the order of deadlines and keys, and of nothing else.
type reportModel struct {
	on      bool
	live    map[string]expiry // the newest version of each key, if it expires, and is to be reported
	entry   uint64            // the entry under way
	reports []expiry          // of it
	others  []ebb.Change      // of it, and of its call under way
	all     []string
	reached uint64 // the sequence
}

// eachChange calls fn with the changes of a machine from a sequence on up to now.
func eachChange(t fatal, m *machine, from uint64, fn func(*ebb.Change)) {
	if from > m.sequence {
		return
	}
	for c, err := range m.db.Load().Watch(context.Background(), &ebb.WatchOptions{From: from}) {
		check(t, err)
		if fn(&c); c.Seq >= m.sequence {
			break
		}
	}
}

// follow follows all changes of a machine up to now.
func (r *reportModel) follow(t fatal, m *machine) {
	eachChange(t, m, r.reached+1, func(c *ebb.Change) {
		if c.Seq != r.reached+1 {
			t.Fatalf("change %d comes after %d", c.Seq, r.reached)
		}
		r.reached = c.Seq
		switch {
		case c.Kind == ebb.ChangeExpire && len(r.others) > 0:
			t.Fatalf("the report %d of %q comes amid an entry", c.Seq, c.Key)
		case c.Kind == ebb.ChangeExpire:
			e := expiry{string(c.Key), c.Version, c.Deadline}
			r.reports, r.all = append(r.reports, e), append(r.all, fmt.Sprint(c.Seq, e))
		case c.Kind == ebb.ChangePut && isReserved(c.Key):
			s, rest, ok := decodeState(c.Value)
			if !ok {
				t.Fatalf("the record of change %d is none", c.Seq)
			}
			r.record(t, s)
			if c.Key[len(reserved)] == reportKey {
				if on := rest[0] == 1; on != r.on {
					r.on = on
					maps.DeleteFunc(r.live, func(_ string, e expiry) bool { return e.deadline <= s.time })
				}
			}
		default:
			c.Key, c.End = bytes.Clone(c.Key), bytes.Clone(c.End)
			r.others = append(r.others, *c)
		}
	})
	if len(r.reports)+len(r.others) > 0 {
		t.Fatalf("%v and %d changes are of no entry", r.reports, len(r.others))
	}
}

// record ends a call, or an entry, at a time.
func (r *reportModel) record(t fatal, s stateRecord) {
	var want []expiry
	if r.entry != s.index && r.on {
		for k, e := range r.live {
			if e.deadline <= s.time {
				want = append(want, e)
				delete(r.live, k)
			}
		}
		slices.SortFunc(want, func(a, b expiry) int {
			return cmp.Or(cmp.Compare(a.deadline, b.deadline), cmp.Compare(a.key, b.key))
		})
	}
	if !slices.Equal(r.reports, want) {
		t.Fatalf("entry %d, at %d, has reported %v, want %v", s.index, s.time, r.reports, want)
	}
	for i := range r.others {
		r.change(&r.others[i])
	}
	r.entry, r.reports, r.others = s.index, nil, nil
}

func (r *reportModel) change(c *ebb.Change) {
	switch c.Kind {
	case ebb.ChangePut:
		delete(r.live, string(c.Key))
		if c.Deadline != 0 {
			r.live[string(c.Key)] = expiry{string(c.Key), c.Seq, c.Deadline}
		}
	case ebb.ChangeDelete, ebb.ChangeExpire:
		delete(r.live, string(c.Key))
	case ebb.ChangeDeleteRange:
		for k := range r.live {
			if k >= string(c.Key) && k < string(c.End) {
				delete(r.live, k)
			}
		}
	}
}

// reportsOf returns the reports of a machine that has all its log, and holds that they are right.
func reportsOf(t fatal, m *machine) []string {
	r := reportModel{live: make(map[string]expiry)}
	r.follow(t, m)
	return r.all
}

// reportEntries are entries amid which something expires: what is replaced, deleted alone and in a range, given another deadline
// or none, and left alone.
func reportEntries() (logs []*raft.Log) {
	put := func(key string, until int64) op {
		return op{kind: opPut, key: []byte(key), value: []byte("v"), life: host.At, lifeValue: until}
	}
	var many []op
	for i := range 600 { // more than a record of the log has
		many = append(many, put(fmt.Sprintf("m%03d", i), 1065))
	}
	sequence := uint64(0)
	calls := func(writes ...[]byte) []byte { sequence++; return callsOf(sequence, writes...) }
	expire := func(key string, until int64) op {
		return op{kind: opExpire, key: []byte(key), life: host.At, lifeValue: until}
	}
	for _, data := range [][]byte{
		binary.LittleEndian.AppendUint64(appendHeader(nil, &header{kind: kindOpenSession}), 9),
		calls(one(put("before", 1015)), one(put("c", 1030)), one(put("b", 1045)), one(put("a", 1045)), one(put("z", 2000))),
		reportEntry(true), // at 1030: what has expired by now is not reported
		calls(one(put("d", 1049)), one(put("e", 1050)), one(put("f", 1070)), one(expire("z", 1070))),
		calls(one(put("a", 1070)), one(expire("b", 1070)), one(op{kind: opDelete, key: []byte("f")}), one(put("d", 1070))), // at 1050
		calls(writeEntry(many, flagBatch), one(op{kind: opPut, key: []byte("e"), value: []byte("v")})),
		calls(one(op{kind: opDeleteRange, key: []byte("a"), value: []byte("zz")}), one(put("a", 1080))), // at 1070
		appendHeader(nil, &header{kind: kindTick}),
		calls(one(put("g", 1100)), one(put("h", 1110))),
		reportEntry(false), // at 1100
		appendHeader(nil, &header{kind: kindTick}),
		reportEntry(true),
		calls(one(put("g", 1140)), one(put("h", 1140))),
		appendHeader(nil, &header{kind: kindTick}),
	} {
		i := uint64(len(logs) + 1)
		setStamp(data, int64(1000+10*i))
		logs = append(logs, &raft.Log{Index: i, Term: 1, Type: raft.LogCommand, Data: data})
	}
	return logs
}

// TestReports applies entries amid which something expires, one by one and together.
func TestReports(t *testing.T) {
	logs := reportEntries()
	var want []string
	for _, together := range []bool{false, true} {
		m := openTestMachine(t, t.TempDir())
		applyAll(t, m, logs, nil, func(most int) int {
			if together {
				return most
			}
			return 1
		})
		got := reportsOf(t, m)
		if len(got) != 4+1+600+2+2+2 {
			t.Errorf("%d reports: %v ... %v", len(got), got[:6], got[600:])
		}
		if want != nil && !slices.Equal(got, want) {
			t.Errorf("together: %v, want %v", got, want)
		}
		want = got
		m.close(t)
	}
}

// reportingLog returns entries that open session 9 and begin to report what expires, and what adds more to them.
func reportingLog() (logs *[]*raft.Log, add func(stamp int64, data []byte)) {
	logs = new([]*raft.Log)
	add = func(stamp int64, data []byte) {
		setStamp(data, stamp)
		*logs = append(*logs, &raft.Log{Index: uint64(len(*logs) + 1), Term: 1, Type: raft.LogCommand, Data: data})
	}
	add(1000, binary.LittleEndian.AppendUint64(appendHeader(nil, &header{kind: kindOpenSession}), 9))
	add(1000, reportEntry(true))
	return logs, add
}

// TestReportsOfMany has more expire at one time than a node knows at a time, on two nodes with different room for it: both come to
// the same, in several scans.
func TestReportsOfMany(t *testing.T) {
	const each, batches = 1000, 25
	logs, add := reportingLog()
	for i := range uint64(batches) {
		var ops []op
		for k := range uint64(each) {
			n := (i*each + k) * 7919 % (each * batches)
			ops = append(ops, op{kind: opPut, key: fmt.Appendf(nil, "key %06d", n), life: host.At, lifeValue: 5000 + int64(k%2)})
		}
		add(1000, callsOf(i+1, writeEntry(ops, flagBatch)))
	}
	add(5000, appendHeader(nil, &header{kind: kindTick}))
	add(5001, callsOf(100, one(op{kind: opDeleteRange, value: []byte("z")})))
	var want []string
	var sum Digest
	for _, o := range []ebb.Options{{Memory: 8 << 20}, {Memory: 128 << 20, ExpiryEvents: true}} {
		o.RetainLog = 1 << 30
		m, err := openMachine(nil, t.TempDir(), &o, func() bool { return false })
		must(t, err)
		applyAll(t, m, (*logs)[:10], nil, func(int) int { return 1 })
		must(t, m.checkpoint())
		must(t, m.db.Load().Flush())
		applyAll(t, m, (*logs)[10:], nil, func(most int) int { return min(3, most) })
		got, d := reportsOf(t, m), digest(t, m)
		if len(got) != each*batches {
			t.Errorf("%d reports, want %d", len(got), each*batches)
		}
		if want != nil && (!slices.Equal(got, want) || d != sum) {
			t.Errorf("%v, want %v", d, sum)
		}
		want, sum = got, d
		m.close(t)
	}
}

// TestReportSurvives has a node that was restarted, and one that got a snapshot, go on to report.
func TestReportSurvives(t *testing.T) {
	for _, on := range []bool{true, false} {
		dir := t.TempDir()
		m := openTestMachine(t, dir)
		data := reportEntry(on)
		setStamp(data, 1000)
		m.ApplyBatch([]*raft.Log{{Index: 1, Term: 1, Type: raft.LogCommand, Data: data}})
		check(t, m.err())
		snap := snapshotOf(t, m)
		m.close(t)
		m = openTestMachine(t, dir)
		if m.reports.Load() != on {
			t.Errorf("after a restart reports are %v, want %v", !on, on)
		}
		m.close(t)
		m = openTestMachine(t, filepath.Join(dir, "other"))
		must(t, m.Restore(io.NopCloser(bytes.NewReader(snap))))
		if m.reports.Load() != on {
			t.Errorf("of a snapshot reports are %v, want %v", !on, on)
		}
		m.close(t)
	}
	m := openTestMachine(t, t.TempDir())
	defer m.close(t)
	for i, body := range [][]byte{nil, {2}, {1, 0}} { // of no release
		data := append(appendHeader(nil, &header{kind: kindReport}), body...)
		r := m.ApplyBatch([]*raft.Log{{Index: uint64(i + 1), Term: 1, Type: raft.LogCommand, Data: data}})
		if got := r[0].(*result); got.code != codeInvalid || m.err() != nil || m.reports.Load() {
			t.Errorf("% x: %+v, %v", body, got, m.err())
		}
	}
}

// reporting waits until a node reports what expires, or does not.
func (tc *testCluster) reporting(db *DB, on bool) {
	tc.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); db.machine.reports.Load() != on; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			tc.t.Fatalf("reports are not %t", on)
		}
	}
}

// TestExpiryEvents watches what expires on two nodes: each expiry is told once, with the same sequence. Then another leads, whose
// options are others: it ends the reports, and the nodes agree.
func TestExpiryEvents(t *testing.T) {
	tc := startCluster(t, 3, func(c *Config) {
		c.Options.ExpiryEvents = c.ID != "n3"
		c.Tick = 10 * time.Millisecond
		if c.ID == "n3" {
			c.Heartbeat = 10 * time.Second // it stands for election only when it is told to
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	l := tc.makeLeader("n1")
	tc.reporting(l, true)
	for i := range 20 {
		must(t, l.Put(ctx, fmt.Appendf(nil, "k%d", i), nil, ebb.TTL(time.Duration(20+i/4)*time.Millisecond)))
	}
	must(t, l.Put(ctx, []byte("stays"), nil, ebb.TTL(time.Hour)))
	var told [][]string
	for _, id := range []string{"n1", "n3"} {
		var list []string
		seen := map[string]bool{}
		for c, err := range tc.nodes[id].Watch(ctx, &ebb.WatchOptions{From: 1, Prefix: []byte("k")}) {
			must(t, err)
			if c.Kind != ebb.ChangeExpire {
				continue
			}
			if list = append(list, fmt.Sprintf("%d %s %d %d", c.Seq, c.Key, c.Version, c.Deadline)); seen[string(c.Key)] || c.More {
				t.Errorf("%s is reported again, or with another", c.Key)
			}
			if seen[string(c.Key)] = true; len(seen) == 20 {
				break
			}
		}
		told = append(told, list)
	}
	if !reflect.DeepEqual(told[0], told[1]) {
		t.Errorf("%v on one node, %v on another", told[0], told[1])
	}
	tc.agree()
	other := tc.makeLeader("n3")
	for l.machine.reports.Load() {
		time.Sleep(time.Millisecond)
		other = tc.makeLeader("n3")
	}
	term := other.ready.Load()
	must(t, other.Put(ctx, []byte("k"), nil, ebb.TTL(time.Millisecond)))
	for has := true; has; {
		var err error
		has, err = l.Has(ctx, []byte("k"))
		must(t, err)
	}
	tc.agree()
	if n := l.machine.db.Load().Stats().ExpiryEvents; n != 20 && other.ready.Load() == term {
		t.Errorf("%d reports", n)
	}
}
