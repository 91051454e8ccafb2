package lsm

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/ebbdb/ebb/compaction"
	"github.com/ebbdb/ebb/internal/corrupt"
	"github.com/ebbdb/ebb/internal/invariant"
	"github.com/ebbdb/ebb/internal/manifest"
	"github.com/ebbdb/ebb/internal/table"
	"github.com/ebbdb/ebb/wal"
)

// Loader opens the tables that a manifest names, for a view that is to be published: the first of an Open, or the next of a
// Refresh. Tables that are open already are not opened again. It is for one goroutine, and one Loader of a set at a time.
type Loader struct {
	set    *Set
	tables map[uint64]*compaction.Table // all open tables, by file number
	opened map[*compaction.Table]bool   // tables that the loader has opened and no view has taken over
	state  *manifest.State
	levels compaction.Levels
}

// NewLoader returns a loader that has the tables of the present view.
func (s *Set) NewLoader() *Loader {
	l := &Loader{set: s, tables: make(map[uint64]*compaction.Table), opened: make(map[*compaction.Table]bool)}
	if v := s.view.Load(); v != nil {
		for _, t := range v.Version.Levels.All() {
			l.tables[t.File] = t
		}
	}
	return l
}

// Load opens the tables that a manifest names, unless they are open. If Load fails, the tables that it has opened stay open
// for the next call, with a newer manifest.
func (l *Loader) Load(state *manifest.State) error {
	l.state, l.levels = state, compaction.Levels{}
	for _, ref := range state.Tables {
		t := l.tables[ref.File]
		if t == nil {
			var err error
			if t, err = l.set.openTable(state, ref); err != nil {
				return err
			}
			l.tables[ref.File], l.opened[t] = t, true
		}
		l.levels[ref.Level] = append(l.levels[ref.Level], t)
	}
	return nil
}

// openTable opens one table that a manifest names.
func (s *Set) openTable(state *manifest.State, ref manifest.Table) (*compaction.Table, error) {
	name := s.config.Dir.Table(ref.File)
	r, err := table.Open(s.config.FS, name, table.Identity{Database: state.Database, File: ref.File}, s.config.Cache)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, corrupt.New(name, 0, "table", fmt.Errorf("missing: %w", err))
	}
	if err != nil {
		return nil, err
	}
	if p := r.Properties(); p.Entries != ref.Entries || p.FileSize != ref.Size {
		err := corrupt.New(name, 0, "table", errors.New("another size or number of entries than the manifest says"))
		return nil, errors.Join(err, r.Close())
	}
	return compaction.NewTable(r), nil
}

// Publish makes the tables of the last Load live, with memtables of the log's writes after them. All of it is visible, up to
// sequence lastSeq. log is the replayed log of a read-only database, and nil in any other. Reads of the replaced view may go
// on; Publish waits for those that have not pinned it.
func (l *Loader) Publish(active *Mem, frozen []*Mem, lastSeq uint64, log *wal.Replayed) {
	s := l.set
	v := &View{Mem: active, Frozen: frozen, Log: log}
	if log == nil {
		v.Version, v.Gaps = newVersion(l.levels, l.state.Evictions, &s.rent), s.newGaps(s.appliedSeq)
		v.Version.order.Store(s.orderOf(&v.Version.Levels, nil, false))
	} else {
		v.Version, v.Gaps = newVersion(l.levels, l.state.Evictions, nil), s.newGaps(func() uint64 { return lastSeq })
	}
	if old := l.swap(v, lastSeq); old != nil {
		s.epoch.Wait() // from here on old is read by pins only
		s.unref(old.Version)
	}
}

// swap makes v the view and returns the one before.
func (l *Loader) swap(v *View, lastSeq uint64) (old *View) {
	s := l.set
	s.storing.Lock()
	defer s.storing.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refLocked(v.Version)
	for _, t := range v.Version.Levels.All() {
		delete(l.opened, t) // what an earlier Load has opened, and this version does not have, is Close's
	}
	s.mu.state = *l.state
	s.visible.Store(lastSeq) // before the view: every entry in its tables must be visible
	s.replace.Lock()
	if old = s.view.Load(); old != nil {
		s.replace.replaced.add(old.Version, old.Version.without(v.Version), s.config.Now())
		s.replace.replaced.memtables.add(old, v)
	} else {
		s.database = l.state.Database
	}
	s.view.Store(v)
	s.replace.Unlock()
	if invariant.On {
		v.check()
		s.checkLocked()
	}
	return old
}

// Close closes the tables that the loader has opened and no view has taken over.
func (l *Loader) Close() {
	for t := range l.opened {
		if err := t.Reader.Close(); err != nil {
			l.set.config.Report("close table", err)
		}
	}
	clear(l.opened)
}
