// Command chaos runs a cluster of real processes, does to it what machines and networks do, and checks what its clients saw.
//
//	go run ./chaos -runs 100 -seconds 30 -nodes 3
//
// Clients write and read through all nodes: registers (put, get, delete, compare and swap), counters, some of which several
// calls add to at once, lists that transactions append to and read by their range, members of a set, and keys that expire.
// Meanwhile nodes are killed, stopped and continued, cut off from each other, have their clocks set by an hour, run out of
// disk, are added and removed, and take and install snapshots. After each run everything is healed, and then:
//
//   - every history of registers, counters and lists is linearizable, lists being checked as transactions over a group of them
//     (porcupine), with no verdict open;
//   - every member of the set that was acknowledged is there, and nothing that was refused;
//   - no key is gone before its time, and none that was seen to have expired is back;
//   - the digests of all nodes agree at one entry.
//
// Nodes of runs with an odd seed report what expires (ebb.Options.ExpiryEvents): reports take versions, so that nodes which did not
// report the same would differ in their digests.
//
// A run is made by its seed as far as the faults go; what the machine does in between is its own. A failed run keeps its
// directory, and says what it found. The same program is the node: chaos node ... is what it starts.
package main
