package ebb_test

import (
	"fmt"
	"log/slog"
	"os"

	"github.com/ebbdb/ebb"
)

// What the database does by itself: to act on, and to log.
func ExampleEvent() {
	db := openMemory(&ebb.Options{
		OnEvent: func(e ebb.Event) {
			switch e := e.(type) {
			case ebb.Recovered:
				fmt.Println("opened: clean", e.Clean)
			case ebb.Flushed:
				fmt.Println("flushed:", e.Entries, "entries")
			case ebb.Failed:
				fmt.Println("no more writes:", e.Err)
			}
		},
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	must(db.Put([]byte("a"), nil))
	must(db.Put([]byte("b"), nil))
	must(db.Flush())
	must(db.Close()) // when it is closed, all has been told
	// Output:
	// opened: clean true
	// flushed: 2 entries
}

// Figures to watch. The module github.com/ebbdb/ebb/ebbprom shows all of them to Prometheus.
func ExampleDB_Stats() {
	db, done := openTemp(nil)
	defer done()
	for i := range 1000 {
		must(db.Put(fmt.Appendf(nil, "key%03d", i), make([]byte, 94), ebb.NoSync))
	}
	must(db.Flush())
	s := db.Stats()
	fmt.Println("put:", s.UserBytes, "live:", s.LiveBytes)
	fmt.Printf("written: %.0f times, stored: %.0f times\n", s.WriteAmplification(), s.SpaceAmplification())
	fmt.Println("expired and still there:", s.ExpiredBytes, "overdue:", s.ExpiryLag)
	// Output:
	// put: 100000 live: 100000
	// written: 2 times, stored: 1 times
	// expired and still there: 0 overdue: 0s
}
