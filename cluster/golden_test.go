package cluster

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/ebbdb/ebb/internal/host"
)

// goldenHeader is the header of golden entries.
var goldenHeader = header{stamp: 0x0102030405060708, session: 0x1112131415161718, slot: 0x2122, sequence: 0x3132333435363738}

const goldenHead = " 0807060504030201 1817161514131211 2221 3837363534333231 "

func goldenEntry(kind entryKind, body []byte) []byte {
	h := goldenHeader
	h.kind = kind
	return append(appendHeader(nil, &h), body...)
}

// goldenWrite returns the body of a write.
func goldenWrite(flags byte, reads []byte, ops ...op) []byte {
	if reads == nil {
		reads = appendReads(nil, nil, nil)
	}
	b := binary.AppendUvarint(append([]byte{flags}, reads...), uint64(len(ops)))
	for i := range ops {
		b = appendOp(b, &ops[i])
	}
	return b
}

// TestGoldenEntries holds entries of all kinds to the bytes that nodes write and read. No node changes what another has written:
// a change of these needs another kind, or another version.
func TestGoldenEntries(t *testing.T) {
	k, v := []byte("k"), []byte("vv")
	reads := appendReads(nil, []host.KeyRead{{Key: k, Version: 300}, {Key: []byte("x")}}, []host.RangeRead{
		{Range: host.Range{Start: []byte("a"), End: []byte("b")}, Sum: host.Sum{0: 1, 15: 16}}})
	put := goldenWrite(0, nil, op{kind: opPut, key: k, value: v})
	for _, c := range []struct {
		name  string
		entry []byte
		want  string
	}{
		{"put", goldenEntry(kindWrite, put), "01 01" + goldenHead + "00 00 00 01  01 00 01 6b 02 7676"},
		{"put with all", goldenEntry(kindWrite, goldenWrite(0, nil, op{kind: opPut, key: k, value: v, life: host.TTL, lifeValue: 2,
			cond: host.IfVersion, condValue: 3, found: true})),
			"01 01" + goldenHead + "00 00 00 01  01 8d 01 6b 02 7676 0200000000000000 0300000000000000"},
		{"delete", goldenEntry(kindWrite, goldenWrite(0, nil, op{kind: opDelete, key: k, cond: host.IfPresent})),
			"01 01" + goldenHead + "00 00 00 01  02 08 01 6b 00"},
		{"delete range", goldenEntry(kindWrite, goldenWrite(0, nil, op{kind: opDeleteRange, value: v})),
			"01 01" + goldenHead + "00 00 00 01  03 00 00 02 7676"},
		{"expire", goldenEntry(kindWrite, goldenWrite(0, nil, op{kind: opExpire, key: k, life: host.At, lifeValue: 5, cond: host.IfLater})),
			"01 01" + goldenHead + "00 00 00 01  04 1a 01 6b 00 0500000000000000"},
		{"touch", goldenEntry(kindWrite, goldenWrite(0, nil, op{kind: opGetTouch, key: k, life: host.TTL, lifeValue: 5})),
			"01 01" + goldenHead + "00 00 00 01  06 01 01 6b 00 0500000000000000"},
		{"take", goldenEntry(kindWrite, goldenWrite(0, nil, op{kind: opTake, key: k})), "01 01" + goldenHead + "00 00 00 01  07 00 01 6b 00"},
		{"add", goldenEntry(kindWrite, goldenWrite(0, nil, op{kind: opAdd, key: k, delta: -2})),
			"01 01" + goldenHead + "00 00 00 01  08 40 01 6b 00 feffffffffffffff"},
		{"swap", goldenEntry(kindWrite, goldenWrite(0, nil, op{kind: opSwap, key: k, value: v, old: []byte("o"), life: host.KeepTTL})),
			"01 01" + goldenHead + "00 00 00 01  09 23 01 6b 02 7676 0000000000000000 01 6f"},
		{"transaction", goldenEntry(kindWrite, goldenWrite(flagBatch, reads, op{kind: opBatchExpire, key: k, life: host.TTL, lifeValue: 1},
			op{kind: opDelete, key: v})),
			"01 01" + goldenHead + "01  02 01 6b ac02 01 78 00  01 01 61 01 62 01000000000000000000000000000010" +
				" 02  05 01 01 6b 00 0100000000000000  02 00 02 7676 00"},
		{"tick", goldenEntry(kindTick, nil), "01 02" + goldenHead},
		{"session", goldenEntry(kindOpenSession, []byte{1, 2, 3, 4, 5, 6, 7, 8}), "01 03" + goldenHead + "0102030405060708"},
		{"expire sessions", goldenEntry(kindExpireSessions, []byte{9, 0, 0, 0, 0, 0, 0, 0}), "01 04" + goldenHead + "0900000000000000"},
		{"pin", goldenEntry(kindPin, nil), "01 05" + goldenHead},
		{"report", goldenEntry(kindReport, reportEntry(true)[headerSize:]), "01 07" + goldenHead + "01"},
		{"calls", goldenEntry(kindCalls, appendCall(appendCall([]byte{2}, goldenEntry(kindWrite, put)), goldenEntry(kindWrite, put[:3]))),
			"01 06" + goldenHead + "02  1817161514131211 2221 3837363534333231 0b 000000 01 01 00 01 6b 02 7676" +
				"  1817161514131211 2221 3837363534333231 03 000000"},
	} {
		want := unhex(t, c.want)
		if !bytes.Equal(c.entry, want) {
			t.Errorf("%s:\n% x, want\n% x", c.name, c.entry, want)
		}
		h, body, err := decodeHeader(want)
		h.kind, want = 0, want[:headerSize:headerSize]
		if err != nil || h != goldenHeader {
			t.Errorf("%s: %+v, %v", c.name, h, err)
		}
		again := appendHeader(nil, &h)
		again[kindOffset] = want[kindOffset]
		switch entryKind(want[kindOffset]) {
		case kindWrite:
			in := reader{b: body}
			flags := in.byte()
			keys, ranges := in.reads()
			ops := make([]op, in.count())
			for i := range ops {
				in.op(&ops[i])
			}
			again = append(again, goldenWrite(flags, appendReads(nil, keys, ranges), ops...)...)
		case kindCalls:
			calls, err := decodeCalls(body, nil)
			must(t, err)
			again = binary.AppendUvarint(again, uint64(len(calls)))
			for _, c := range calls {
				one := appendHeader(nil, &header{session: c.session, slot: c.slot, sequence: c.sequence})
				again = appendCall(again, append(one, c.body...))
			}
			for n := range body {
				if calls, err := decodeCalls(body[:n], nil); err == nil {
					t.Errorf("%d bytes of %d are %d calls", n, len(body), len(calls))
				}
			}
		default:
			again = append(again, body...)
		}
		if !bytes.Equal(again, c.entry) {
			t.Errorf("%s is read as\n% x, and was\n% x", c.name, again, c.entry)
		}
	}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	must(t, err)
	return b
}

