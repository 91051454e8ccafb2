package wal

// Event is one of the structs below.
type Event interface{ event() }

// Rotated says that a segment was sealed and the next one started.
type Rotated struct {
	Sealed uint32 // the full segment
	Bytes  int64  // its length
	Next   uint32 // the one that appends go to now
}

// TailCut says that Open found a torn tail, put its bytes aside and cut it, or that Replay found one and stopped there.
type TailCut struct {
	File       string
	Offset     int64  // where the log ends now
	Bytes      int64  // that were torn, up to the last that is not zero, there and in segments behind
	Quarantine string // the file that holds them, with those of segments behind beside it; empty if they were not cut
}

// Deleted says that obsolete segments, First up to but not including Before, are gone.
type Deleted struct{ First, Before uint32 }

// HistoryLost says that Open could not read an obsolete segment, kept for readers only: they cannot begin before its end any
// more. If Err matches ErrCorrupt it was deleted with all that are older. Nothing that the owner needs is touched.
type HistoryLost struct {
	File string
	Err  error
}

// DiskFull says that an append was refused for lack of room. The log goes on when there is some.
type DiskFull struct{ Err error }

// Failed says that a write or an fsync has failed: every later append returns this first cause.
type Failed struct{ Err error }

func (Rotated) event()     {}
func (TailCut) event()     {}
func (Deleted) event()     {}
func (HistoryLost) event() {}
func (DiskFull) event()    {}
func (Failed) event()      {}
