package op_test

import (
	"encoding/binary"
	"hash/crc32"
	"slices"
	"testing"

	"github.com/ebbdb/ebb/batch"
	"github.com/ebbdb/ebb/internal/op"
	"github.com/ebbdb/ebb/internal/op/optest"
	"github.com/ebbdb/ebb/wal"
)

// FuzzDecode decodes arbitrary bytes as a batch, once as they are and once with the checksum put right.
func FuzzDecode(f *testing.F) {
	for _, e := range optest.Entries() {
		if e.Kind == wal.KindBatch {
			f.Add(e.Ops, e.Value)
		}
	}
	f.Fuzz(func(t *testing.T, n int, src []byte) {
		checkDecode(t, n, src)
		if len(src) >= batch.HeaderSize {
			b := append([]byte(nil), src...)
			binary.BigEndian.PutUint32(b, uint32(len(b)-4))
			b[4] = 0
			binary.BigEndian.PutUint32(b[5:], crc32.Checksum(b[9:], crc32.MakeTable(crc32.Castagnoli)))
			checkDecode(t, int(binary.BigEndian.Uint32(b[24:])), b)
		}
	})
}

// checkDecode decodes, and if that works checks the promises of Decode and that the operations can be encoded again.
func checkDecode(t *testing.T, n int, src []byte) {
	e := &wal.Entry{Kind: wal.KindBatch, Ops: n, Value: src, Seq: 1}
	list, err := all(t, e)
	if err != nil {
		return
	}
	var c op.Encoder
	begin := c.Begin
	if list[0].Kind == op.Expired {
		begin = c.BeginExpiries
	} else if slices.ContainsFunc(list, func(o op.Op) bool { return o.Kind == op.DeleteRange }) {
		begin = c.BeginWithRanges
	}
	check(t, begin())
	for i, o := range list {
		if o.Seq != uint64(i+1) || len(o.Key) == 0 && o.Kind != op.DeleteRange {
			t.Errorf("operation %d: sequence %d, key %q", i, o.Seq, o.Key)
		}
		switch o.Kind {
		case op.Put:
			check(t, c.Put(o.Key, o.Value, o.Deadline))
		case op.Delete:
			check(t, c.Delete(o.Key))
		case op.DeleteRange:
			check(t, c.DeleteRange(o.Key, o.End))
		case op.Expired:
			check(t, c.Expired(o.Key, o.Version, o.Deadline))
		default:
			t.Errorf("operation %d is of kind %d", i, o.Kind)
		}
	}
	again := c.Entry()
	again.Seq = 1
	if got, err := all(t, &again); err != nil || text(got) != text(list) {
		t.Errorf("encoded again, error %v\n got %s\nwant %s", err, text(got), text(list))
	}
}
