// Package cache has nothing but a benchmark: ebb as a bounded cache beside otter, which is in memory, with one trace and as
// many bytes for each.
//
//	go test -run '^$' -bench . -benchtime 4000000x ./cache
package cache
