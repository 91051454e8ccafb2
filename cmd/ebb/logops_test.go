package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ebbdb/ebb"
	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/op"
	"github.com/ebbdb/ebb/internal/op/optest"
	"github.com/ebbdb/ebb/wal"
)

// expiriesDB makes a database whose log ends in the report that a key has expired. Its sequences are beyond the time in
// milliseconds, as Ingests skip many, so that the report's version would do as a deadline that has not passed.
func expiriesDB(t *testing.T) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "db")
	var clock atomic.Int64
	clock.Store(time.Now().Add(-time.Hour).UnixNano())
	db, err := ebb.Open(dir, &ebb.Options{ExpiryEvents: true, Clock: func() time.Time { return time.Unix(0, clock.Load()) }})
	check(t, err)
	check(t, db.Put([]byte("stays"), []byte("value")))
	file, err := os.Create(filepath.Join(t.TempDir(), "snapshot"))
	check(t, err)
	defer file.Close()
	_, err = db.Backup(context.Background(), file, nil)
	check(t, err)
	for range 30 {
		_, err = file.Seek(0, io.SeekStart)
		check(t, err)
		_, err := db.Ingest(context.Background(), file, nil)
		check(t, err)
	}
	var version uint64
	check(t, db.Put([]byte("session"), []byte("secret"), ebb.TTL(time.Minute), ebb.VersionTo(&version)))
	if ms := uint64(time.Now().UnixMilli()); version < ms {
		t.Fatalf("version %d is not beyond the time %d", version, ms)
	}
	clock.Add(int64(2 * time.Minute))
	check(t, db.DeleteRange([]byte("a"), []byte("b"))) // reports what is due first
	if s := db.Stats(); s.ExpiryEvents != 1 {
		t.Fatalf("%d expiries were reported", s.ExpiryEvents)
	}
	check(t, db.Close())
	return dir
}

func TestRepairOfExpiries(t *testing.T) {
	dir := expiriesDB(t)
	dest := filepath.Join(t.TempDir(), "new")
	runArgs("repair", dir, dest).want(t, exitOK, "saved 1 keys", "")
	if got := contents(t, dest); len(got) != 1 || got["stays"] != "value" {
		t.Errorf("%q", got)
	}
}

func TestDumpOfExpiries(t *testing.T) {
	dir := expiriesDB(t)
	names, err := filepath.Glob(filepath.Join(dir, "wal", "*.wal"))
	check(t, err)
	var out strings.Builder
	for _, name := range names {
		r := runArgs("dump", name)
		if r.code != exitOK {
			t.Errorf("%s: %s", name, r.stderr)
		}
		out.WriteString(r.stdout)
	}
	for _, want := range []string{"  expiry key=session version=", " deadline=", "batch seq="} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, &out)
		}
	}
	if n := strings.Count(out.String(), "key=session value="); n != 1 {
		t.Errorf("%d puts of the key, 1 was made:\n%s", n, &out)
	}
}

// Repair and dump know every kind of entry that the log has, and say so of one that they do not.
func TestEveryOperation(t *testing.T) {
	r := &salvage{}
	for _, e := range optest.Entries() {
		if err := r.entry(e); err != nil {
			t.Errorf("repair, entry of kind %d: %v", e.Kind, err)
		}
		var ops op.Ops
		check(t, ops.Decode(e))
		n := ops.Len()
		if rows, err := opRows(&ops); err != nil || len(rows) != n {
			t.Errorf("dump, entry of kind %d: %d rows of %d operations, %v", e.Kind, len(rows), n, err)
		}
	}
	var got []string
	for _, e := range r.log {
		got = append(got, fmt.Sprintf("%d@%d %s=%s until %d", e.Kind, e.Seq, e.Key, e.Value, e.Deadline))
	}
	want := "0@1 put=value until 0,0@2 ttl=brief until 1125899906842624,1@3 deleted= until 0,0@5 batch-put=v until 0," +
		"0@6 batch-ttl= until 1125899906842624,1@7 batch-deleted= until 0,1@8 expired-1= until 0,1@9 expired-2= until 0," +
		"0@10 among-put=v until 0,0@12 among-ttl=w until 1125899906842624,1@14 among-deleted= until 0"
	if s := strings.Join(got, ","); s != want {
		t.Errorf("\n got %s\nwant %s", s, want)
	}
	got = got[:0]
	for _, d := range r.deletes {
		got = append(got, fmt.Sprintf("%s-%s@%d", d.Start, d.End, d.Seq))
	}
	if s := strings.Join(got, ","); s != "m-n@4,-b@11,o-p@13" {
		t.Errorf("range deletes: %s", s)
	}
	if len(r.evictions) != 1 || r.evictions[0] != (kv.Eviction{Seq: 15, Horizon: 1 << 39}) {
		t.Errorf("evictions: %v", r.evictions)
	}
	if err := r.entry(&wal.Entry{Kind: 99, Key: []byte("k")}); err == nil {
		t.Error("repair takes an entry of a kind that nobody has")
	}
	if _, err := describeOp(&op.Op{Kind: op.Kinds, Key: []byte("k")}); err == nil {
		t.Error("dump shows an operation of a kind that nobody has")
	}
}
