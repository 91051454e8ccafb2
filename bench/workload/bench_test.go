package workload

import "testing"

// BenchmarkOperation is what the generators cost for one read, checked.
func BenchmarkOperation(b *testing.B) {
	values, err := NewValues(100, false, 1)
	if err != nil {
		b.Fatal(err)
	}
	mix := Core["a"]
	r, kinds, zipf, versions := NewRand(1, "a", 0), mix.Chooser(), NewScrambled(), NewVersions(1, 1_000_000)
	key := AppendKey(nil, 0)
	value := values.Append(nil, key, 1, 0)
	for b.Loop() {
		kinds.Next(r)
		n := zipf.Next(r, 1_000_000)
		key = AppendKey(key[:0], n)
		version, _, _ := values.Check(key, value, false)
		versions.Valid(n, versions.Floor(n), version)
	}
}

func BenchmarkZipfian(b *testing.B) {
	r, zipf := NewRand(1, "a", 0), NewScrambled()
	for b.Loop() {
		zipf.Next(r, 1_000_000)
	}
}

func BenchmarkKey(b *testing.B) {
	var key []byte
	for i := uint64(0); b.Loop(); i++ {
		key = AppendKey(key[:0], i)
	}
}

func BenchmarkCheck(b *testing.B) {
	values, err := NewValues(100, false, 1)
	if err != nil {
		b.Fatal(err)
	}
	key := AppendKey(nil, 0)
	value := values.Append(nil, key, 1, 0)
	for b.Loop() {
		values.Check(key, value, false)
	}
}
