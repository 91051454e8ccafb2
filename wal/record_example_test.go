package wal_test

import (
	"errors"
	"fmt"

	"github.com/ebbdb/ebb/wal"
)

// Records are self-delimiting: append one after the other, and read them back the same way.
func ExampleDecodeRecord() {
	var file []byte
	for _, r := range []wal.Record{
		{Key: []byte("user:1"), Value: []byte("alice")},
		{Key: []byte("session:abc"), Value: []byte("data"), HasTTL: true, TTL: 3600000},
		{Key: []byte("user:1"), Tombstone: true},
	} {
		var err error
		if file, err = wal.AppendRecord(file, &r); err != nil {
			fmt.Println(err)
			return
		}
	}

	torn := file[:len(file)-2]
	for offset := 0; offset < len(torn); {
		r, n, err := wal.DecodeRecord(torn[offset:])
		if errors.Is(err, wal.ErrIncomplete) {
			fmt.Printf("torn at %d\n", offset)
			return
		}
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%d bytes: %s = %s, TTL %d ms\n", n, r.Key, r.Value, r.TTL)
		offset += n
	}
	// Output:
	// 18 bytes: user:1 = alice, TTL 0 ms
	// 26 bytes: session:abc = data, TTL 3600000 ms
	// torn at 44
}

func ExampleAppendRecord() {
	encoded, err := wal.AppendRecord(nil, &wal.Record{Key: []byte("user:1"), Value: []byte("alice")})
	fmt.Printf("% x %v\n", encoded, err)
	// Output: 06 05 00 75 73 65 72 3a 31 61 6c 69 63 65 25 16 ed e1 <nil>
}
