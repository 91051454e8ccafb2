package lsm

import (
	"errors"
	"io/fs"
	"slices"

	"github.com/ebbdb/ebb/compaction"
	"github.com/ebbdb/ebb/internal/invariant"
	"github.com/ebbdb/ebb/internal/manifest"
)

// Commit makes an edit. The tables of Add are on the disk, with their names, and open.
//
//  1. Store the manifest as it is after the edit. A crash leaves the old manifest or the new one. If storing fails nothing
//     has changed, and the tables of Add are removed. If the outcome is uncertain, the next Open may find either manifest:
//     the files that either names are kept, those of Add too, and nothing is committed any more.
//  2. Swap the view: reads that begin from here on read the new tables.
//  3. Remove the names of the tables that are no longer live, unless a checkpoint is under way, which may link them. A crash
//     before that leaves files that the manifest does not name: the next Open removes them.
//  4. When the last reader is done with a table, close it.
func (s *Set) Commit(e *Edit) error {
	if err := s.commit(e); err != nil {
		return err
	}
	s.config.Changed(s.view.Load())
	return nil
}

func (s *Set) commit(e *Edit) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.config.Failure(); err != nil {
		// A manifest that replaces an uncertain one may not be durable, and tables that only the uncertain one names would go.
		return errors.Join(err, s.discard(e.Add))
	}
	old := s.view.Load().Version
	levels, state := e.levels(&old.Levels), s.mu.state
	e.state(&state, &levels)
	if err := s.storeLocked(&state); err != nil {
		if errors.Is(err, manifest.ErrUncertain) {
			return errors.Join(s.config.Fail(err), s.abandon(e.Add))
		}
		return errors.Join(err, s.discard(e.Add))
	}
	v := newVersion(levels, state.Evictions, &s.rent)
	v.order.Store(s.orderOf(&v.Levels, old.order.Load(), false))
	dropped := old.without(v)
	s.refLocked(v)
	s.swap(e, v, dropped)
	s.retireOrders(v.order.Load())
	if len(e.Remove) == 0 {
		for _, t := range e.Add {
			s.rent.earn(t.Size)
		}
	}
	if invariant.On {
		s.checkLocked()
	}
	s.unlinkLocked(dropped)
	s.releases.begin()
	s.config.Workers.Go(func() {
		defer s.releases.end()
		s.epoch.Wait() // from here on old is read by pins only
		s.unref(old)
	})
	return nil
}

// swap takes step 2 of Commit.
func (s *Set) swap(e *Edit, v *Version, dropped []*compaction.Table) {
	active := s.view.Load().Mem
	s.setView(func(view *View, r *replaced) {
		r.add(view.Version, dropped, s.config.Now())
		view.Version = v
		e.view(view)
		if e.Active != nil { // readers of the old view may still use the old gaps; the added tables have keys in some of these
			view.Gaps = s.newGaps(s.appliedSeq)
		}
	})
	if e.Active != nil {
		s.recent.cutAll(active) // no memtable has the writes of the added tables
	}
}

// storeLocked stores a manifest, and keeps it as the committed state if storing succeeds.
//
// +checklocks:s.mu.Mutex
func (s *Set) storeLocked(state *manifest.State) error {
	state.Clock, state.Log = s.config.Clock(), s.config.Anchor()
	if err := manifest.Store(s.config.FS, string(s.config.Dir), state); err != nil {
		return err
	}
	s.mu.state = *state
	return nil
}

// StoreAnchor stores a manifest that says how far the log has come, unless the present manifest says so already.
func (s *Set) StoreAnchor() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.config.Anchor() == s.mu.state.Log {
		return nil
	}
	state := s.mu.state
	return s.storeLocked(&state)
}

// discard closes and removes tables that have not become live; tables of the list that are live stay.
func (s *Set) discard(tables []*compaction.Table) error {
	return compaction.Discard(s.Output(0), s.fresh(tables))
}

// abandon closes the tables of a list that are not live. The manifest may name them: the next Open keeps or removes their
// files.
func (s *Set) abandon(tables []*compaction.Table) error {
	var errs []error
	for _, t := range s.fresh(tables) {
		errs = append(errs, t.Reader.Close())
	}
	return errors.Join(errs...)
}

// fresh returns the tables of a list that are not live.
func (s *Set) fresh(tables []*compaction.Table) []*compaction.Table {
	return slices.DeleteFunc(slices.Clone(tables), s.view.Load().Version.Has)
}

// unlinkLocked removes the names of tables that are no longer live, so that the tables leave the directory at once. Readers
// have the files open. Where the system does not remove open files, and while a checkpoint is under way, closing a table
// removes it.
//
// +checklocks:s.mu.Mutex
func (s *Set) unlinkLocked(dropped []*compaction.Table) {
	if s.mu.linking > 0 {
		return
	}
	for _, t := range dropped {
		_ = s.config.FS.Remove(s.config.Dir.Table(t.File)) // closing the table tries again, and the next Open removes what is left
	}
}

// refLocked counts one reference to each table of a version.
//
// +checklocks:s.mu.Mutex
func (s *Set) refLocked(v *Version) {
	refs := s.mu.refs
	for _, t := range v.Levels.All() {
		refs[t]++
	}
}

// unref gives back a reference to a version. With the last one each table of the version loses one reference, and tables
// without references are closed.
func (s *Set) unref(v *Version) {
	n := v.refs.Add(-1)
	if invariant.On {
		invariant.Check(n >= 0, "tables have lost a reference too many")
	}
	if n > 0 {
		return
	}
	var closed []*compaction.Table
	defer func() { s.released(v, closed) }()
	s.mu.Lock()
	defer s.mu.Unlock()
	refs := s.mu.refs
	if refs == nil {
		return // the set is closed, and the tables with it
	}
	for _, t := range v.Levels.All() {
		if refs[t]--; refs[t] > 0 {
			continue
		}
		delete(refs, t)
		closed = append(closed, t)
		if err := s.closeDropped(t); err != nil {
			s.config.Report("close table", err)
		}
	}
}

// released notes that a version has no references any more, and which tables were closed with it.
func (s *Set) released(v *Version, closed []*compaction.Table) {
	s.replace.Lock()
	defer s.replace.Unlock()
	s.replace.replaced.remove(v, closed)
}

// closeDropped closes a table that is no longer live, and removes its file if the file is still there.
func (s *Set) closeDropped(t *compaction.Table) error {
	err := t.Reader.Close()
	if s.config.ReadOnly {
		return err
	}
	if rerr := s.config.FS.Remove(s.config.Dir.Table(t.File)); !errors.Is(rerr, fs.ErrNotExist) {
		err = errors.Join(err, rerr)
	}
	return err
}

// Close waits for all reads and closes all tables. The work that Config.Workers counts has ended.
func (s *Set) Close() error {
	s.epoch.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	live := make(map[*compaction.Table]bool)
	if v := s.view.Load(); v != nil {
		for _, t := range v.Version.Levels.All() {
			live[t] = true
		}
	}
	for t := range s.mu.refs {
		if live[t] {
			errs = append(errs, t.Reader.Close())
		} else {
			errs = append(errs, s.closeDropped(t))
		}
	}
	s.mu.refs = nil
	return errors.Join(errs...)
}

// Barrier returns when a Commit or PinFiles that is under way has ended.
func (s *Set) Barrier() {
	s.mu.Lock()
	defer s.mu.Unlock()
}
