package op_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/ebbdb/ebb/batch"
	"github.com/ebbdb/ebb/internal/op"
	"github.com/ebbdb/ebb/internal/op/optest"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
	"github.com/ebbdb/ebb/wal"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// all returns the operations of an entry.
func all(t testing.TB, e *wal.Entry) ([]op.Op, error) {
	t.Helper()
	var ops op.Ops
	if err := ops.Decode(e); err != nil {
		if ops.Len() != 0 || ops.Next() {
			t.Errorf("an operation beside the error %v", err)
		}
		return nil, err
	}
	n := ops.Len()
	var list []op.Op
	for ops.Next() {
		list = append(list, ops.Op)
	}
	if len(list) != n || ops.Next() {
		t.Errorf("%d operations, Len was %d", len(list), n)
	}
	if last := e.Seq + uint64(n) - 1; last != e.LastSeq() {
		t.Errorf("%d operations from %d on, LastSeq is %d", n, e.Seq, e.LastSeq())
	}
	return list, nil
}

func text(list []op.Op) string {
	var b strings.Builder
	for _, o := range list {
		fmt.Fprintf(&b, "%d@%d %q-%q=%q until %d of %d\n", o.Kind, o.Seq, o.Key, o.End, o.Value, o.Deadline, o.Version)
	}
	return b.String()
}

// schemas are those of batches in the log.
var schemas = []string{"operations", "expiries", "with ranges"}

// encoded returns a batch of a schema.
func encoded(t testing.TB, schema string) *wal.Entry {
	t.Helper()
	var c op.Encoder
	switch schema {
	case "expiries":
		check(t, c.BeginExpiries())
		check(t, c.Expired([]byte("k"), 1<<41+5, 1_750_000_000_000))
		check(t, c.Expired([]byte("l"), 1, 1))
	case "with ranges":
		check(t, c.BeginWithRanges())
		check(t, c.SetWriter(op.Writer{ID: 7, Sequence: 4}))
		check(t, c.Put([]byte("plain"), []byte("v"), 0))
		check(t, c.DeleteRange(nil, []byte("p")))
		check(t, c.Put([]byte("ttl"), []byte("w"), 1_750_000_000_000))
		check(t, c.DeleteRange([]byte("a"), []byte("ab")))
		check(t, c.Put([]byte("empty"), nil, math.MaxInt64))
		check(t, c.Delete([]byte("gone")))
	default:
		check(t, c.Begin())
		check(t, c.SetWriter(op.Writer{ID: 7, Sequence: 3}))
		check(t, c.Put([]byte("plain"), []byte("v"), 0))
		check(t, c.Put([]byte("ttl"), []byte("w"), 1_750_000_000_000))
		check(t, c.Put([]byte("empty"), nil, math.MaxInt64))
		check(t, c.Delete([]byte("gone")))
	}
	e := c.Entry()
	e.Seq = 100
	return &e
}

// The bytes of every schema, as logs on disks have them, and what they mean.
func TestGolden(t *testing.T) {
	for _, tc := range []struct {
		schema      string
		bytes, want string
	}{
		{"operations", "000000520017507029000100000000000000000700000003000000040000000905706c61696e0200760000000c0374746c0780b883a1f73277" +
			"0000001005656d70747909ffffffffffffffff7f0000000504676f6e65",
			"0@100 \"plain\"-\"\"=\"v\" until 0 of 0\n0@101 \"ttl\"-\"\"=\"w\" until 1750000000000 of 0\n" +
				"0@102 \"empty\"-\"\"=\"\" until 9223372036854775807 of 0\n1@103 \"gone\"-\"\"=\"\" until 0 of 0\n"},
		{"expiries", "0000003400d7e14afd000300ffffffffffffffffffffffff000000020000000f016b0c85808080804080b883a1f73200000005016c020101",
			"3@100 \"k\"-\"\"=\"\" until 1750000000000 of 2199023255557\n3@101 \"l\"-\"\"=\"\" until 1 of 1\n"},
		{"with ranges", "000000650003de5ac0000500000000000000000700000004000000060000000905706c61696e02017600000004000200700000000c0374746c0781b8" +
			"83a1f73277000000060161030061620000001105656d7074790a808080808080808080010000000504676f6e65",
			"0@100 \"plain\"-\"\"=\"v\" until 0 of 0\n2@101 \"\"-\"p\"=\"\" until 0 of 0\n" +
				"0@102 \"ttl\"-\"\"=\"w\" until 1750000000000 of 0\n2@103 \"a\"-\"ab\"=\"\" until 0 of 0\n" +
				"0@104 \"empty\"-\"\"=\"\" until 9223372036854775807 of 0\n1@105 \"gone\"-\"\"=\"\" until 0 of 0\n"},
	} {
		e := encoded(t, tc.schema)
		if got := hex.EncodeToString(e.Value); got != tc.bytes {
			t.Errorf("encoded\n got %s\nwant %s", got, tc.bytes)
		}
		list, err := all(t, e)
		if got := text(list); got != tc.want || err != nil {
			t.Errorf("decoded, error %v\n got %s\nwant %s", err, got, tc.want)
		}
	}
}

