package judges

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	ebbds "github.com/ebbdb/ebb/adapters/datastore"
	"github.com/ebbdb/ebb/adapters/otelstorage"
	ds "github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"
	dsleveldb "github.com/ipfs/go-ds-leveldb"
	dspebble "github.com/ipfs/go-ds-pebble"
	"github.com/open-telemetry/opentelemetry-collector-contrib/extension/storage/filestorage"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/extension"
	"go.opentelemetry.io/collector/extension/extensiontest"
	"go.opentelemetry.io/collector/extension/xextension/storage"
)

const entries = 100_000

// BenchmarkDatastore compares datastores with their defaults, which sync when they are asked to: entries of 100 bytes.
func BenchmarkDatastore(b *testing.B) {
	stores := map[string]func(dir string) (ds.Batching, error){
		"ebb":     func(dir string) (ds.Batching, error) { return ebbds.Open(dir, nil) },
		"pebble":  func(dir string) (ds.Batching, error) { return dspebble.NewDatastore(dir) },
		"leveldb": func(dir string) (ds.Batching, error) { return dsleveldb.NewDatastore(dir, nil) },
	}
	key := func(i int) ds.Key { return ds.RawKey(fmt.Sprintf("/blocks/%07d", i)) }
	value := bytes.Repeat([]byte("v"), 100)
	for _, name := range []string{"ebb", "pebble", "leveldb"} {
		d, err := stores[name](b.TempDir())
		if err != nil {
			b.Fatal(err)
		}
		defer d.Close()
		ctx := b.Context()
		for i := range entries {
			if err := d.Put(ctx, key(i), value); err != nil {
				b.Fatal(err)
			}
		}
		r := rand.New(rand.NewPCG(1, 2))
		run := func(op string, fn func() error) {
			b.Run(op+"/store="+name, func(b *testing.B) {
				for b.Loop() {
					if err := fn(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		run("put", func() error { return d.Put(ctx, key(r.IntN(entries)), value) })
		run("get", func() error {
			_, err := d.Get(ctx, key(r.IntN(entries)))
			return err
		})
		run("has", func() error {
			_, err := d.Has(ctx, key(r.IntN(entries)))
			return err
		})
		run("batch of 100", func() error {
			batch, err := d.Batch(ctx)
			if err != nil {
				return err
			}
			for range 100 {
				if err := batch.Put(ctx, key(r.IntN(entries)), value); err != nil {
					return err
				}
			}
			return batch.Commit(ctx)
		})
		run("query of 100", func() error {
			results, err := d.Query(ctx, query.Query{Prefix: "/blocks", Limit: 100})
			if err != nil {
				return err
			}
			_, err = results.Rest()
			return err
		})
	}
}

// BenchmarkCollector does what the collector's persistent queue does: it writes an item and the end of the queue together, and
// reads and deletes one with its begin.
func BenchmarkCollector(b *testing.B) {
	for _, f := range []extension.Factory{otelstorage.NewFactory(), filestorage.NewFactory()} {
		b.Run("store="+f.Type().String(), func(b *testing.B) {
			config := f.CreateDefaultConfig()
			switch c := config.(type) {
			case *otelstorage.Config:
				c.Directory = b.TempDir()
			case *filestorage.Config:
				c.Directory = b.TempDir()
			}
			made, err := f.Create(b.Context(), extensiontest.NewNopSettings(f.Type()), config)
			if err == nil {
				err = made.Start(b.Context(), componenttest.NewNopHost())
			}
			if err != nil {
				b.Fatal(err)
			}
			defer made.Shutdown(b.Context())
			client, err := made.(storage.Extension).GetClient(b.Context(), component.KindExporter, component.MustNewID("otlp"), "")
			if err != nil {
				b.Fatal(err)
			}
			defer client.Close(b.Context())
			item, at := bytes.Repeat([]byte("v"), 10_000), make([]byte, 8)
			write, read := 0, 0
			for b.Loop() {
				err := client.Batch(b.Context(), storage.SetOperation("wi", at), storage.SetOperation(fmt.Sprint(write), item))
				if err != nil {
					b.Fatal(err)
				}
				if write++; write-read < 100 {
					continue
				}
				get := storage.GetOperation(fmt.Sprint(read))
				if err := client.Batch(b.Context(), storage.SetOperation("ri", at), get); err != nil || len(get.Value) != len(item) {
					b.Fatal(err, len(get.Value))
				}
				if err := client.Batch(b.Context(), storage.DeleteOperation(fmt.Sprint(read))); err != nil {
					b.Fatal(err)
				}
				read++
			}
		})
	}
}
