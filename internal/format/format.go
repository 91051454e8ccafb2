// Package format owns the versions of all that ebb writes: one number for the format as a whole, which is what is promised,
// one for each kind of file, and the features of a database. docs/FORMAT.md has the rules by which they change.
//
// The bytes themselves are drawn in the format.go of the package that reads and writes them. The package does no I/O.
package format

import (
	"errors"
	"fmt"
)

// Format is the format that this release writes: the versions below, together. What a release writes of it, every later
// release reads.
const Format = 1

// The versions of the kinds of files in Format. A file carries its own in the second byte of its first record's value, behind
// the type of the record; a reader looks at it before anything else in the file. A file may be written with a lower version
// if that says all that is in it.
const (
	LogSegment   = 4 // wal/format.go
	Table        = 1 // internal/table/format.go
	Manifest     = 4 // internal/manifest/format.go
	SnapshotFile = 2 // internal/snapfile/format.go
)

// OfManifest returns the format of a database whose manifest has a version: 0 is one of before the first release.
func OfManifest(version byte) int {
	if version < Manifest {
		return 0
	}
	return Format
}

// ErrNewer matches the error that refuses what a newer release has written. Nothing is wrong with the file.
var ErrNewer = errors.New("written by a newer release")

// Newer returns the error that refuses a kind of file of a version above the known one.
func Newer(kind string, version, known byte) error {
	return fmt.Errorf("%w: %s version %d, this release knows %d", ErrNewer, kind, version, known)
}

// Features are what a database has that not every release knows of its format, a bit each. The manifest names a feature, on
// the disk, before anything else in the database makes use of it.
type Features struct {
	Read  uint32 // who does not know one of them cannot read the database
	Write uint32 // who does not know one of them can read it, and must not write
}

// knownFeatures are those of this release: none. All that is in Format is known without a feature.
var knownFeatures = Features{}

// Readable returns an ErrNewer that names the features because of which the database cannot be read, nil if there are none.
func (f Features) Readable() error { return unknown("reading", f.Read&^knownFeatures.Read) }

// Writable returns an ErrNewer that names the features because of which the database cannot be written, nil if there are none.
func (f Features) Writable() error {
	return errors.Join(f.Readable(), unknown("writing", f.Write&^knownFeatures.Write))
}

func unknown(what string, bits uint32) error {
	if bits == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s needs features %#x, which this release does not know", ErrNewer, what, bits)
}
