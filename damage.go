package ebb

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ebbdb/ebb/compaction"
	"github.com/ebbdb/ebb/internal/lsm"
)

// damagedSet is which tables cannot be read whole, as far as a compaction or Verify has come across it. They are set apart: they
// stay and are read, and others are compacted around them, so that one bad block neither stops compaction nor, with level 0
// full, all writes.
//
// Nothing of it is stored: the next compaction after Open that needs such a table finds out again.
type damagedSet struct {
	live   *lsm.Set
	events *eventQueue
	sys    *system
	mu     struct {
		sync.Mutex
		tables map[*compaction.Table]damagedTable
	}
}

type damagedTable struct {
	err   error
	found time.Time
}

// retryUnread is after how long a table is tried again that the disk did not give, and whose content may yet be right.
const retryUnread = 10 * time.Minute

// note adds a table that cannot be read and reports whether that is news.
func (d *damagedSet) note(t *compaction.Table, err error) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, known := d.mu.tables[t]; known {
		return false
	}
	if d.mu.tables == nil {
		d.mu.tables = make(map[*compaction.Table]damagedTable)
	}
	d.mu.tables[t] = damagedTable{err, d.sys.now()}
	return true
}

// in returns which tables of a version are damaged, nil if none is, with the error of one. It forgets those that are gone,
// and those that are to be tried again.
func (d *damagedSet) in(v *lsm.Version) (set map[*compaction.Table]bool, one error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for t, is := range d.mu.tables {
		if !v.Has(t) || !errors.Is(is.err, ErrCorrupt) && d.sys.since(is.found) > retryUnread {
			delete(d.mu.tables, t)
			continue
		}
		if set == nil {
			set = make(map[*compaction.Table]bool)
		}
		set[t], one = true, is.err
	}
	return set, one
}

// setApart sets a table apart that cannot be read, and tells of it.
func (d *damagedSet) setApart(t *compaction.Table, err error) {
	if !d.note(t, err) {
		return
	}
	for level, o := range d.live.View().Version.Levels.All() {
		if o == t {
			d.events.emit(TableDamaged{Table: t.File, Level: level, Bytes: t.Size, Err: err})
		}
	}
}

// left says which of the live tables are left as they are, because they are damaged; nil if none is.
func (d *damagedSet) left() error {
	if set, one := d.in(d.live.View().Version); set != nil {
		return fmt.Errorf("compact: %d damaged tables are left as they are: %w", len(set), one)
	}
	return nil
}
