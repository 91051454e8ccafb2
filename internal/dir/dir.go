// Package dir is the layout of a database's directory: the names of its parts, the check that a directory holds no database,
// and the making of a new database as a whole.
//
// The package knows names alone. The contents of a manifest, a log or a table belong to their packages, the names of the
// log's files to package wal.
package dir

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/ebbdb/ebb/internal/manifest"
	"github.com/ebbdb/ebb/internal/vfs"
)

var (
	// ErrNotDatabase says that a directory holds something else.
	ErrNotDatabase = errors.New("ebb: not a database")
	// ErrTargetExists refuses to make a database where there is something already.
	ErrTargetExists = errors.New("ebb: target exists")
)

// The names in a database's directory, beside that of the manifest.
const (
	LockName   = "LOCK" // held by the owner
	LogName    = "wal"
	TablesName = "tables"

	TableSuffix = ".tbl"
)

// Dir is a database's directory, by its path.
type Dir string

func (d Dir) join(name string) string { return path.Join(string(d), name) }

// Lock returns the path of the lock file.
func (d Dir) Lock() string { return d.join(LockName) }

// Manifest returns the path of the manifest.
func (d Dir) Manifest() string { return d.join(manifest.Name) }

// Log returns the path of the log's directory.
func (d Dir) Log() string { return d.join(LogName) }

// Tables returns the path of the directory of tables.
func (d Dir) Tables() string { return d.join(TablesName) }

// Table returns the path of a table.
func (d Dir) Table(file uint64) string { return path.Join(d.Tables(), TableName(file)) }

// TableName returns the name of a table's file among the tables.
func TableName(file uint64) string { return fmt.Sprintf("%06d%s", file, TableSuffix) }

// TableNumber returns the number in the name of a table's file, and whether it is one.
func TableNumber(name string) (file uint64, ok bool) {
	digits, ok := strings.CutSuffix(name, TableSuffix)
	if !ok {
		return 0, false
	}
	file, err := strconv.ParseUint(digits, 10, 64)
	return file, err == nil
}

// Check refuses, with ErrNotDatabase, a directory that holds other things and no manifest. An empty directory may become a
// database; so may one in which a crash has left a lock file, or a manifest that does not have its final name yet.
func (d Dir) Check(fsys vfs.FS) error {
	names, err := fsys.ReadDir(string(d))
	if err != nil || slices.Contains(names, manifest.Name) {
		return err
	}
	for _, name := range names {
		if name != LockName && !strings.HasPrefix(name, manifest.Name) && !vfs.SystemFile(name) {
			return fmt.Errorf("%w: there is no %s, but %q", ErrNotDatabase, manifest.Name, name)
		}
	}
	return nil
}
