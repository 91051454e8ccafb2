package cluster

import (
	"testing"

	"github.com/hashicorp/raft"

	"github.com/ebbdb/ebb/internal/host"
)

// TestDueTime asks a machine whether something is past its deadline, after each of some entries, over a flush and a snapshot: the
// answer is that of the database, which is asked only when the time has come.
func TestDueTime(t *testing.T) {
	m := openTestMachine(t, t.TempDir())
	defer m.close(t)
	var index, sequence uint64
	apply := func(stamp int64, h header, body []byte) {
		index++
		h.stamp = stamp
		m.ApplyBatch([]*raft.Log{{Index: index, Term: 1, Type: raft.LogCommand, Data: append(appendHeader(nil, &h), body...)}})
		check(t, m.err())
	}
	put := func(stamp int64, key string, deadline int64) {
		o := op{kind: opPut, key: []byte(key)}
		if deadline != 0 {
			o.life, o.lifeValue = host.At, deadline
		}
		sequence++
		apply(stamp, header{kind: kindWrite, session: 9, sequence: sequence}, goldenWrite(0, nil, o))
	}
	holds := func(now int64, want bool) {
		t.Helper()
		state := m.db.Load()
		due, err := host.Root.Due(state)
		check(t, err)
		if got := m.due.past(now, state); got != want || want != (due != 0 && due <= now) {
			t.Errorf("past at %d: %v, want %v; the database says %d", now, got, want, due)
		}
	}
	apply(1000, header{kind: kindOpenSession}, []byte{9, 0, 0, 0, 0, 0, 0, 0})
	holds(5000, false)
	put(1000, "for ever", 0)
	holds(5000, false)
	put(1000, "b", 3000)
	holds(2999, false)
	holds(3000, true)
	put(1000, "a", 2000)
	holds(1999, false)
	holds(2000, true)
	check(t, m.db.Load().Flush())
	holds(2000, true)
	apply(2000, header{kind: kindTick}, nil)
	holds(2999, false)
	holds(3000, true)
	apply(3000, header{kind: kindTick}, nil)
	holds(9000, false)
	// A look that was begun before a write, and has not seen it, is not kept.
	m.due.mu.Lock()
	at, known, writes := m.due.mu.at, m.due.mu.known, m.due.mu.writes
	m.due.mu.Unlock()
	if at != 0 || !known {
		t.Errorf("due at %d, %v: nothing expires any more", at, known)
	}
	put(3000, "c", 8000)
	if m.due.mu.writes == writes || m.due.mu.at != 8000 {
		t.Errorf("due at %d after %d writes", m.due.mu.at, m.due.mu.writes)
	}
	holds(8000, true)
}
