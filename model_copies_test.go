package ebb

import (
	"bytes"
	"context"
	"errors"
	"maps"

	"pgregory.net/rapid"

	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// Restore goes on with a database that is restored from a backup of this one.
func (m *machine) Restore(t *rapid.T) {
	var out bytes.Buffer
	_, err := m.db.Backup(context.Background(), &out, &BackupOptions{Compression: m.opts.Compression})
	m.must(t, err)
	m.must(t, Restore(context.Background(), "next", &RestoreOptions{Options: m.opts}, &out))
	m.goOnWith(t, "next")
}

// Checkpoint goes on with a checkpoint of this database.
func (m *machine) Checkpoint(t *rapid.T) {
	_, err := m.db.Checkpoint(context.Background(), "next", nil)
	m.must(t, err)
	m.goOnWith(t, "next")
}

func (m *machine) goOnWith(t *rapid.T, dir string) {
	m.closeSnapshots()
	m.must(t, m.db.Close())
	m.must(t, errors.Join(vfs.RemoveAll(m.fs, "db"), m.fs.Rename(dir, "db")))
	m.open(t)
}

// Reload goes on with another database in memory that has taken over a backup of this one.
func (m *machine) Reload(t *rapid.T) {
	var out bytes.Buffer
	_, err := m.db.Backup(context.Background(), &out, &BackupOptions{Compression: m.opts.Compression})
	m.must(t, err)
	m.end(t)
	m.open(t)
	_, err = m.db.Ingest(context.Background(), &out, nil)
	m.must(t, err)
}

// CheckpointBeside looks at a checkpoint of this database, and at nothing else: there is no other directory.
func (m *machine) CheckpointBeside(t *rapid.T) {
	info, err := m.db.Checkpoint(context.Background(), "copy", nil)
	m.must(t, err)
	if info.Copied != info.Bytes {
		t.Fatalf("%+v", info)
	}
	if names, err := m.fs.ReadDir("."); err != nil || len(names) != 1 {
		t.Fatalf("%q, %v", names, err)
	}
	copied, err := Open("copy", readOnlyOptions(m.opts))
	m.must(t, err)
	m.must(t, m.model.compare(copied, m.now()))
	m.must(t, errors.Join(copied.Close(), vfs.RemoveAll(m.fs, "copy")))
}

// Ingest takes some entries over from another database.
func (m *machine) Ingest(t *rapid.T) {
	source, err := Open("source", manualOptions(vfstest.NewMem(), m.clock, SyncNever))
	m.must(t, err)
	entries := map[string]modelEntry{}
	for range rapid.IntRange(0, 8).Draw(t, "entries") {
		k, v := m.key(t), m.value(t)
		opts, deadline := m.deadline(t)
		m.must(t, source.Put([]byte(k), []byte(v), opts...))
		delete(entries, k)
		if deadline == 0 || deadline > m.now() {
			entries[k] = modelEntry{v, deadline}
		}
	}
	var out bytes.Buffer
	_, err = source.Backup(context.Background(), &out, nil)
	m.must(t, errors.Join(err, source.Close()))
	_, err = m.db.Ingest(context.Background(), &out, nil)
	m.must(t, err)
	maps.Copy(m.model.entries, entries)
}
