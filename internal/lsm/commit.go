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
	s.storing.Lock()
	defer s.storing.Unlock()
	if err := s.config.Failure(); err != nil {
		// A manifest that replaces an uncertain one may not be durable, and tables that only the uncertain one names would go.
		return errors.Join(err, s.discard(e.Add))
	}
	levels, state := e.levels(&s.view.Load().Version.Levels), s.Manifest()
	e.state(&state, &levels)
	if err := s.store(&state); err != nil {
		if errors.Is(err, manifest.ErrUncertain) {
			return errors.Join(s.config.Fail(err), s.abandon(e.Add))
		}
		return errors.Join(err, s.discard(e.Add))
	}
	old, gone := s.swap(e, &levels, &state)
	s.unlink(gone)
	s.releases.begin()
	s.config.Workers.Go(func() {
		defer s.releases.end()
		s.epoch.Wait() // from here on old is read by pins only
		s.unref(old)
	})
	return nil
}

// swap takes step 2 of Commit, which has stored state. It returns the version before, and the tables that are to lose their
// names: those that are not live any more, but none while a checkpoint is under way. The caller holds storing.
func (s *Set) swap(e *Edit, levels *compaction.Levels, state *manifest.State) (old *Version, gone []*compaction.Table) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.committedLocked(state)
	old = s.view.Load().Version
	v := newVersion(*levels, state.Evictions, &s.rent)
	v.order.Store(s.orderOf(&v.Levels, old.order.Load(), false))
	dropped := old.without(v)
	s.refLocked(v)
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
	s.retireOrders(v.order.Load())
	if len(e.Remove) == 0 {
		for _, t := range e.Add {
			s.rent.earn(t.Size)
		}
	}
	if invariant.On {
		s.checkLocked()
	}
	if s.mu.linking > 0 {
		return old, nil
	}
	return old, dropped
}

// store stores a manifest. The caller holds storing, and says committedLocked if the state is to count.
func (s *Set) store(state *manifest.State) error {
	state.Clock, state.Log = s.config.Clock(), s.config.Anchor()
	return manifest.Store(s.config.FS, string(s.config.Dir), state)
}

// committedLocked keeps a state that was stored as the committed one. Numbers of files were given out meanwhile.
//
// +checklocks:s.mu.Mutex
func (s *Set) committedLocked(state *manifest.State) {
	next := max(s.mu.state.NextFile, state.NextFile)
	s.mu.state = *state
	s.mu.state.NextFile = next
}

// StoreAnchor stores a manifest that says how far the log has come, unless the present manifest says so already.
func (s *Set) StoreAnchor() error {
	s.storing.Lock()
	defer s.storing.Unlock()
	state := s.Manifest()
	if s.config.Anchor() == state.Log {
		return nil
	}
	if err := s.store(&state); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.committedLocked(&state)
	return nil
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

// unlink removes the names of tables that are no longer live, so that the tables leave the directory at once. Readers have the
// files open. Where the system does not remove open files, and while a checkpoint is under way, closing a table removes it.
func (s *Set) unlink(dropped []*compaction.Table) {
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
// without references are closed: without mu, as to give the blocks of a large file back takes a disk some time.
func (s *Set) unref(v *Version) {
	n := v.refs.Add(-1)
	if invariant.On {
		invariant.Check(n >= 0, "tables have lost a reference too many")
	}
	if n > 0 {
		return
	}
	unused := s.unrefTables(v)
	for _, t := range unused {
		if err := s.closeDropped(t); err != nil {
			s.config.Report("close table", err)
		}
		s.closing.Done()
	}
	s.released(v, unused)
}

// unrefTables takes a reference from each table of a version, and returns those that have none any more, for the caller to close
// each and to take it off closing, for which Close waits. Once the set is closed there are none: they were closed with it.
func (s *Set) unrefTables(v *Version) (unused []*compaction.Table) {
	s.mu.Lock()
	defer s.mu.Unlock()
	refs := s.mu.refs
	if refs == nil {
		return nil
	}
	for _, t := range v.Levels.All() {
		if refs[t]--; refs[t] == 0 {
			delete(refs, t)
			unused = append(unused, t)
		}
	}
	s.closing.Add(len(unused))
	return unused
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
	tables := s.takeTables()
	s.closing.Wait()
	live := make(map[*compaction.Table]bool)
	if v := s.view.Load(); v != nil {
		for _, t := range v.Version.Levels.All() {
			live[t] = true
		}
	}
	var errs []error
	for t := range tables {
		if live[t] {
			errs = append(errs, t.Reader.Close())
		} else {
			errs = append(errs, s.closeDropped(t))
		}
	}
	return errors.Join(errs...)
}

// takeTables returns the tables that are open, which from here on nobody else closes.
func (s *Set) takeTables() map[*compaction.Table]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	tables := s.mu.refs
	s.mu.refs = nil
	return tables
}

// Barrier returns when a Commit that is under way has ended, and a PinFiles, which counts as a worker from then on.
func (s *Set) Barrier() {
	s.storing.Lock()
	defer s.storing.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
}
