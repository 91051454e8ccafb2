// Package worker is what runs in the processes that are measured: the phases of a group on one store, and the three parts of
// opening and crashing.
//
// A client is one thread of a phase. The driver asks it for its next operation, times the store's part of that, and then lets
// it look at the answer; only the middle is in the latencies, all of it in operations a second.
package worker
