// Package workload decides what a benchmark does next: which operation, on which key, with which value. It knows nothing of
// stores and of time.
//
// The core workloads and their distributions are those of YCSB (Cooper et al., "Benchmarking Cloud Serving Systems with
// YCSB", 2010). A value says by itself which key and which write it belongs to, so that whatever a store answers can be
// checked without a lock and almost for free.
//
// Rand is for one goroutine; Zipfian and Values do not change; Sequence and Versions are for any number.
package workload
