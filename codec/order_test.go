package codec_test

import (
	"bytes"
	"cmp"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/ebbdb/ebb/codec"
)

var intEnds = []int64{math.MinInt64, math.MaxInt64}

// Parts of which generators make keys: those where an encoding could go wrong are frequent.
var (
	someBytes = rapid.SliceOfN(rapid.OneOf(rapid.SampledFrom([]byte{0, 1, 2, 0xfe, 0xff, 'a'}), rapid.Byte()), 0, 6)
	someText  = rapid.Map(someBytes, func(b []byte) string { return string(b) })
	someInt   = rapid.OneOf(rapid.Int64(), rapid.Int64Range(-2, 2), rapid.SampledFrom(intEnds))
	someUint  = rapid.Map(someInt, func(i int64) uint64 { return uint64(i) })
	someFloat = rapid.OneOf(rapid.Map(someUint, math.Float64frombits), rapid.Float64(), rapid.SampledFrom([]float64{
		0, math.Copysign(0, -1), math.Inf(1), math.Inf(-1), math.NaN(), math.Copysign(math.NaN(), -1),
		math.SmallestNonzeroFloat64, -math.SmallestNonzeroFloat64, math.MaxFloat64, -math.MaxFloat64,
	}))
	someTime = rapid.Custom(func(t *rapid.T) time.Time {
		sec := rapid.OneOf(someInt, rapid.Int64Range(-62135596802, -62135596798)).Draw(t, "seconds")
		return time.Unix(sec, rapid.OneOf(rapid.Int64Range(0, 2), rapid.Int64Range(0, 1e9-1)).Draw(t, "nanoseconds"))
	})
	someEvent = rapid.Custom(func(t *rapid.T) event {
		return event{someText.Draw(t, "user"), someTime.Draw(t, "at"), someInt.Draw(t, "n")}
	})
)

// TestOrder: the encodings of two keys compare as the keys do, and decode to them.
func TestOrder(t *testing.T) {
	t.Run("string", ordered(codec.String(), someText, strings.Compare))
	t.Run("bytes", ordered(codec.Bytes(), someBytes, bytes.Compare))
	t.Run("uint64", ordered(codec.Uint64(), someUint, cmp.Compare))
	t.Run("int64", ordered(codec.Int64(), someInt, cmp.Compare))
	t.Run("float64", ordered(codec.Float64(), someFloat, cmp.Compare))
	t.Run("bool", ordered(codec.Bool(), rapid.Bool(), compareBools))
	t.Run("time", ordered(codec.Time(), someTime, time.Time.Compare))
	t.Run("struct", ordered(eventKey(), someEvent, event.compare))
	t.Run("strings", ordered(pairs(codec.String(), someText, strings.Compare, codec.String(), someText, strings.Compare)))
	t.Run("int and bytes", ordered(pairs(codec.Int64(), someInt, cmp.Compare, codec.Bytes(), someBytes, bytes.Compare)))
	k, g, c := pairs(codec.String(), someText, strings.Compare, codec.Float64(), someFloat, cmp.Compare)
	t.Run("nested left", ordered(pairs(k, g, c, codec.String(), someText, strings.Compare)))
	t.Run("nested right", ordered(pairs(codec.Bytes(), someBytes, bytes.Compare, k, g, c)))
	fixed, someFixed, compareFixed := pairs(codec.Int64(), someInt, cmp.Compare, codec.Bool(), rapid.Bool(), compareBools)
	t.Run("nested fixed", ordered(pairs(fixed, someFixed, compareFixed, codec.Time(), someTime, time.Time.Compare)))
}

func ordered[T any](key codec.Key[T], gen *rapid.Generator[T], compare func(a, b T) int) func(*testing.T) {
	return func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) {
			checkOrder(t, key, compare, gen.Draw(t, "a"), gen.Draw(t, "b"))
		})
	}
}

type failer interface{ Fatalf(string, ...any) }

