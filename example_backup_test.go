package ebb_test

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/ebbdb/ebb"
)

// A full backup and an increment to files, made durable by their owner, and a database that is restored from both.
func ExampleDB_Backup() {
	dir, err := os.MkdirTemp("", "ebb")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()
	db, err := ebb.Open(filepath.Join(dir, "db"), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()

	backup := func(name string, since uint64) (ebb.BackupInfo, error) {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			return ebb.BackupInfo{}, err
		}
		defer f.Close()
		info, err := db.Backup(ctx, f, &ebb.BackupOptions{Since: since})
		if err != nil {
			return info, err
		}
		return info, f.Sync()
	}
	db.Put([]byte("a"), []byte("1"))
	db.Put([]byte("b"), []byte("1"), ebb.TTL(time.Hour))
	full, err := backup("full", 0)
	if err != nil {
		log.Fatal(err)
	}
	db.Put([]byte("a"), []byte("2"))
	db.Delete([]byte("b"))
	increment, err := backup("increment", full.Through) // or ErrLogTrimmed: then take a full one
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(full.Entries, full.Through, increment.Entries, increment.Through)

	first, _ := os.Open(filepath.Join(dir, "full"))
	defer first.Close()
	second, _ := os.Open(filepath.Join(dir, "increment"))
	defer second.Close()
	if err := ebb.Restore(ctx, filepath.Join(dir, "restored"), nil, first, second); err != nil {
		log.Fatal(err)
	}
	restored, err := ebb.Open(filepath.Join(dir, "restored"), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer restored.Close()
	value, err := restored.Get([]byte("a"))
	fmt.Printf("%s %v\n", value, err)
	has, err := restored.Has([]byte("b"))
	fmt.Println(has, err)
	// Output:
	// 2 2 2 4
	// 2 <nil>
	// false <nil>
}

// A copy of a running database, for the price of some directory entries.
func ExampleDB_Checkpoint() {
	dir, err := os.MkdirTemp("", "ebb")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	db, err := ebb.Open(filepath.Join(dir, "db"), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	db.Put([]byte("a"), []byte("1"))
	info, err := db.Checkpoint(context.Background(), filepath.Join(dir, "copy"), nil)
	if err != nil {
		log.Fatal(err)
	}
	db.Put([]byte("a"), []byte("2"))

	copied, err := ebb.Open(filepath.Join(dir, "copy"), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer copied.Close()
	value, err := copied.Get([]byte("a"))
	fmt.Printf("%d table, as of %d: %s %v\n", info.Tables, info.Through, value, err)
	// Output: 1 table, as of 1: 1 <nil>
}

// What one database exports, another that is running takes over, all at once.
func ExampleDB_Ingest() {
	dir, err := os.MkdirTemp("", "ebb")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()
	nightly, err := ebb.Open(filepath.Join(dir, "nightly"), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer nightly.Close()
	nightly.Put([]byte("price:1"), []byte("10"))
	nightly.Put([]byte("price:2"), []byte("20"))
	f, err := os.Create(filepath.Join(dir, "prices"))
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	if _, err := nightly.Backup(ctx, f, nil); err != nil {
		log.Fatal(err)
	}

	shop, err := ebb.Open(filepath.Join(dir, "shop"), nil)
	if err != nil {
		log.Fatal(err)
	}
	defer shop.Close()
	shop.Put([]byte("price:1"), []byte("9"))
	shop.Put([]byte("stock:1"), []byte("100"))
	if _, err := f.Seek(0, 0); err != nil {
		log.Fatal(err)
	}
	info, err := shop.Ingest(ctx, f, nil)
	fmt.Println(info.Entries, err)
	for e, err := range shop.Range(nil) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s %s\n", e.Key, e.Value)
	}
	// Output:
	// 2 <nil>
	// price:1 10
	// price:2 20
	// stock:1 100
}

// A replicated state machine pins a moment while it applies entries, and writes the moment down while it goes on applying.
func ExampleSnapshot_Backup() {
	db := openMemory(nil)
	defer db.Close()
	must(db.Put([]byte("applied"), []byte("7")))
	moment, err := db.Snapshot()
	must(err)
	defer moment.Close()
	must(db.Put([]byte("applied"), []byte("8")))

	var file bytes.Buffer
	_, err = moment.Backup(context.Background(), &file, nil)
	must(err)
	other := openMemory(nil)
	defer other.Close()
	_, err = other.Ingest(context.Background(), &file, nil)
	must(err)
	applied, err := other.Get([]byte("applied"))
	fmt.Println(string(applied), err)
	// Output: 7 <nil>
}

// A database is restored beside the one in use, takes its place, and could give it back.
func ExampleSwap() {
	home, err := os.MkdirTemp("", "ebb")
	must(err)
	defer os.RemoveAll(home)
	live, restored := filepath.Join(home, "db"), filepath.Join(home, "db.restored")
	db, err := ebb.Open(live, nil)
	must(err)
	must(db.Put([]byte("greeting"), []byte("hello")))
	var file bytes.Buffer
	_, err = db.Backup(context.Background(), &file, nil)
	must(err)
	must(db.Put([]byte("greeting"), []byte("hullo"))) // a mistake

	must(ebb.Restore(context.Background(), restored, nil, &file))
	must(db.Close())
	must(ebb.Swap(live, restored)) // a crash leaves the one or the other
	db, err = ebb.Open(live, nil)
	must(err)
	defer db.Close()
	greeting, err := db.Get([]byte("greeting"))
	fmt.Println(string(greeting), err)
	// Output: hello <nil>
}
