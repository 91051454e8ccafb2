package codec_test

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/ebbdb/ebb/codec"
)

// Version is a key of three parts, and a struct.
type Version struct {
	Package      string
	Major, Minor int64
}

// The key of a struct is that of its parts, nested to the right.
func ExampleConvert() {
	type parts = codec.Pair[string, codec.Pair[int64, int64]]
	key := codec.Convert(
		codec.PairOf(codec.String(), codec.PairOf(codec.Int64(), codec.Int64())),
		func(v Version) parts { return codec.MakePair(v.Package, codec.MakePair(v.Major, v.Minor)) },
		func(p parts) (Version, error) { return Version{p.First, p.Second.First, p.Second.Second}, nil },
	)

	var encoded [][]byte
	for _, v := range []Version{{"go", 1, 10}, {"gofmt", 0, 1}, {"go", 1, 9}, {"go", -1, 0}} {
		b, err := key.Append(nil, v)
		if err != nil {
			panic(err)
		}
		encoded = append(encoded, b)
	}
	slices.SortFunc(encoded, bytes.Compare)
	for _, b := range encoded {
		fmt.Println(key.Decode(b))
	}
	// Output:
	// {go -1 0} <nil>
	// {go 1 9} <nil>
	// {go 1 10} <nil>
	// {gofmt 0 1} <nil>
}

// The keys of one user begin alike, whoever else has a name that begins so.
func ExamplePairKey_First() {
	visits := codec.PairOf(codec.String(), codec.Int64())
	alice, err := visits.First("alice").Append(nil)
	if err != nil {
		panic(err)
	}
	for _, visit := range []codec.Pair[string, int64]{codec.MakePair("alice", int64(7)), codec.MakePair("alice2", int64(7))} {
		key, err := visits.Append(nil, visit)
		if err != nil {
			panic(err)
		}
		fmt.Println(visit.First, bytes.HasPrefix(key, alice))
	}
	// Output:
	// alice true
	// alice2 false
}
