package workload

import (
	"bytes"
	"compress/flate"
	"fmt"
	"math"
	"testing"
)

func TestKeys(t *testing.T) {
	seen := map[string]bool{}
	for n := range uint64(100_000) {
		key := AppendKey(nil, n)
		if len(key) != KeySize || seen[string(key)] {
			t.Fatalf("record %d has the key %s", n, key)
		}
		seen[string(key)] = true
	}
	for _, n := range []uint64{0, 9, 10, 99_999_999, 100_000_000, 1e16 - 1, 1e16, 1234567890123456789, math.MaxUint64} {
		if got, want := string(AppendNumber([]byte("x"), n)), fmt.Sprintf("x%020d", n); got != want {
			t.Errorf("%s, not %s", got, want)
		}
	}
}

func TestValues(t *testing.T) {
	for _, size := range []int{MinValue, 100, 16 << 10, MaxValue} {
		v, err := NewValues(size, false, 1)
		if err != nil {
			t.Fatal(err)
		}
		for version := range uint64(100) {
			key := AppendKey(nil, version)
			value := v.Append(nil, key, version, 12345)
			if n, deadline, ok := v.Check(key, value, true); !ok || n != version || deadline != 12345 || len(value) != size {
				t.Fatalf("size %d: a value of %d bytes is version %d, deadline %d, %v", size, len(value), n, deadline, ok)
			}
			if _, _, ok := v.Check(AppendKey(nil, version+1), value, false); ok {
				t.Fatalf("size %d: a value is another key's", size)
			}
		}
	}
	for _, size := range []int{0, MinValue - 1, MaxValue + 1} {
		if _, err := NewValues(size, false, 1); err == nil {
			t.Errorf("values of %d bytes", size)
		}
	}
}

// TestDamagedValues changes every byte of a value, and cuts it everywhere.
func TestDamagedValues(t *testing.T) {
	v, err := NewValues(100, true, 1)
	if err != nil {
		t.Fatal(err)
	}
	key := AppendKey(nil, 1)
	value := v.Append(nil, key, 7, 0)
	for i := range value {
		value[i]++
		if _, _, ok := v.Check(key, value, true); ok {
			t.Errorf("byte %d is not looked at", i)
		}
		value[i]--
		if _, _, ok := v.Check(key, value[:i], false); ok {
			t.Errorf("a value of %d bytes", i)
		}
	}
}

func TestCompressibility(t *testing.T) {
	for _, random := range []bool{false, true} {
		v, err := NewValues(1000, random, 1)
		if err != nil {
			t.Fatal(err)
		}
		var block []byte
		for n := range uint64(30) {
			block = v.Append(block, AppendKey(nil, n), 1, 0)
		}
		var out bytes.Buffer
		w, err := flate.NewWriter(&out, flate.BestSpeed)
		if err != nil {
			t.Fatal(err)
		}
		w.Write(block)
		w.Close()
		ratio := float64(out.Len()) / float64(len(block))
		if random && ratio < .95 || !random && (ratio < .45 || ratio > .65) {
			t.Errorf("random %v: compressed to %.2f", random, ratio)
		}
	}
}
