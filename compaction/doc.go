// Package compaction decides which tables to rewrite, and rewrites them.
//
// Picking ([Pick], [PickAll]) is a pure function of the levels and the time. Running ([Run]) and building tables from a
// memtable ([Build]) read sources newest first and write what of them is still needed: of each key the newest entry, a
// tombstone only where something older may lie below, nothing that has expired.
//
// The package never touches the manifest, deletes no input and keeps no state: what is made of a plan becomes live when
// the owner commits it. Any goroutine may call anything.
package compaction
