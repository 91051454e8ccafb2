package ebb_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/ebbdb/ebb"
)

// A cache beside the database starts from a snapshot and follows the changes from there.
func ExampleDB_Watch() {
	dir, err := os.MkdirTemp("", "ebb")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	db, err := ebb.Open(dir, &ebb.Options{RetainLog: 64 << 20, ExpiryEvents: true})
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	if err := db.Put([]byte("user:1"), []byte("ada")); err != nil {
		log.Fatal(err)
	}

	snapshot, err := db.Snapshot()
	if err != nil {
		log.Fatal(err)
	}
	cache := map[string]string{}
	for e, err := range snapshot.Range(&ebb.IterOptions{Prefix: []byte("user:")}) {
		if err != nil {
			log.Fatal(err)
		}
		cache[string(e.Key)] = string(e.Value)
	}
	snapshot.Close()

	if err := db.Put([]byte("user:2"), []byte("bob"), ebb.TTL(time.Millisecond)); err != nil {
		log.Fatal(err)
	}
	if err := db.Put([]byte("order:1"), []byte("tea")); err != nil {
		log.Fatal(err)
	}
	o := ebb.WatchOptions{From: snapshot.Seq() + 1, Prefix: []byte("user:")}
	for c, err := range db.Watch(context.Background(), &o) {
		if err != nil {
			log.Fatal(err) // ebb.ErrLogTrimmed: begin again with a snapshot
		}
		fmt.Printf("%v %s\n", c.Kind, c.Key)
		switch c.Kind {
		case ebb.ChangePut:
			cache[string(c.Key)] = string(c.Value)
		case ebb.ChangeDelete, ebb.ChangeExpire:
			delete(cache, string(c.Key))
		}
		if c.Kind == ebb.ChangeExpire {
			break
		}
	}
	fmt.Println(cache)
	// Output:
	// put user:2
	// expire user:2
	// map[user:1:ada]
}
