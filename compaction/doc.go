// Package compaction decides which tables to rewrite, and rewrites them.
//
// Picking ([Pick], [PickAll]) is a pure function of the levels and the time. Running ([Run]) and building tables from a
// memtable ([BuildMemtable]) read sources newest first and write the entries that are still needed: of each key the newest, a
// tombstone only if older entries may lie below, nothing that has expired.
//
// The package never touches the manifest, deletes no input and keeps no state: the tables of a plan become live when the owner
// commits them. Any goroutine may call anything.
package compaction
