package batch_test

import (
	"fmt"

	"github.com/ebbdb/ebb/batch"
)

// Two batches, one after the other, are written and read back.
func Example() {
	builder, err := batch.NewBuilder(nil, 1, 4096)
	if err != nil {
		fmt.Println(err)
		return
	}
	var stream []byte
	for sequence := range int32(2) {
		if err := builder.SetWriter(100, sequence); err != nil {
			fmt.Println(err)
			return
		}
		if err := builder.Put(fmt.Appendf(nil, "key%d", sequence), []byte("header:"), []byte("value")); err != nil {
			fmt.Println(err) // ErrFull means: build, reset, and put it again
			return
		}
		if err := builder.Delete([]byte("old")); err != nil {
			fmt.Println(err)
			return
		}
		stream = append(stream, builder.Build()...)
		if err := builder.Reset(1); err != nil {
			fmt.Println(err)
			return
		}
	}

	for len(stream) > 0 {
		b, n, err := batch.Decode(stream)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("batch %d of writer %d: %d records, %d bytes\n", b.BatchSequence, b.WriterID, b.Count, n)
		it := b.Records()
		for it.Next() {
			if it.Record.Delete {
				fmt.Printf("  delete %s\n", it.Record.Key)
			} else {
				fmt.Printf("  put %s = %s\n", it.Record.Key, it.Record.Value)
			}
		}
		stream = stream[n:]
	}
	// Output:
	// batch 0 of writer 100: 2 records, 58 bytes
	//   put key0 = header:value
	//   delete old
	// batch 1 of writer 100: 2 records, 58 bytes
	//   put key1 = header:value
	//   delete old
}