func checkOrder[T any](t failer, key codec.Key[T], compare func(a, b T) int, a, b T) {
	x, y := encode(t, key, a), encode(t, key, b)
	if got, want := bytes.Compare(x, y), compare(a, b); got != want {
		t.Fatalf("%v and %v compare as %d, but %q and %q as %d", a, b, want, x, y, got)
	}
	if w := key.Width(); w != 0 && len(x) != w {
		t.Fatalf("%v takes %d bytes instead of %d", a, len(x), w)
	}
	if back, err := key.Decode(x); err != nil || compare(back, a) != 0 {
		t.Fatalf("%v is %q, which decodes to %v, %v", a, x, back, err)
	}
}

// pairs makes of what ordered takes for two keys what it takes for their pair.
func pairs[A, B any](
	a codec.Key[A], genA *rapid.Generator[A], compareA func(a, b A) int,
	b codec.Key[B], genB *rapid.Generator[B], compareB func(a, b B) int,
) (codec.Key[codec.Pair[A, B]], *rapid.Generator[codec.Pair[A, B]], func(p, q codec.Pair[A, B]) int) {
	gen := rapid.Custom(func(t *rapid.T) codec.Pair[A, B] {
		return codec.Pair[A, B]{First: genA.Draw(t, "first"), Second: genB.Draw(t, "second")}
	})
	return codec.PairOf(a, b), gen, func(p, q codec.Pair[A, B]) int {
		return cmp.Or(compareA(p.First, q.First), compareB(p.Second, q.Second))
	}
}

func compareBools(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// TestFirst: the encodings of the pairs with a first part, and of no others, begin with its prefix.
func TestFirst(t *testing.T) {
	t.Run("delimited", firstOf(codec.String(), someText, codec.Bytes(), someBytes))
	t.Run("fixed", firstOf(codec.Int64(), someInt, codec.Bytes(), someBytes))
	both := codec.PairOf(codec.String(), codec.Bool())
	t.Run("a pair", firstOf(both, rapid.Map(someText, func(s string) codec.Pair[string, bool] {
		return codec.MakePair(s[len(s)/2:], len(s)%2 == 0)
	}), codec.String(), someText))
}

func firstOf[A comparable, B any](a codec.Key[A], someA *rapid.Generator[A], b codec.Key[B],
	someB *rapid.Generator[B]) func(*testing.T) {
	key := codec.PairOf(a, b)
	return func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) {
			x, y := someA.Draw(t, "first"), someA.Draw(t, "first of the prefix")
			if rapid.Bool().Draw(t, "the same") {
				y = x
			}
			data, err := key.First(y).Append([]byte("before"))
			if err != nil {
				t.Fatal(err)
			}
			pair := encode(t, key, codec.MakePair(x, someB.Draw(t, "second")))
			if has := bytes.HasPrefix(append([]byte("before"), pair...), data); has != (x == y) {
				t.Fatalf("%q begins with %q: %t", pair, data, has)
			}
		})
	}
}

// TestFirstThen: the prefix of two parts of three, and the error of a part that cannot be encoded.
func TestFirstThen(t *testing.T) {
	rest := codec.PairOf(codec.Time(), codec.Int64())
	key := codec.PairOf(codec.String(), rest)
	at := time.Unix(0, 258)
	got, err := key.First("u").Then(rest.First(at)).Append(nil)
	whole := encode(t, key, codec.MakePair("u", codec.MakePair(at, int64(7))))
	if err != nil || string(got) != string(whole[:len(whole)-8]) {
		t.Errorf("%q, %v of %q", got, err, whole)
	}
	if got, err := (codec.Prefix{}).Then(key.First("u")).Append(nil); string(got) != "u\x00\x00" || err != nil {
		t.Errorf("of nothing: %q, %v", got, err)
	}
	refuse := errors.New("refused")
	bad := codec.PairOf(refusing{codec.String(), refuse}, rest)
	for _, p := range []codec.Prefix{bad.First("x"), bad.First("x").Then(rest.First(at)), key.First("u").Then(bad.First("x"))} {
		if _, err := p.Append(nil); err != refuse {
			t.Errorf("got %v", err)
		}
	}
}

// refusing is a codec that encodes nothing.
type refusing struct {
	codec.Key[string]
	err error
}

func (r refusing) Append(dst []byte, _ string) ([]byte, error) { return dst, r.err }
