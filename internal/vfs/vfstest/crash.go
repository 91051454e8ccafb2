package vfstest

import (
	"iter"
)

// # The durability model
//
// A recording is a list of operations; a crash after the first k of them leaves a state. Each of the k operations is
// durable or pending there, and every subset of the pending ones may have reached the disk.
//
//   - Data: WriteAt and Truncate change one inode. A Sync or SyncData of that inode makes all its earlier data operations
//     durable, and with them the length.
//   - Names: Create, MkdirAll (one operation for each directory it makes), Link, Rename and Remove change entries of one
//     directory. A SyncDir of that directory makes its earlier name operations durable. A file that was created, written
//     and synced is gone if its directory was not synced, and so is a directory if its parent was not.
//   - Neither helps the other. A durable name may stand for a file that is empty, because nothing of its data is.
//   - Subsets: those pending operations that persist are applied in the order of the recording, over the durable state; the
//     rest is as if it had never been called. So a write that persists goes to its offset whatever became of the writes
//     before it, a hole that a lost write leaves reads as zeros, and a truncation cuts the bytes there are when it is applied.
//   - A rename is atomic: the entry moves or it does not. It belongs to the directory it moves to. If an earlier operation
//     that gave the file its old name was lost, the rename gives it the new name all the same.
//   - A write is not atomic: it may persist in any of its 512-byte sectors (by offset in the file), or in none and yet have
//     made the file longer. Only the bytes that it writes are ever in doubt: a sector that a write shares with older data
//     keeps them.
//   - A mapped write is a write. WriteBack promises nothing and changes nothing.
//   - A sync that failed (see Fault) makes nothing durable, and operations that were pending then no later sync makes
//     durable: the kernel has marked those pages clean. They stay pending to the end of the recording.
//
// This is more hostile than any one file system: ext4, say, writes names in order and syncs a new file's name with the
// file. A store that survives the model relies on no such thing.

// Crasher builds the states that a power cut may leave from a Mem's recording. It is not safe for concurrent use,
// and one enumeration must end before the next begins; the states it yields are independent.
type Crasher struct {
	rec    recording
	seed   uint64
	random int

	at              *image
	described       []string // by operation, as far as they were asked for
	total, distinct int
}

// CrashState is a file system as a crash may leave it.
type CrashState struct {
	Name string // how it was built
	FS   *Mem   // belongs to the receiver; it records nothing and holds no lock

	sum uint64 // of all names and contents
}

// Crashes returns a Crasher over the operations that m has recorded so far, which has seeded random subsets besides the
// systematic ones: random of them at each point. It panics if m does not record.
func (m *Mem) Crashes(seed uint64, random int) *Crasher {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return &Crasher{rec: *m.mu.rec, seed: seed, random: random}
}

// OpCount returns how many operations there are, so that k of At runs from 0 to OpCount.
func (c *Crasher) OpCount() int { return len(c.rec.ops) }

// opString describes an operation, once for all states that are named after it.
func (c *Crasher) opString(i int) string {
	if c.described == nil {
		c.described = make([]string, len(c.rec.ops))
	}
	if c.described[i] == "" {
		c.described[i] = opString(c.rec.ops, i)
	}
	return c.described[i]
}

// Counts returns how many states all calls of At have built, and how many of those they yielded after leaving out those
// that looked like another of the same call.
func (c *Crasher) Counts() (total, distinct int) { return c.total, c.distinct }

// At yields the states that a crash after the first k operations may leave, each once:
//
//   - "all": everything persisted, as after the death of the process alone; always the first;
//   - "synced": only what is durable; always considered second;
//   - "names" and "data": of the pending operations, all of one sort and none of the other;
//   - "grown": all names, no data, and each file of the length its writes gave it;
//   - for each pending operation: all "through" it and none after, "without" it, "only" it, and, for data, "names and" it;
//   - for the last write, where it is pending: "torn" after a sector, with the rest old or zero; torn before a sector; and
//     one sector of zeros or garbage, all of that with everything else persisted;
//   - "random" subsets, writes torn anywhere among them.
//
// Walking k upwards costs least.
func (c *Crasher) At(k int) iter.Seq[CrashState] {
	return func(yield func(CrashState) bool) {
		if c.at == nil || c.at.k > k {
			c.at = newImage(c.rec.base)
		}
		for c.at.k < k {
			c.at.advance(c.rec.ops)
		}
		seen := make(map[uint64]bool)
		for name, outs := range c.plans(c.at.pending(c.rec.ops)) {
			c.total++
			state := c.at.build(c.rec.ops, outs)
			h := state.hash()
			if seen[h] {
				continue
			}
			seen[h] = true
			c.distinct++
			if !yield(CrashState{Name: name, FS: state, sum: h}) {
				return
			}
		}
	}
}
