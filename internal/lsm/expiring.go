package lsm

import "github.com/ebbdb/ebb/ttl"

// Due is about how much expires until a time.
type Due struct{ Entries, Bytes float64 }

// Expiring returns about how much of what is in tables and memtables expires after now and no later than at each of to, Unix ms:
// by their histograms, within whose cells deadlines count as spread evenly. active is the histogram of the memtable that is
// written, which the view has too. Entries that were overwritten, or deleted, count as long as they are in a table or a
// memtable; of what was evicted, those that are in a memtable.
func (v *View) Expiring(active *ttl.Histogram, now int64, to []int64) []Due {
	due := make([]Due, len(to))
	add := func(until int64, i int, entries, bytes float64) {
		if to[i] > until {
			due[i].Entries += entries
			due[i].Bytes += bytes
		}
	}
	histograms := []*ttl.Histogram{active}
	for _, m := range v.Frozen {
		histograms = append(histograms, m.Deadlines)
	}
	for _, h := range histograms {
		gone, goneBytes := h.Expired(now)
		for i := range to {
			n, size := h.Expired(to[i])
			add(now, i, n-gone, size-goneBytes)
		}
	}
	for _, tables := range v.Version.Levels {
		for _, t := range tables {
			p := t.Reader.Properties()
			if p.DeadlineEntries == 0 {
				continue
			}
			until := max(now, t.Evicted(v.Version.Evictions))
			puts, bytes := float64(p.Entries-p.Tombstones), float64(p.PutBytes())
			gone, goneBytes := p.Expired(until)
			for i := range to {
				n, size := p.Expired(to[i])
				add(until, i, puts*(n-gone), bytes*(size-goneBytes))
			}
		}
	}
	return due
}
