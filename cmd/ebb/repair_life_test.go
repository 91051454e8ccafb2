package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ebbdb/ebb"
)

// Of a whole database, closed or killed, repair saves what Open shows, whatever features have written it.
func TestRepairSavesWhatOpenShows(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			base := t.TempDir()
			dir, killed := filepath.Join(base, "db"), filepath.Join(base, "killed")
			var clock atomic.Int64
			clock.Store(time.Now().Add(-48 * time.Hour).UnixNano())
			o := &ebb.Options{ExpiryEvents: seed%2 == 0, RetainLog: int64(seed%3) << 20, Sync: ebb.SyncNever,
				Clock: func() time.Time { return time.Unix(0, clock.Load()) }}
			db, err := ebb.Open(dir, o)
			check(t, err)
			r := rand.New(rand.NewPCG(seed, 3))
			for i := range 150 {
				if r.IntN(20) == 0 {
					check(t, db.Close())
					db, err = ebb.Open(dir, o)
					check(t, err)
				}
				if r.IntN(10) == 0 {
					clock.Add(int64(time.Hour))
				}
				check(t, liveOn(t, db, r, fmt.Append(nil, "value ", i)))
			}
			check(t, os.CopyFS(killed, os.DirFS(dir)))
			check(t, db.Close())
			clock.Store(time.Now().UnixNano()) // as repair takes it
			for _, dir := range []string{dir, killed} {
				dest := filepath.Join(base, "saved "+filepath.Base(dir))
				runArgs("repair", dir, dest).want(t, exitOK, "saved ", "")
				if missing, wrong, extra := diff(contents(t, dest), contents(t, dir)); missing+wrong+extra > 0 {
					t.Errorf("%s: %d missing, %d wrong, %d extra", dir, missing, wrong, extra)
				}
			}
		})
	}
}

// liveOn does one thing to a database at random.
func liveOn(t *testing.T, db *ebb.DB, r *rand.Rand, value []byte) error {
	key := func() []byte { return fmt.Appendf(nil, "k%02d", r.IntN(40)) }
	ttl := func() ebb.WriteOption { return ebb.TTL(time.Duration(r.IntN(5)) * time.Hour) }
	switch r.IntN(12) {
	case 0:
		return db.Flush()
	case 1:
		return db.Compact(t.Context())
	case 2:
		return db.Delete(key())
	case 3:
		start, end := key(), key()
		if bytes.Compare(start, end) >= 0 {
			return nil
		}
		return db.DeleteRange(start, end)
	case 4, 5:
		return db.Put(key(), value, ttl())
	case 6:
		var b ebb.Batch
		for range r.IntN(5) + 1 {
			check(t, b.Put(key(), value, ttl()))
			check(t, b.Delete(key()))
		}
		return db.Apply(&b)
	case 7:
		var file bytes.Buffer
		_, err := db.Backup(t.Context(), &file, nil)
		check(t, err)
		_, err = db.Ingest(t.Context(), &file, nil)
		return err
	}
	return db.Put(key(), value)
}
