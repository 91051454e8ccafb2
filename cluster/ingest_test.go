package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/ebbdb/ebb"
)

// TestIngest puts backups into a cluster: of a database, of the cluster itself, and what is refused, which changes nothing.
func TestIngest(t *testing.T) {
	tc := startCluster(t, 3, nil)
	ctx := t.Context()
	l, f := tc.leader(), tc.follower()
	alone, err := ebb.OpenMemory(&ebb.Options{Clock: func() time.Time { return time.Now().Add(-time.Hour) }})
	must(t, err)
	defer alone.Close()
	for i := range 100 {
		must(t, alone.Put(fmt.Appendf(nil, "key %d", i), fmt.Append(nil, i)))
	}
	until := time.Now().Add(time.Hour).Truncate(time.Millisecond)
	must(t, alone.Put([]byte("mortal"), nil, ebb.ExpireAt(until)))
	must(t, alone.Put([]byte("brief"), nil, ebb.TTL(time.Minute)))
	var file bytes.Buffer
	info, err := alone.Backup(ctx, &file, nil)
	must(t, err)
	must(t, l.Put(ctx, []byte("key 5"), []byte("old")))
	must(t, l.Put(ctx, []byte("stays"), nil))

	damaged := bytes.Clone(file.Bytes())
	damaged[len(damaged)/2] ^= 1
	var increment bytes.Buffer
	must(t, alone.Put([]byte("later"), nil))
	_, err = alone.Backup(ctx, &increment, &ebb.BackupOptions{Since: info.Through})
	must(t, err)
	for i := range 33 {
		must(t, alone.Put(fmt.Appendf(nil, "large %d", i), make([]byte, 2<<20)))
	}
	var large bytes.Buffer
	_, err = alone.Backup(ctx, &large, nil)
	must(t, err)
	for want, b := range map[error][]byte{ebb.ErrCorrupt: damaged, ebb.ErrSnapshotOrder: increment.Bytes(), ErrTooLarge: large.Bytes()} {
		if _, err := f.Ingest(ctx, bytes.NewReader(b)); !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
	}
	if v, err := l.Get(ctx, []byte("key 5")); string(v) != "old" || err != nil {
		t.Errorf("after what was refused: %q, %v", v, err)
	}

	got, err := f.Ingest(ctx, bytes.NewReader(file.Bytes()))
	if err != nil || got.Entries != 101 && got.Entries != 102 || got.Version == 0 {
		t.Errorf("%+v, %v", got, err)
	}
	for _, db := range []*DB{l, f} {
		v, err := db.Get(ctx, []byte("key 5"))
		e, merr := db.GetEntry(ctx, []byte("mortal"))
		stays, serr := db.Has(ctx, []byte("stays"))
		brief, berr := db.Has(ctx, []byte("brief"))
		if string(v) != "5" || e.Deadline != until.UnixMilli() || !stays || brief || errors.Join(err, merr, serr, berr) != nil {
			t.Errorf("%q, %+v, %v, %v, %v", v, e, stays, brief, errors.Join(err, merr, serr, berr))
		}
	}
	var own bytes.Buffer
	_, err = f.Backup(ctx, &own, nil)
	must(t, err)
	must(t, l.DeleteRange(ctx, nil, nil))
	if got, err := l.Ingest(ctx, &own); err != nil || got.Entries != 102 {
		t.Errorf("a cluster's backup: %+v, %v", got, err)
	}
	if v, err := f.Get(ctx, []byte("key 99")); string(v) != "99" || err != nil {
		t.Errorf("%q, %v", v, err)
	}
	tc.agree()
}
