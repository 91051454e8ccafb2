package wal_test

import (
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/ebbdb/ebb/wal"
)

// A log is appended to, closed, opened again and replayed.
func ExampleOpen() {
	dir, err := os.MkdirTemp("", "wal")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	dir = filepath.Join(dir, "log")

	w, err := wal.Open(dir, nil) // every append is on the disk when it returns
	if err != nil {
		log.Fatal(err)
	}
	deadline := time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()
	for _, e := range []wal.Entry{
		{Key: []byte("user:1"), Value: []byte("alice")},
		{Key: []byte("session:1"), Value: []byte("token"), Deadline: deadline},
		{Kind: wal.KindDelete, Key: []byte("user:1")},
	} {
		if err := w.Append(&e); err != nil {
			log.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		log.Fatal(err)
	}

	w, err = wal.Open(dir, &wal.Options{Replay: func(e *wal.Entry) error {
		fmt.Printf("%d %s=%q deadline %d\n", e.Seq, e.Key, e.Value, e.Deadline)
		return nil
	}})
	if err != nil {
		log.Fatal(err)
	}
	defer w.Close()
	fmt.Println("clean:", w.Recovery().Clean)
	// Output:
	// 1 user:1="alice" deadline 0
	// 2 session:1="token" deadline 4102444800000
	// 3 user:1="" deadline 0
	// clean: true
}

// Many writers append without waiting and then wait for one sync; a reader follows the log.
func ExampleLog_SyncTo() {
	dir, err := os.MkdirTemp("", "wal")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	w, err := wal.Open(dir, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer w.Close()

	end, err := w.Write([]wal.Entry{
		{Key: []byte("a"), Value: []byte("1")},
		{Key: []byte("b"), Value: []byte("2")},
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := w.SyncTo(end); err != nil {
		log.Fatal(err)
	}

	r, err := w.NewReader(w.First())
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	var e wal.Entry
	for {
		err := r.Next(&e)
		if errors.Is(err, io.EOF) {
			break // r.Wait would wait for more
		}
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s=%s\n", e.Key, e.Value)
	}
	// Output:
	// a=1
	// b=2
}
