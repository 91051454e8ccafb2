package vfstest

import "io"

// Recoveries tries the states that crashes during a recovery leave, and those of crashes during the recovery from that. B is
// what a state is held against: it must be comparable, and all that the checks know of the crash beside its state.
type Recoveries[B comparable] struct {
	// Open recovers what a crash has left, which is then closed. What it does to the file system is recorded.
	Open func(fs *Mem, against B) (io.Closer, error)
	// Check holds a file system against what it has to hold. It may change the file system.
	Check func(fs *Mem, against B) error
	// Every is of how many crashes during a recovery one is recovered from at the next depth.
	Every int

	States, Different int // how many were come to, and how many Check was called for

	opened, checked Tried // the states in which crashes during Open were tried, and those that were checked
}

// Try opens what a crash has left, and checks the states that a crash during that may leave, to a depth.
func (r *Recoveries[B]) Try(c *Crash, depth int, against B) error {
	type deep struct {
		against B
		depth   int
	}
	if r.opened.Before(c, deep{against, depth}) {
		return nil
	}
	c.FS.Record()
	opened, err := r.Open(c.FS, against)
	if err != nil {
		return err
	}
	defer opened.Close()
	return TryCrashes(c.FS, CrashPoints{Random: 1}, func(c *Crash) error {
		r.States++
		if !r.checked.Before(c, against) {
			r.Different++
			if err := r.Check(c.FS.Clone(), against); err != nil {
				return err
			}
		}
		if depth == 1 || c.Op%r.Every != 1 || c.Killed() {
			return nil
		}
		return r.Try(c, depth-1, against)
	})
}
