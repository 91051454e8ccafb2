package codec_test

import (
	"bytes"
	"cmp"
	"errors"
	"math"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ebbdb/ebb/codec"
)

// event is a key of three parts, for a struct.
type event struct {
	user string
	at   time.Time
	n    int64
}

type eventParts = codec.Pair[string, codec.Pair[time.Time, int64]]

func eventKey() codec.Key[event] {
	return codec.Convert(
		codec.PairOf(codec.String(), codec.PairOf(codec.Time(), codec.Int64())),
		func(e event) eventParts {
			return eventParts{First: e.user, Second: codec.Pair[time.Time, int64]{First: e.at, Second: e.n}}
		},
		func(p eventParts) (event, error) { return event{p.First, p.Second.First, p.Second.Second}, nil },
	)
}

func (a event) compare(b event) int {
	return cmp.Or(strings.Compare(a.user, b.user), a.at.Compare(b.at), cmp.Compare(a.n, b.n))
}

// encode returns the encoding of v behind bytes that are there already.
func encode[T any](t failer, c codec.Value[T], v T) []byte {
	const before = "\x00a\x00"
	out, err := c.Append([]byte(before), v)
	if err != nil {
		t.Fatalf("encode %v: %v", v, err)
	}
	if !bytes.HasPrefix(out, []byte(before)) {
		t.Fatalf("encode %v: what was there before is now %q", v, out)
	}
	return out[len(before):]
}

