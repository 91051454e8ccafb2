package codec_test

import (
	"cmp"
	"strings"
	"testing"

	"github.com/ebbdb/ebb/codec"
)

// FuzzDecode: no bytes make a key codec panic, and what decodes is the encoding of what it decodes to.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{
		"", "a", "\x00", "12345678", "123456789012", "a\x00\xffb\x00\x00c", "\x00\xff\x00\xff\x00\x00",
	} {
		f.Add([]byte(s))
	}
	text := codec.String()
	f.Fuzz(func(t *testing.T, src []byte) {
		canonical(t, text, src)
		canonical(t, codec.Bytes(), src)
		canonical(t, codec.Uint64(), src)
		canonical(t, codec.Int64(), src)
		canonical(t, codec.Float64(), src)
		canonical(t, codec.Bool(), src)
		canonical(t, codec.Time(), src)
		canonical(t, eventKey(), src)
		canonical(t, codec.PairOf(text, text), src)
		canonical(t, codec.PairOf(codec.PairOf(text, codec.Float64()), text), src)
		canonical(t, codec.PairOf(codec.PairOf(codec.Bool(), codec.Int64()), text), src)
	})
}

func canonical[T any](t *testing.T, key codec.Key[T], src []byte) {
	t.Helper()
	v, err := key.Decode(src)
	if err != nil {
		return
	}
	if again := encode(t, key, v); string(again) != string(src) {
		t.Fatalf("%q decodes to %v, which is %q", src, v, again)
	}
}

// FuzzOrder: TestOrder for bytes that a fuzzer finds.
func FuzzOrder(f *testing.F) {
	f.Add("a", "b", int64(1), "a\x00", "", int64(-1))
	f.Add("", "\x00", int64(0), "\x00", "", int64(0))
	f.Add("a\xff", "", int64(0), "a", "\xff", int64(0))
	text := codec.String()
	key := codec.PairOf(text, codec.PairOf(text, codec.Int64()))
	type parts = codec.Pair[string, codec.Pair[string, int64]]
	compare := func(p, q parts) int {
		return cmp.Or(strings.Compare(p.First, q.First), strings.Compare(p.Second.First, q.Second.First),
			cmp.Compare(p.Second.Second, q.Second.Second))
	}
	f.Fuzz(func(t *testing.T, a1, a2 string, a3 int64, b1, b2 string, b3 int64) {
		a := parts{First: a1, Second: codec.Pair[string, int64]{First: a2, Second: a3}}
		b := parts{First: b1, Second: codec.Pair[string, int64]{First: b2, Second: b3}}
		checkOrder(t, key, compare, a, b)
		checkOrder(t, text, strings.Compare, a1, b1)
	})
}
