// Package scan holds what a walk over a view needs besides its sources: the bounds that it stays between, and the entries that
// it has read ahead.
//
// It decides which entries of a run are shown: puts within the bounds that no range delete covers, that have not expired, were
// not evicted, and lie in no range that the transaction has deleted. It does no I/O, moves no iterator and knows no lock. What
// it compares and copies may lie in mapped memory: it is to be called under vfs.Guard. For one goroutine.
package scan
