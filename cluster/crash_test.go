package cluster

import (
	"encoding/binary"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/ebbdb/ebb"
	"github.com/ebbdb/ebb/internal/host"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

const crashDir = "node/state"

func openCrashMachine(t fatal, fs *vfstest.Mem) *machine {
	m, err := openMachine(fs, crashDir, &ebb.Options{Memory: 8 << 20, RetainLog: 1 << 30}, func() bool { return false })
	check(t, err)
	return m
}

// callsOf returns an entry of calls, the i-th of slot i.
func callsOf(sequence uint64, writes ...[]byte) []byte {
	entry := binary.AppendUvarint(appendHeader(nil, &header{kind: kindCalls}), uint64(len(writes)))
	for i, w := range writes {
		setCaller(w, 9, uint16(i), sequence)
		entry = appendCall(entry, w)
	}
	return entry
}

func one(o op) []byte { return writeEntry([]op{o}, 0) }

// callEntries are entries that nobody may apply twice, nor a part of.
func callEntries() (logs []*raft.Log) {
	count := op{kind: opAdd, key: []byte("count"), delta: 1}
	put := func(k string) op { return op{kind: opPut, key: []byte(k), value: []byte("v"), cond: host.IfAbsent} }
	take := op{kind: opTake, key: []byte("a")}
	brief := op{kind: opPut, key: []byte("brief"), value: []byte("1"), life: host.TTL, lifeValue: 15e6}
	again := one(count)
	setCaller(again, 9, 2, 1)
	for _, data := range [][]byte{
		binary.LittleEndian.AppendUint64(appendHeader(nil, &header{kind: kindOpenSession}), 9),
		callsOf(1, one(put("a")), one(count), one(count), one(brief), one(count), one(put("a"))),
		again, // the third call once more
		callsOf(2, one(take), one(put("a")), one(count), writeEntry([]op{put("b"), count.asPut()}, flagBatch), one(count)),
		appendHeader(nil, &header{kind: kindTick}),
		callsOf(3, one(count), one(take), one(take), one(op{kind: opDeleteRange, key: []byte("a"), value: []byte("c")}), one(put("b"))),
		callsOf(4, one(count)),
	} {
		i := uint64(len(logs) + 1)
		setStamp(data, int64(1000+10*i))
		logs = append(logs, &raft.Log{Index: i, Term: 1, Type: raft.LogCommand, Data: data})
	}
	return logs
}

// asPut is a put in place of an Add, which no batch has.
func (o op) asPut() op { return op{kind: opPut, key: o.key, value: []byte("100")} }

// TestCrashStatesOfCalls applies entries of several calls, which it makes in several batches, as each looks at what the ones
// before have written, and tries all states that a crash may leave: each call is made once, whether the entry was there as a
// whole, in part, or not at all.
func TestCrashStatesOfCalls(t *testing.T) {
	logs := callEntries()
	parts := map[string]int{}
	crashStates(t, logs, func(m *machine) {
		if v, err := m.db.Load().Get([]byte("count")); err != nil || string(v) != "103" {
			t.Fatalf("counted %s, %v", v, err)
		}
	}, func(m *machine) {
		parts[fmt.Sprint(m.at.index, ".", m.at.calls)]++
	})
	t.Log(parts)
	for _, part := range []string{"2.2", "2.4", "4.1", "4.4", "6.2"} {
		if parts[part] == 0 {
			t.Errorf("no crash has left %s: calls made of an entry", part)
		}
	}
}

// TestCrashStatesOfReports applies entries amid which something expires, and tries all states that a crash may leave: each expiry
// is reported once, with the same sequence, whether all that an entry has to report was there, the first of it, or nothing.
func TestCrashStatesOfReports(t *testing.T) {
	logs := reportEntries()
	var want []string
	parts := map[int]int{}
	crashStates(t, logs, func(m *machine) {
		if got := reportsOf(t, m); want == nil {
			want = got
		} else if !slices.Equal(got, want) {
			t.Fatalf("reports %v, want %v", got, want)
		}
	}, func(m *machine) {
		n := 0 // reports behind the last record
		eachChange(t, m, 1, func(c *ebb.Change) {
			if n++; c.Kind != ebb.ChangeExpire {
				n = 0
			}
		})
		parts[n]++
	})
	t.Log(parts)
	for _, n := range []int{0, 4, 256, 512, 603} {
		if parts[n] == 0 {
			t.Errorf("no crash has left %d reports without their entry", n)
		}
	}
}

// crashStates applies entries, and then again after each crash that they may meet: all leads to the same. done is called with a
// machine that has all, found with one as it was found.
func crashStates(t *testing.T, logs []*raft.Log, done, found func(*machine)) {
	mem := vfstest.NewMem()
	m := openCrashMachine(t, mem)
	mem.Record()
	results := make([][]result, len(logs))
	applyAll(t, m, logs, results, func(int) int { return 1 })
	want, sequence, used := digest(t, m), m.sequence, m.sessions.used()
	done(m)
	m.close(t)

	var tried vfstest.Tried
	vfstest.EachCrash(t, mem, vfstest.CrashPoints{Random: 1}, func(c *vfstest.Crash) error {
		if tried.Before(c, nil) {
			return nil
		}
		m := openCrashMachine(t, c.FS)
		defer m.close(t)
		found(m)
		if seen := m.index.Load(); m.at.calls > 0 && seen >= m.at.index || m.at.calls == 0 && seen != m.at.index {
			return fmt.Errorf("reads see entry %d, and the state has %d calls of %d", seen, m.at.calls, m.at.index)
		}
		got := make([][]result, len(logs))
		applyAll(t, m, logs, got, func(most int) int { return most })
		if d := digest(t, m); d != want || m.sequence != sequence || !reflect.DeepEqual(m.sessions.used(), used) {
			return fmt.Errorf("%v, sequence %d; want %v, %d: %s", d, m.sequence, want, sequence, dump(m))
		}
		for i, list := range got {
			for k, r := range list {
				if r.version != 0 && !reflect.DeepEqual(r, results[i][k]) {
					return fmt.Errorf("call %d of entry %d has come to %+v, want %+v", k, i+1, r, results[i][k])
				}
			}
		}
		done(m)
		return nil
	})
}
