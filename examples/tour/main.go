// Command tour shows what ebb is for, in a second: a database is made, written, read, expires, is closed, and is read back.
package main

import (
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/ebbdb/ebb"
)

func main() {
	dir, err := os.MkdirTemp("", "ebb-tour-")
	if err != nil {
		log.Fatal(err)
	}
	if err = errors.Join(write(dir), readBack(dir), os.RemoveAll(dir)); err != nil {
		log.Fatal(err)
	}
}

// write makes a database with a user that stays and a session that goes.
func write(dir string) error {
	db, err := ebb.Open(dir, nil)
	if err != nil {
		return err
	}
	defer db.Close()
	var b ebb.Batch
	if err := errors.Join(
		b.Put([]byte("user:1"), []byte("Alice")),
		b.Put([]byte("session:a1"), []byte("user:1"), ebb.TTL(500*time.Millisecond)),
		b.Put([]byte("session:b2"), []byte("user:1"), ebb.TTL(time.Hour)),
	); err != nil {
		return err
	}
	if err := db.Apply(&b); err != nil { // all of it, on the disk, or nothing
		return err
	}
	fmt.Println("written, and on the disk:")
	if err := list(db); err != nil {
		return err
	}
	left, err := db.TTL([]byte("session:a1"))
	if err != nil {
		return err
	}
	fmt.Printf("session:a1 has %v to live\n", left.Round(100*time.Millisecond))
	time.Sleep(left)
	if _, err := db.Get([]byte("session:a1")); !errors.Is(err, ebb.ErrNotFound) {
		return fmt.Errorf("an expired key: %w", err)
	}
	fmt.Println("and now it is gone")
	return nil
}

// readBack opens the database once more.
func readBack(dir string) error {
	db, err := ebb.Open(dir, nil)
	if err != nil {
		return err
	}
	defer db.Close()
	fmt.Println("closed, opened again, and read back:")
	return list(db)
}

func list(db *ebb.DB) error {
	for e, err := range db.Range(nil) {
		if err != nil {
			return err
		}
		until := "for good"
		if at, ok := e.Expires(); ok {
			until = "until " + at.Format(time.TimeOnly)
		}
		fmt.Printf("  %-12s %-8s %s\n", e.Key, e.Value, until)
	}
	return nil
}