func TestWriter(t *testing.T) {
	var ops op.Ops
	check(t, ops.Decode(encoded(t, "with ranges")))
	if w, ok := ops.Writer(); !ok || w != (op.Writer{ID: 7, Sequence: 4}) {
		t.Errorf("with ranges: %+v, %v", w, ok)
	}
	check(t, ops.Decode(encoded(t, "operations")))
	if w, ok := ops.Writer(); !ok || w != (op.Writer{ID: 7, Sequence: 3}) {
		t.Errorf("%+v, %v", w, ok)
	}
	for _, e := range []*wal.Entry{encoded(t, "expiries"), {Kind: wal.KindPut, Key: []byte("k")}} {
		check(t, ops.Decode(e))
		if w, ok := ops.Writer(); ok {
			t.Errorf("%v has the writer %+v", e.Kind, w)
		}
	}
}

// No prefix of a batch and no batch with a bit flipped is read as operations, nor one that is followed by something.
func TestDamage(t *testing.T) {
	for _, schema := range schemas {
		whole := encoded(t, schema)
		refuse := func(what string, at int, b []byte) {
			t.Helper()
			if list, err := all(t, &wal.Entry{Kind: wal.KindBatch, Value: b, Ops: whole.Ops}); err == nil {
				t.Errorf("%s %d is read as\n%s", what, at, text(list))
			}
		}
		for i := range whole.Value {
			refuse("prefix", i, whole.Value[:i:i])
		}
		for i := range 8 * len(whole.Value) {
			b := bytes.Clone(whole.Value)
			b[i/8] ^= 1 << (i % 8)
			refuse("bit", i, b)
		}
		refuse("one byte more than", len(whole.Value), append(bytes.Clone(whole.Value), 0))
	}
}

