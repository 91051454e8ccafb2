package copies

import (
	"errors"
	"fmt"
	"io"

	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/manifest"
	"github.com/ebbdb/ebb/internal/snapfile"
)

// ErrSnapshotOrder refuses snapshot files that do not follow one another.
var ErrSnapshotOrder = errors.New("ebb: snapshot file does not follow")

// Open reads the header of a snapshot file, the i-th of several from 0 on. Errors call the file by its name, or by its place
// if it has no name.
func Open(r io.Reader, i int) (*snapfile.Reader, error) {
	name := fmt.Sprintf("file %d", i+1)
	if n, ok := r.(interface{ Name() string }); ok {
		name = n.Name()
	}
	return snapfile.NewReader(r, name)
}

// openAll reads the headers of snapshot files and checks that the files follow one another.
func openAll(files []io.Reader) ([]*snapfile.Reader, error) {
	if len(files) == 0 {
		return nil, fmt.Errorf("%w: no file at all", ErrSnapshotOrder)
	}
	var readers []*snapfile.Reader
	for i, file := range files {
		f, err := Open(file, i)
		if err != nil {
			return nil, err
		}
		h := f.Header()
		switch {
		case h.Full() != (i == 0):
			return nil, fmt.Errorf("%w: file %d is an increment since %d; 0 would be full", ErrSnapshotOrder, i+1, h.Since)
		case i > 0 && h.Database != readers[0].Header().Database:
			return nil, fmt.Errorf("%w: file %d is of another database", ErrSnapshotOrder, i+1)
		case i > 0 && h.Since > readers[i-1].Header().Through:
			return nil, fmt.Errorf("%w: file %d begins after %d, the one before ends with %d", ErrSnapshotOrder,
				i+1, h.Since, readers[i-1].Header().Through)
		}
		readers = append(readers, f)
	}
	return readers, nil
}

// Source hands the entries of a full snapshot file to compaction.Build.
type Source struct {
	Now int64  // Unix ms: entries that have expired by then are skipped; 0: none are
	Seq uint64 // the sequence that all entries get; 0: they keep their own

	file     *snapfile.Reader
	progress *Progress
	item     snapfile.Item
	writers  []manifest.Writer
	err      error
}

// NewSource returns a Source of a file of which nothing but the header has been read.
func NewSource(file *snapfile.Reader, progress *Progress) *Source {
	return &Source{file: file, progress: progress}
}

// First implements compaction.Source, and is called once.
func (s *Source) First() bool { return s.Next() }

// Entry returns the entry to which First or Next has come.
func (s *Source) Entry() *kv.Entry { return &s.item.Entry }

// Next goes to the next entry that has not expired.
func (s *Source) Next() bool {
	for s.err == nil {
		if s.err = s.file.Next(&s.item); s.err != nil {
			break
		}
		s.progress.at(s.file)
		if s.item.Kind == snapfile.KindWriter {
			s.writers = append(s.writers, manifest.Writer(s.item.Writer))
		}
		if e := &s.item.Entry; s.item.Kind == snapfile.KindEntry && !kv.Expired(e.Deadline, s.Now) {
			if s.Seq != 0 {
				e.Seq = s.Seq
			}
			return true
		}
	}
	return false
}

// Err returns the error that has ended the entries, nil at the end of the file.
func (s *Source) Err() error {
	if s.err == io.EOF {
		return nil
	}
	return s.err
}