// TestGolden holds the encodings as they are on disk.
func TestGolden(t *testing.T) {
	golden(t, codec.String(), "a\x00é", "a\x00\xc3\xa9")
	golden(t, codec.String(), "", "")
	golden(t, codec.Bytes(), []byte{0, 255}, "\x00\xff")
	golden(t, codec.Uint64(), 0x0102030405060708, "\x01\x02\x03\x04\x05\x06\x07\x08")
	golden(t, codec.Int64(), 1, "\x80\x00\x00\x00\x00\x00\x00\x01")
	golden(t, codec.Int64(), -1, "\x7f\xff\xff\xff\xff\xff\xff\xff")
	golden(t, codec.Int64(), math.MinInt64, "\x00\x00\x00\x00\x00\x00\x00\x00")
	golden(t, codec.Float64(), 1.5, "\xbf\xf8\x00\x00\x00\x00\x00\x00")
	golden(t, codec.Float64(), -1.5, "\x40\x07\xff\xff\xff\xff\xff\xff")
	golden(t, codec.Float64(), math.Copysign(0, -1), "\x80\x00\x00\x00\x00\x00\x00\x00")
	golden(t, codec.Float64(), math.NaN(), "\x00\x00\x00\x00\x00\x00\x00\x00")
	golden(t, codec.Float64(), math.Inf(-1), "\x00\x0f\xff\xff\xff\xff\xff\xff")
	golden(t, codec.Float64(), math.Inf(1), "\xff\xf0\x00\x00\x00\x00\x00\x00")
	golden(t, codec.Bool(), false, "\x00")
	golden(t, codec.Bool(), true, "\x01")
	golden(t, codec.Time(), time.Time{}, "\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	golden(t, codec.Time(), time.Unix(0, 258), "\x80\x00\x00\x0e\x77\x91\xf7\x00\x00\x00\x01\x02")
	golden(t, codec.PairOf(codec.String(), codec.String()), codec.MakePair("a\x00b", "c\x00"),
		"a\x00\xffb\x00\x00c\x00")
	golden(t, codec.PairOf(codec.Bool(), codec.String()), codec.Pair[bool, string]{Second: "c"}, "\x00c")
	golden(t, eventKey(), event{"u", time.Time{}, 0},
		"u\x00\x00\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x00\x00\x00\x00\x00\x00\x00")
	golden(t, codec.Counter(), 0, "0")
	golden(t, codec.Counter(), math.MinInt64, "-9223372036854775808")
	golden(t, codec.JSON[map[string]int](), map[string]int{"b": 1, "a": 2}, `{"a":2,"b":1}`)
	golden(t, codec.Binary[url.URL](), url.URL{Scheme: "http", Host: "h"}, "http://h")
}

func golden[T any](t *testing.T, c codec.Value[T], v T, want string) {
	t.Helper()
	if got := encode(t, c, v); string(got) != want {
		t.Errorf("%T %v is %q, want %q", v, v, got, want)
	}
	got, err := c.Decode([]byte(want))
	if err != nil {
		t.Errorf("%T %q: %v", v, want, err)
	}
	if again := encode(t, c, got); string(again) != want {
		t.Errorf("%q decodes to %v, which encodes to %q", want, got, again)
	}
}

// TestInvalid: what no codec makes is refused.
func TestInvalid(t *testing.T) {
	strs := codec.PairOf(codec.String(), codec.String())
	invalid(t, codec.Uint64(), "", "1234567", "123456789")
	invalid(t, codec.Int64(), "", "1234567", "123456789")
	invalid(t, codec.Float64(), "", "1234567", "123456789", // another NaN below, another above, and -0
		"\x00\x00\x00\x00\x00\x00\x00\x01", "\xff\xf8\x00\x00\x00\x00\x00\x00", "\x7f\xff\xff\xff\xff\xff\xff\xff")
	invalid(t, codec.Bool(), "", "\x02", "\x00\x00")
	invalid(t, codec.Time(), "", "12345678901", "1234567890123", "12345678\x3b\x9a\xca\x00")
	invalid(t, strs, "", "a", "a\x00", "a\x00\x01b", "\x00\xff", "a\x00\xff\x00")
	invalid(t, codec.PairOf(codec.Uint64(), codec.String()), "", "1234567")
	invalid(t, codec.PairOf(codec.String(), codec.Bool()), "a\x00\x00", "a\x00\x00\x02")
	invalid(t, codec.PairOf(codec.Bool(), codec.Bool()), "\x00", "\x02\x00", "\x00\x00\x00")
	invalid(t, eventKey(), "", "u\x00\x00")
}

func invalid[T any](t *testing.T, key codec.Key[T], encodings ...string) {
	t.Helper()
	for _, s := range encodings {
		if v, err := key.Decode([]byte(s)); !errors.Is(err, codec.ErrInvalid) {
			t.Errorf("%T: %q decodes to %v, %v", v, s, v, err)
		}
	}
}

// TestValueErrors: the errors of marshaling come through, without half of a value.
func TestValueErrors(t *testing.T) {
	for _, text := range []string{"", "x", "1 ", "1.0", "9223372036854775808", "000000000000000000001"} {
		if v, err := codec.Counter().Decode([]byte(text)); !errors.Is(err, codec.ErrInvalid) {
			t.Errorf("the counter %q decodes to %d, %v", text, v, err)
		}
	}
	if _, err := codec.JSON[func()]().Append(nil, nil); err == nil {
		t.Error("a function has been encoded")
	}
	type pair struct{ A, B int }
	if v, err := codec.JSON[pair]().Decode([]byte(`{"A":1,"B":"x"}`)); err == nil || v != (pair{}) {
		t.Errorf("got %v, %v", v, err)
	}
	if v, err := codec.JSON[pair]().Decode(nil); err == nil {
		t.Errorf("nothing decodes to %v", v)
	}
	if v, err := codec.Binary[time.Time]().Decode([]byte("junk")); err == nil || !v.IsZero() {
		t.Errorf("got %v, %v", v, err)
	}
}

// TestDecodeKeepsNothing: what is decoded does not change with the bytes it came from.
func TestDecodeKeepsNothing(t *testing.T) {
	src := []byte("a\x00\x00b")
	b, err := codec.Bytes().Decode(src)
	p, err2 := codec.PairOf(codec.Bytes(), codec.Bytes()).Decode(src)
	clear(src)
	if err != nil || err2 != nil || string(b) != "a\x00\x00b" || string(p.First) != "a" || string(p.Second) != "b" {
		t.Errorf("got %q, %v and %q, %v", b, err, p, err2)
	}
}

// TestAllocations: keys encode into the room there is, and numbers decode without any.
func TestAllocations(t *testing.T) {
	buf := make([]byte, 0, 100)
	text, number, both := codec.String(), codec.Int64(), codec.PairOf(codec.String(), codec.Float64())
	n := testing.AllocsPerRun(1000, func() {
		buf, _ = text.Append(buf[:0], "text")
		buf, _ = both.Append(buf[:0], codec.Pair[string, float64]{First: "a\x00b", Second: 1})
		buf, _ = number.Append(buf[:0], 7)
		if v, err := number.Decode(buf); v != 7 || err != nil {
			t.Errorf("got %d, %v", v, err)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}
