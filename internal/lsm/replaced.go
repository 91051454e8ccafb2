package lsm

import (
	"sync"
	"time"

	"github.com/ebbdb/ebb/compaction"
)

// Replaced counts the tables and memtables that are no longer live and still held, by a reader or a pin.
type Replaced struct {
	Tables        int           // that are open and not in the newest version
	Bytes         int64         // of their files
	Memtables     int           // that are in memory and not in the newest view
	MemtableBytes int64         // of these memtables
	Pins          int           // references to versions, the newest among them
	OldestPin     time.Duration // how long ago the oldest held version was replaced
}

// Replaced counts the replaced tables and memtables that are still held.
func (s *Set) Replaced() Replaced {
	s.replace.Lock()
	defer s.replace.Unlock()
	r := &s.replace.replaced
	out := Replaced{Tables: r.tables, Bytes: r.bytes, Pins: s.view.Load().Version.Pins() - 1}
	out.Memtables, out.MemtableBytes = r.memtables.stats()
	for v, since := range r.versions {
		if n := v.Pins(); n > 0 {
			out.Pins += n
			out.OldestPin = max(out.OldestPin, s.config.Now().Sub(since))
		}
	}
	return out
}

// replaced holds the versions and memtables that are no longer live and still held.
type replaced struct {
	versions map[*Version]time.Time // and when each was replaced
	tables   int                    // not closed yet, and not in the newest version
	bytes    int64                  // of their files

	memtables oldMemtables
}

// add notes a version that was replaced and the tables that went with it.
func (r *replaced) add(old *Version, dropped []*compaction.Table, now time.Time) {
	if r.versions == nil {
		r.versions = make(map[*Version]time.Time)
	}
	r.versions[old] = now
	r.tables += len(dropped)
	for _, t := range dropped {
		r.bytes += t.Size
	}
}

// remove notes that a version has no references any more, and which tables were closed with it.
func (r *replaced) remove(v *Version, closed []*compaction.Table) {
	delete(r.versions, v)
	r.tables -= len(closed)
	for _, t := range closed {
		r.bytes -= t.Size
	}
}

// releases counts the versions that were replaced and are still read by calls that began before.
type releases struct {
	mu struct {
		sync.Mutex
		// +checklocks:Mutex
		n int
	}
	ended sync.Cond
}

func (r *releases) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.n++
}

func (r *releases) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.n--
	r.ended.Broadcast()
}

// AwaitReleases returns when no version that was replaced is held but by pins: so the tables that went with it are closed,
// unless a pin holds them. It waits for calls that read, not for pins.
func (s *Set) AwaitReleases() {
	r := &s.releases
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.mu.n > 0 {
		r.ended.Wait()
	}
}
