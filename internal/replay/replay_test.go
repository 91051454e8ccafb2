package replay

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/ebbdb/ebb/wal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Every entry is applied once, in order and whole, whatever the sizes of entries and batches, though the reader uses its memory
// again; after an error none is, the reader learns of it, and nothing keeps running.
func TestPipe(t *testing.T) {
	wrong := errors.New("wrong")
	for _, size := range []int{1, 40, 1000, 0} {
		for _, fails := range []int{-1, 0, 5, 999, 19_999} {
			t.Run(fmt.Sprint("batches of ", size, ", fails at ", fails), func(t *testing.T) {
				next := 0
				p := New(size, func(e *wal.Entry) error {
					if key, value := entry(next); string(e.Key) != key || string(e.Value) != value || e.Seq != uint64(next) {
						return fmt.Errorf("entry %d is %s, %.20s, %d", next, e.Key, e.Value, e.Seq)
					}
					if next == fails {
						return wrong
					}
					next++
					return nil
				})
				var err error
				var key, value []byte
				for i := 0; i < 20_000 && err == nil; i++ {
					k, v := entry(i)
					key, value = append(key[:0], k...), append(value[:0], v...)
					err = p.Entry(&wal.Entry{Key: key, Value: value, Seq: uint64(i)})
					if i%7777 == 0 && err == nil {
						if err = p.Applied(); err == nil && next != i+1 {
							t.Fatalf("%d of %d are applied", next, i+1)
						}
					}
				}
				last := p.Finish()
				if fails < 0 && (err != nil || last != nil || next != 20_000) || fails >= 0 && (last != wrong || next != fails) {
					t.Errorf("%v, %v, %d applied", err, last, next)
				}
			})
		}
	}
}

// entry returns key and value of an entry.
func entry(i int) (key, value string) {
	if i%1000 == 999 {
		return fmt.Sprint("large", i), strings.Repeat("x", i*10)
	}
	return fmt.Sprint(i), strings.Repeat("v", i%50)
}
