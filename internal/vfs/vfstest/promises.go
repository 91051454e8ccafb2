package vfstest

// Promises notes at which operations of a recording each write of a script began, returned, and was known to be on the disk.
// From that follows how much of the script a crash must leave, and how much it may.
type Promises struct {
	mem                  *Mem
	begun, acked, synced []int // of each write: how many operations had been recorded
}

// NewPromises returns the promises of a script that begins now, on a Mem that records.
func NewPromises(mem *Mem) *Promises { return &Promises{mem: mem} }

// Begin notes that the next write begins.
func (p *Promises) Begin() { p.begun = append(p.begun, p.mem.OpCount()) }

// Done notes that it has returned: the death of the process does not take it any more.
func (p *Promises) Done() { p.acked = append(p.acked, p.mem.OpCount()) }

// Synced notes that no power cut takes any of the writes so far.
func (p *Promises) Synced() {
	for len(p.synced) < len(p.acked) {
		p.synced = append(p.synced, p.mem.OpCount())
	}
}

// Len returns how many writes are done.
func (p *Promises) Len() int { return len(p.acked) }

// At returns how many writes must be there after a crash, and how many may.
func (p *Promises) At(c *Crash) (least, most int) {
	promised := p.synced
	if c.Killed() {
		promised = p.acked
	}
	return until(promised, c.Op), until(p.begun, c.Op)
}

// until returns how many of ascending numbers are not above k.
func until(numbers []int, k int) int {
	n := 0
	for n < len(numbers) && numbers[n] <= k {
		n++
	}
	return n
}
