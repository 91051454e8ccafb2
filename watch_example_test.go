package ebb_test

import (
	"context"
	"fmt"
	"time"

	"github.com/ebbdb/ebb"
)

// A cache beside the database starts from a snapshot and follows the changes from there.
func ExampleDB_Watch() {
	db := openMemory(&ebb.Options{RetainLog: 64 << 20, ExpiryEvents: true})
	defer db.Close()
	must(db.Put([]byte("user:1"), []byte("ada")))

	snapshot, err := db.Snapshot()
	must(err)
	cache := map[string]string{}
	for e, err := range snapshot.Range(&ebb.IterOptions{Prefix: []byte("user:")}) {
		must(err)
		cache[string(e.Key)] = string(e.Value)
	}
	snapshot.Close()

	must(db.Put([]byte("user:2"), []byte("bob"), ebb.TTL(time.Millisecond)))
	must(db.Put([]byte("order:1"), []byte("tea")))
	o := ebb.WatchOptions{From: snapshot.Seq() + 1, Prefix: []byte("user:")}
	for c, err := range db.Watch(context.Background(), &o) {
		must(err) // on ebb.ErrLogTrimmed one would begin again with a snapshot
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
