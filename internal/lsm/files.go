package lsm

import (
	"path"

	"github.com/ebbdb/ebb/compaction"
	"github.com/ebbdb/ebb/internal/dir"
	"github.com/ebbdb/ebb/internal/manifest"
)

// nextFile returns a file number that no table has had. The number is durable with the manifest that names the table.
func (s *Set) nextFile() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.mu.state.NextFile
	s.mu.state.NextFile++
	return n
}

// Output says how tables of a level are built.
func (s *Set) Output(level int) compaction.Output {
	c := &s.config
	o := compaction.Output{FS: c.FS, Name: c.Dir.Table, NextFile: s.nextFile, Database: s.database, Compression: c.Compression,
		TargetSize: c.TableSize, Memory: c.BuildMemory, Cache: c.Cache}
	return o.At(level)
}

// RemoveOrphans removes the tables that the manifest does not name: a crash has left them of a flush, a compaction or an
// Ingest. No table is built meanwhile.
func (s *Set) RemoveOrphans() error {
	tables := s.config.Dir.Tables()
	names, err := s.config.FS.ReadDir(tables)
	if err != nil {
		return err
	}
	live := make(map[uint64]bool)
	for _, t := range s.Manifest().Tables {
		live[t.File] = true
	}
	for _, name := range names {
		file, ok := dir.TableNumber(name)
		if !ok || live[file] {
			continue
		}
		if err := s.config.FS.Remove(path.Join(tables, name)); err != nil {
			return err
		}
		s.skipFile(file)
	}
	return nil
}

// skipFile gives no table a number that a file has had, of which the manifest's NextFile need not know: a crash can bring the
// file back.
func (s *Set) skipFile(file uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.state.NextFile = max(s.mu.state.NextFile, file+1)
}

// PinnedFiles are the live tables at one moment, which keep their files and their names until Unpin, and the manifest that
// names them.
type PinnedFiles struct {
	manifest.State
	set     *Set
	version *Version
}

// PinFiles pins the files that are live now. It is false once the database is closed.
func (s *Set) PinFiles() (p PinnedFiles, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.config.Closed.Load() {
		return p, false
	}
	v := s.view.Load().Version
	v.pin()
	s.mu.linking++
	s.config.Workers.Add(1) // for Close to wait for
	return PinnedFiles{State: s.mu.state, set: s, version: v}, true
}

// Unpin lets go of the files.
func (p *PinnedFiles) Unpin() {
	s := p.set
	s.mu.Lock()
	s.mu.linking--
	s.mu.Unlock()
	s.unref(p.version)
	s.config.Workers.Done()
}