// TestGoldenRecords holds the records of the state to the bytes that they have in a database, and in every snapshot.
func TestGoldenRecords(t *testing.T) {
	for _, c := range []struct {
		record stateRecord
		want   string
	}{
		{stateRecord{index: 0x010203, term: 4, time: 5}, "0000000000010203 0000000000000004 0000000000000005"},
		{stateRecord{index: 0x010203, term: 4, time: 5, calls: 6}, "0100000000010203 0000000000000004 0000000000000005 00000006"},
	} {
		want := unhex(t, c.want)
		if got := c.record.append(nil); !bytes.Equal(got, want) {
			t.Errorf("% x, want % x", got, want)
		}
		got, rest, ok := decodeState(append(want, 'r'))
		if got != c.record || string(rest) != "r" || !ok {
			t.Errorf("%+v, %q, %v; want %+v", got, rest, ok, c.record)
		}
		for n := range want {
			if _, _, ok := decodeState(want[:n]); ok {
				t.Errorf("% x is a record", want[:n])
			}
		}
	}
	for _, bad := range []string{"0200000000010203 0000000000000004 0000000000000005 00000006",
		"0100000000010203 0000000000000004 0000000000000005 00000000"} {
		if s, _, ok := decodeState(unhex(t, bad)); ok {
			t.Errorf("%s is %+v", bad, s)
		}
	}
	r := result{code: codeCondition, found: true, at: 300, version: 400, deadline: -1, value: []byte("v")}
	if got, want := r.append(nil), unhex(t, "01 01 ac02 9003 01 76"); !bytes.Equal(got, want) {
		t.Errorf("% x, want % x", got, want)
	}
	order := []stateRecord{{index: 1}, {index: 2, calls: 1}, {index: 2, calls: 7}, {index: 2}, {index: 3, calls: 1}}
	for i := range order {
		for k := range order {
			if order[i].before(&order[k]) != (i < k) {
				t.Errorf("%+v before %+v: %v", order[i], order[k], i >= k)
			}
		}
	}
	id, name := appendSessionKey(nil, 0x0102), appendSlotKey(nil, 0x0102, 3)
	if own := strings.Repeat("ff", 17); hex.EncodeToString(id) != own+"680000000000000102" ||
		hex.EncodeToString(name) != own+"7300000000000001020003" {
		t.Errorf("keys %x, %x", id, name)
	}
}

// TestApplyAllocates counts what an entry of many puts allocates on each node, for each put.
func TestApplyAllocates(t *testing.T) {
	m := openTestMachine(t, t.TempDir())
	defer m.close(t)
	var index, sequence uint64
	apply := func(entry []byte) {
		index++
		setStamp(entry, int64(1000+index))
		m.ApplyBatch([]*raft.Log{{Index: index, Term: 1, Type: raft.LogCommand, Data: entry}})
		check(t, m.err())
	}
	apply(binary.LittleEndian.AppendUint64(appendHeader(nil, &header{kind: kindOpenSession}), 9))
	const calls = 64
	var entries [][]byte
	for range 60 {
		sequence++
		var writes [][]byte
		for i := range calls {
			writes = append(writes, one(op{kind: opPut, key: fmt.Appendf(nil, "key %d", i), value: make([]byte, 100)}))
		}
		entries = append(entries, callsOf(sequence, writes...))
	}
	n := 0
	each := testing.AllocsPerRun(len(entries)-1, func() { apply(entries[n]); n++ }) / calls
	t.Logf("%.2f allocations a put", each)
	if each > 0.25 {
		t.Errorf("%.2f allocations a put, no more than 0.25 are wanted", each)
	}
}
