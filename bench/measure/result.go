package measure

// Run is what one store did in one fresh process and directory, or in the few that a crash takes.
type Run struct {
	Store  string
	Group  string // of phases that share the process
	Number int    // from 0
	Phases []Phase

	Seconds    float64 // of the whole, with opening and closing
	CloseTime  float64 // seconds
	OpenTime   float64 // seconds, in a fresh process after a clean close, until the first read was answered
	Written    int64   // bytes that the process has sent to the disk, closing included
	UserBytes  int64   // of keys and values that were written
	ClosedDisk int64   // bytes on disk when it was closed

	Crash  *Crash  `json:",omitempty"`
	Expiry *Expiry `json:",omitempty"`
	Error  string  `json:",omitempty"` // why it ended early
}

// Phase is what is measured of one workload.
type Phase struct {
	Name       string
	Aside      bool // not a workload: the time before or after one, of which only the samples count
	Ops        int64
	Seconds    float64
	Latency    map[string]Latency // by kind of operation, and under All
	CPU        float64            // seconds, of user and system
	PeakRSS    int64              // bytes; of the process so far where a phase's own is not to be had
	PeakAnon   int64              // bytes of it that are the process's own, at most; 0: the system does not tell
	PeakFile   int64              // bytes of it that are mapped files, at most: not at the same moment
	Allocs     int64
	AllocBytes int64
	Written    int64 // bytes sent to the disk
	UserBytes  int64 // of keys and values written
	LiveBytes  int64 // of keys and values that are there at the end
	Disk       int64 // bytes that the directory takes at the end
	Samples    []Sample
	Wrong      int64  // answers that cannot be
	FirstWrong string `json:",omitempty"`
}

// All is the key of a phase's latency over all its operations.
const All = "all"

// Latency is in nanoseconds.
type Latency struct {
	Count               int64
	P50, P99, P999, Max int64
	Mean                float64
}

// Sample is what a process held at one moment of a phase.
type Sample struct {
	At   float64 // seconds since the phase began
	Disk int64
	RSS  int64
}

// Crash is what was left by kill -9.
type Crash struct {
	Acknowledged int64
	Lost         int64   // acknowledged, and not there or not right afterwards
	Promised     bool    // not to lose any; otherwise it is a figure, not a failure
	OpenTime     float64 // seconds, in a fresh process, until the first read was answered
	Disk         int64   // when it was killed
}

// Expiry is what is left when everything has expired.
type Expiry struct {
	Linger  float64 // seconds since the last deadline
	Peak    int64   // bytes on disk at most
	Held    int64   // bytes on disk at the end
	CPU     float64 // seconds, from the last write to the end
	Visible int64   // keys that a scan still shows
}
