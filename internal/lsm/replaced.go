package lsm

import (
	"time"

	"github.com/ebbdb/ebb/compaction"
)

// Replaced is what was live and is still held, by a reader or a pin.
type Replaced struct {
	Tables        int           // that are open and not in the newest version
	Bytes         int64         // of their files
	Memtables     int           // that are in memory and not in the newest view
	MemtableBytes int64         // of these
	Pins          int           // references to versions, the newest among them
	OldestPin     time.Duration // how long ago the oldest version was replaced that is held
}

// Replaced returns what is held back now.
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

// replaced is what was live and is still held.
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

// remove notes that nobody holds a version any more, and that tables were closed with it.
func (r *replaced) remove(v *Version, closed []*compaction.Table) {
	delete(r.versions, v)
	r.tables -= len(closed)
	for _, t := range closed {
		r.bytes -= t.Size
	}
}