// What is whole and follows the format of batches, but is no batch of a log.
func TestInvalid(t *testing.T) {
	build := func(schema int, writer int64, sequence int32, key string, value []byte) []byte {
		b, err := batch.NewBuilder(nil, schema, batch.MaxSize)
		check(t, err)
		check(t, b.SetWriter(writer, sequence))
		if value == nil {
			check(t, b.Delete([]byte(key)))
		} else {
			check(t, b.Put([]byte(key), value))
		}
		return b.Build()
	}
	const none, noSequence = batch.NoWriterID, batch.NoBatchSequence
	for _, end := range []string{"", "l", "m"} {
		if list, err := all(t, &wal.Entry{Kind: wal.KindRangeDelete, Key: []byte("m"), Value: []byte(end)}); err == nil {
			t.Errorf("a range from m to %q is read as\n%s", end, text(list))
		}
	}
	tooLong := []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01} // beyond an int64
	for _, c := range []struct {
		name string
		e    wal.Entry
	}{
		{"put without deadline", wal.Entry{Value: build(1, none, noSequence, "k", []byte{})}},
		{"put with half a deadline", wal.Entry{Value: build(1, none, noSequence, "k", []byte{0x80})}},
		{"put with a negative deadline", wal.Entry{Value: build(1, none, noSequence, "k", tooLong)}},
		{"put with an empty key", wal.Entry{Value: build(1, none, noSequence, "", []byte{0})}},
		{"delete with an empty key", wal.Entry{Value: build(1, none, noSequence, "", nil)}},
		{"expiry that is a delete", wal.Entry{Value: build(3, none, noSequence, "k", nil)}},
		{"expiry without deadline", wal.Entry{Value: build(3, none, noSequence, "k", []byte{1})}},
		{"expiry with half a deadline", wal.Entry{Value: build(3, none, noSequence, "k", []byte{1, 0x80})}},
		{"expiry with a negative one", wal.Entry{Value: build(3, none, noSequence, "k", append([]byte{1}, tooLong...))}},
		{"expiry with bytes behind", wal.Entry{Value: build(3, none, noSequence, "k", []byte{1, 1, 0})}},
		{"expiry with a writer", wal.Entry{Value: build(3, 1, 1, "k", []byte{1, 1})}},
		{"writer that is negative", wal.Entry{Value: build(1, -2, 1, "k", []byte{0})}},
		{"writer without sequence", wal.Entry{Value: build(1, 1, noSequence, "k", []byte{0})}},
		{"two operations that are one", wal.Entry{Value: build(1, none, noSequence, "k", []byte{0}), Ops: 2}},
		{"no operations", wal.Entry{Value: build(1, none, noSequence, "k", []byte{0}), Ops: -1}},
		{"schema of no batch", wal.Entry{Value: build(0, none, noSequence, "k", []byte{0})}},
		{"schema of tables", wal.Entry{Value: build(2, none, noSequence, "k", []byte{0, 0})}},
		{"schema of snapshot files", wal.Entry{Value: build(4, none, noSequence, "k", []byte{0, 0})}},
		{"range that ends where it begins", wal.Entry{Value: build(5, none, noSequence, "k", []byte("\x00k"))}},
		{"range of nothing", wal.Entry{Value: build(5, none, noSequence, "", []byte{0})}},
		{"put among ranges without deadline", wal.Entry{Value: build(5, none, noSequence, "k", []byte{})}},
		{"put among ranges with half a deadline", wal.Entry{Value: build(5, none, noSequence, "k", []byte{0x80})}},
		{"put among ranges with a negative deadline", wal.Entry{Value: build(5, none, noSequence, "k",
			[]byte{0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01})}},
		{"put among ranges with an empty key", wal.Entry{Value: build(5, none, noSequence, "", []byte{1})}},
		{"delete among ranges with an empty key", wal.Entry{Value: build(5, none, noSequence, "", nil)}},
		{"writer among ranges that is negative", wal.Entry{Value: build(5, -2, 1, "k", []byte{1})}},
		{"schema that nobody has yet", wal.Entry{Value: build(6, none, noSequence, "k", []byte{0, 0})}},
		{"schema that nobody has at all", wal.Entry{Value: build(batch.MaxSchemaID, none, noSequence, "k", []byte{0, 0})}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.e.Kind, c.e.Ops = wal.KindBatch, max(c.e.Ops, 1)
			if c.name == "no operations" {
				c.e.Ops = 0
			}
			if list, err := all(t, &c.e); err == nil {
				t.Errorf("%s is read as\n%s", c.name, text(list))
			}
		})
	}
}

// Misuse of an encoder leaves it as it was.
func TestEncoderRefuses(t *testing.T) {
	var c op.Encoder
	check(t, c.BeginExpiries())
	for i, err := range []error{c.Put([]byte("k"), nil, 0), c.Delete([]byte("k")), c.SetWriter(op.Writer{}), c.Expired(nil, 1, 1),
		c.Expired([]byte("k"), 1, -1), c.DeleteRange([]byte("a"), []byte("b"))} {
		if err == nil {
			t.Errorf("%d: nothing refused among expiries", i)
		}
	}
	check(t, c.Begin())
	for i, err := range []error{c.Expired([]byte("k"), 1, 1), c.Put(nil, nil, 0), c.Put([]byte("k"), nil, -1), c.Delete(nil),
		c.SetWriter(op.Writer{ID: -1}), c.DeleteRange([]byte("a"), []byte("b"))} {
		if err == nil {
			t.Errorf("%d: nothing refused among operations", i)
		}
	}
	check(t, c.BeginWithRanges())
	for i, err := range []error{c.Expired([]byte("k"), 1, 1), c.Put(nil, nil, 0), c.Put([]byte("k"), nil, -1), c.Delete(nil),
		c.DeleteRange([]byte("a"), []byte("a")), c.DeleteRange(nil, nil), c.SetWriter(op.Writer{ID: -1})} {
		if err == nil {
			t.Errorf("%d: nothing refused among ranges", i)
		}
	}
	if e := c.Entry(); e.Ops != 0 {
		t.Errorf("%d operations are left of misuse", e.Ops)
	}
}

