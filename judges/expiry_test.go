package judges

import (
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alexedwards/scs/badgerstore"
	"github.com/alexedwards/scs/boltstore"
	"github.com/alexedwards/scs/v2"
	badgerv1 "github.com/dgraph-io/badger"
	"github.com/ebbdb/ebb"
	fiberstorage "github.com/ebbdb/ebb/adapters/fiber"
	"github.com/ebbdb/ebb/adapters/sessions/scsstore"
	"github.com/gofiber/storage/badger/v2"
	"github.com/gofiber/storage/bbolt/v2"
	bolt "go.etcd.io/bbolt"
)

// expiring is a store of values that expire, whatever its interface calls them.
type expiring struct {
	set   func(key string, value []byte, life time.Duration) error
	get   func(key string) ([]byte, error)
	close func() error
}

// fiberStore is Fiber's storage.
type fiberStore interface {
	Set(key string, value []byte, exp time.Duration) error
	Get(key string) ([]byte, error)
}

func ofSCS(s scs.Store, end func() error) expiring {
	return expiring{
		func(key string, value []byte, life time.Duration) error {
			return s.Commit(key, value, time.Now().Add(life))
		},
		func(key string) ([]byte, error) {
			b, _, err := s.Find(key)
			return b, err
		}, end}
}

func ofFiber(s fiberStore, end func() error) expiring { return expiring{s.Set, s.Get, end} }

// expiringStores are the stores for scs and Fiber in ebb and those that there were, each in a directory. Badger does not wait for
// the disk, bbolt does: there is an ebb for either.
var expiringStores = []struct {
	name string
	open func(b *testing.B, dir string) expiring
}{
	{"scs/store=ebb", func(b *testing.B, dir string) expiring {
		db := must(ebb.Open(dir, nil))
		return ofSCS(scsstore.New(db, "s/", ebb.NoSync), db.Close)
	}},
	{"scs/store=badger", func(b *testing.B, dir string) expiring {
		db := must(badgerv1.Open(badgerv1.DefaultOptions(dir).WithLogger(nil).WithSyncWrites(false)))
		return ofSCS(badgerstore.New(db), db.Close)
	}},
	{"scs/store=ebb-synced", func(b *testing.B, dir string) expiring {
		db := must(ebb.Open(dir, nil))
		return ofSCS(scsstore.New(db, "s/"), db.Close)
	}},
	{"scs/store=bbolt-synced", func(b *testing.B, dir string) expiring {
		db := must(bolt.Open(filepath.Join(dir, "db"), 0o600, nil))
		return ofSCS(boltstore.New(db), db.Close)
	}},
	{"fiber/store=ebb", func(b *testing.B, dir string) expiring {
		db := must(ebb.Open(dir, nil))
		return ofFiber(fiberstorage.New(db, "s/", ebb.NoSync), db.Close)
	}},
	{"fiber/store=badger", func(b *testing.B, dir string) expiring {
		s := badger.New(badger.Config{Database: dir})
		return ofFiber(s, s.Close)
	}},
	{"fiber/store=ebb-synced", func(b *testing.B, dir string) expiring {
		db := must(ebb.Open(dir, nil))
		return ofFiber(fiberstorage.New(db, "s/"), db.Close)
	}},
	{"fiber/store=bbolt-synced", func(b *testing.B, dir string) expiring {
		s := bbolt.New(bbolt.Config{Database: filepath.Join(dir, "db")})
		return ofFiber(s, s.Close)
	}},
}

func must[T any](t T, err error) T {
	if err != nil {
		panic(err)
	}
	return t
}

// BenchmarkExpiring sets and gets values of 200 bytes, from as many goroutines as there are processors and eight times as many.
func BenchmarkExpiring(b *testing.B) {
	const keys = 20_000
	value := bytes.Repeat([]byte("v"), 200)
	key := func(i int) string { return fmt.Sprintf("session-%09d", i) }
	for _, store := range expiringStores {
		s := store.open(b, b.TempDir())
		var next atomic.Int64
		b.Run(store.name+"/set", func(b *testing.B) {
			b.SetParallelism(8)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := s.set(key(int(next.Add(1))%keys), value, time.Hour); err != nil {
						b.Error(err)
					}
				}
			})
		})
		n := int(min(next.Load(), keys))
		b.Run(store.name+"/get", func(b *testing.B) {
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := s.get(key(rand.IntN(n))); err != nil {
						b.Error(err)
					}
				}
			})
		})
		if err := s.close(); err != nil {
			b.Error(err)
		}
	}
}

// BenchmarkExpired sets 20 MB of values that live for a second, waits, and tells what is on the disk twenty seconds after. It
// leaves out what syncs each.
func BenchmarkExpired(b *testing.B) {
	const values, wait = 20_000, 20 * time.Second
	for _, store := range expiringStores {
		if filepath.Base(store.name) != "store=ebb" && filepath.Base(store.name) != "store=badger" {
			continue
		}
		b.Run(store.name, func(b *testing.B) {
			dir := b.TempDir()
			s := store.open(b, dir)
			for i := range values {
				if err := s.set(fmt.Sprint(i), bytes.Repeat([]byte("v"), 1000), time.Second); err != nil {
					b.Fatal(err)
				}
			}
			peak := size(b, dir)
			time.Sleep(wait)
			b.ReportMetric(float64(peak)/1e6, "MB-written")
			b.ReportMetric(float64(size(b, dir))/1e6, "MB-after")
			if err := s.close(); err != nil {
				b.Error(err)
			}
		})
	}
}

// size returns what the files of a directory take on the disk, as far as they have blocks.
func size(b *testing.B, dir string) (sum int64) {
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if info, err := d.Info(); err == nil { // a file that was deleted meanwhile is none
			sum += allocated(info)
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return sum
}
