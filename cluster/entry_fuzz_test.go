package cluster

import (
	"testing"

	"github.com/hashicorp/raft"

	"github.com/ebbdb/ebb/internal/host"
)

// FuzzBody applies bodies that no release has written, as a client that has a certificate may send them. No node may stop for
// that: all of a cluster would. Applied together and one by one they come to the same.
func FuzzBody(f *testing.F) {
	body := func(flags byte, ops ...op) []byte {
		b := appendReads([]byte{flags}, nil, nil)
		b = append(b, byte(len(ops)))
		for i := range ops {
			b = appendOp(b, &ops[i])
		}
		return b
	}
	const most = 1<<63 - 1
	key, value := []byte("a"), []byte("7")
	f.Add(uint8(kindWrite), body(0, op{kind: opPut, key: key, value: value, life: host.TTL, lifeValue: most}))
	f.Add(uint8(kindWrite), body(0, op{kind: opPut, key: key, value: value, life: host.At, lifeValue: most}))
	f.Add(uint8(kindWrite), body(0, op{kind: opPut, key: key, value: value, life: host.At, lifeValue: -most - 1}))
	f.Add(uint8(kindWrite), body(0, op{kind: opExpire, key: key, life: host.At, lifeValue: most - 1, cond: host.IfLater}))
	f.Add(uint8(kindWrite), body(0, op{kind: opAdd, key: key, delta: -most - 1, life: host.KeepTTL}))
	f.Add(uint8(kindWrite), body(0, op{kind: opSwap, key: key, value: value, old: value, life: host.KeepTTL}))
	f.Add(uint8(kindWrite), body(0, op{kind: opDeleteRange, value: key}))
	f.Add(uint8(kindWrite), body(flagBatch, op{kind: opPut, key: key, value: value},
		op{kind: opBatchExpire, key: key, life: host.At, lifeValue: most}, op{kind: opDelete, key: key, cond: host.IfVersion, condValue: 1}))
	f.Add(uint8(kindWrite), body(flagBatch))
	f.Add(uint8(kindWrite), appendReads([]byte{0}, []host.KeyRead{{Key: nil}}, []host.RangeRead{{}, {Range: host.Range{Start: reserved}}}))
	f.Add(uint8(kindWrite), append(appendReads([]byte{0}, []host.KeyRead{{Key: nil}}, nil), body(0, op{kind: opPut, key: key})[3:]...))
	f.Add(uint8(kindWrite), append(appendReads([]byte{0}, []host.KeyRead{{Key: make([]byte, 65<<10)}}, nil), 0))
	f.Add(uint8(kindWrite), append(appendReads([]byte{0}, nil, []host.RangeRead{{Range: host.Range{Start: make([]byte, 65<<10)}}}), 0))
	f.Add(uint8(kindWrite), body(0, op{kind: opDeleteRange, value: key, cond: host.IfAbsent}))
	f.Add(uint8(kindWrite), body(flagBatch, op{kind: opDeleteRange, value: key, life: host.KeepTTL}))
	f.Add(uint8(kindTick), []byte("more"))
	several := func(bodies ...[]byte) []byte {
		b := []byte{byte(len(bodies))}
		for i, body := range bodies {
			entry := appendHeader(nil, &header{session: 9, slot: uint16(i), sequence: 1})
			b = appendCall(b, append(entry, body...))
		}
		return b
	}
	put := body(0, op{kind: opPut, key: key, value: value})
	f.Add(uint8(kindCalls), several(put, body(0, op{kind: opAdd, key: key, delta: 1}), []byte("no body"), put))
	f.Add(uint8(kindCalls), several(put)[:20])
	f.Add(uint8(kindCalls), append(several(put, put), 0))
	f.Add(uint8(kindCalls), []byte{0})
	f.Add(uint8(kindOpenSession), []byte{1})
	f.Add(uint8(kindReport), []byte{1})
	f.Add(uint8(kindExpireSessions), []byte{})
	f.Fuzz(func(t *testing.T, kind uint8, body []byte) {
		if kind == 0 || kind > uint8(lastKind) {
			t.Skip()
		}
		entry := func(i uint64, h header, body []byte) *raft.Log {
			h.stamp = 1000 + int64(i)
			return &raft.Log{Index: i, Term: 1, Type: raft.LogCommand, Data: append(appendHeader(nil, &h), body...)}
		}
		logs := []*raft.Log{
			entry(1, header{kind: kindOpenSession}, []byte{9, 0, 0, 0, 0, 0, 0, 0}),
			entry(2, header{kind: kindWrite, session: 9, slot: 1, sequence: 1}, put),
			entry(3, header{kind: entryKind(kind), session: 9, slot: 2, sequence: 1}, body),
			entry(4, header{kind: entryKind(kind), session: 9, slot: 2, sequence: 2}, body),
			entry(5, header{kind: kindWrite, session: 9, slot: 1, sequence: 2}, put),
		}
		var sums []Digest
		for _, together := range []bool{false, true} {
			m := openTestMachine(t, t.TempDir())
			applyAll(t, m, logs, nil, func(most int) int {
				if together {
					return most
				}
				return 1
			})
			sums = append(sums, digest(t, m))
			m.close(t)
		}
		if sums[0] != sums[1] {
			t.Errorf("one by one %v, together %v", sums[0], sums[1])
		}
	})
}