// What is encoded is decoded, whatever it is.
func TestRoundTrip(t *testing.T) {
	var c op.Encoder
	rapid.Check(t, func(t *rapid.T) {
		schema := rapid.SampledFrom(schemas).Draw(t, "schema")
		first := rapid.Uint64Range(1, 1<<60).Draw(t, "seq")
		want := make([]op.Op, rapid.IntRange(1, 20).Draw(t, "operations"))
		begin := map[string]func() error{"operations": c.Begin, "expiries": c.BeginExpiries, "with ranges": c.BeginWithRanges}
		check2(t, begin[schema]())
		for i := range want {
			o := &want[i]
			o.Seq = first + uint64(i)
			o.Key = rapid.SliceOfN(rapid.Byte(), 1, 200).Draw(t, "key")
			switch {
			case schema == "expiries":
				o.Kind, o.Version, o.Deadline = op.Expired, rapid.Uint64().Draw(t, "version"), rapid.Int64Min(0).Draw(t, "deadline")
				check2(t, c.Expired(o.Key, o.Version, o.Deadline))
			case schema == "with ranges" && rapid.Bool().Draw(t, "range"):
				o.Kind, o.End = op.DeleteRange, append(bytes.Clone(o.Key), 0)
				if rapid.Bool().Draw(t, "from the first key") {
					o.Key = nil
				}
				check2(t, c.DeleteRange(o.Key, o.End))
			case rapid.Bool().Draw(t, "delete"):
				o.Kind = op.Delete
				check2(t, c.Delete(o.Key))
			default:
				o.Value, o.Deadline = rapid.SliceOf(rapid.Byte()).Draw(t, "value"), rapid.Int64Min(0).Draw(t, "deadline")
				check2(t, c.Put(o.Key, o.Value, o.Deadline))
			}
		}
		e := c.Entry()
		e.Seq = first
		var ops op.Ops
		check2(t, ops.Decode(&e))
		var got []op.Op
		for ops.Next() {
			got = append(got, ops.Op)
		}
		if text(got) != text(want) {
			t.Fatalf("got\n%s\nwant\n%s", text(got), text(want))
		}
	})
}

func check2(t *rapid.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Whatever kind of entry the log takes is decoded, and the examples that consumers are tested with have each of them, each
// schema and each kind of operation.
func TestEveryKind(t *testing.T) {
	log, err := wal.Open("log", &wal.Options{FS: vfstest.NewMem(), Sync: wal.SyncNever})
	check(t, err)
	defer log.Close()
	shown, did := make(map[wal.Kind]bool), make(map[op.Kind]bool)
	for _, e := range optest.Entries() {
		list, err := all(t, e)
		check(t, err)
		shown[e.Kind] = true
		for _, o := range list {
			did[o.Kind] = true
		}
	}
	for k := range wal.Kind(255) {
		e := wal.Entry{Kind: k, Key: []byte("a"), Value: []byte("b"), Ops: 1, Deadline: 1}
		taken := !errors.Is(log.Append(&e), wal.ErrInvalidEntry)
		_, err := all(t, &e)
		if known := !errors.Is(err, op.ErrUnknown); known != taken || shown[k] != taken {
			t.Errorf("kind %d: the log takes it: %v; it is known: %v; there is an example: %v", k, taken, known, shown[k])
		}
	}
	for k := range op.Kinds {
		if !did[k] {
			t.Errorf("no example has an operation of kind %d", k)
		}
	}
	if len(did) != int(op.Kinds) {
		t.Errorf("operations of %d kinds, there are %d", len(did), op.Kinds)
	}
}

// Neither way allocates.
func TestAllocations(t *testing.T) {
	var c op.Encoder
	key, value := []byte("key"), bytes.Repeat([]byte("v"), 100)
	var failed error
	var n int
	var ops op.Ops
	encode := func() {
		failed = errors.Join(failed, c.Begin())
		for range 100 {
			failed = errors.Join(failed, c.Put(key, value, 1<<40), c.Delete(key))
		}
		e := c.Entry()
		failed = errors.Join(failed, ops.Decode(&e))
		for ops.Next() {
			n += len(ops.Op.Value)
		}
		failed = errors.Join(failed, c.BeginWithRanges())
		for range 100 {
			failed = errors.Join(failed, c.Put(key, value, 1<<40), c.DeleteRange(key, value), c.Delete(key))
		}
		e = c.Entry()
		failed = errors.Join(failed, ops.Decode(&e))
		for ops.Next() {
			n += len(ops.Op.Value)
		}
		failed = errors.Join(failed, c.BeginExpiries())
		for range 100 {
			failed = errors.Join(failed, c.Expired(key, 1<<40, 1<<40))
		}
		e = c.Entry()
		failed = errors.Join(failed, ops.Decode(&e))
		for ops.Next() {
			n += int(ops.Op.Version >> 40)
		}
	}
	if a := testing.AllocsPerRun(10, encode); a != 0 {
		t.Errorf("%g allocations for 600 operations", a)
	}
	check(t, failed)
	if n != 11*(2*100*100+100) {
		t.Errorf("read %d", n)
	}
}
