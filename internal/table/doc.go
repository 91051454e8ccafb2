// Package table builds and reads tables: immutable files of entries in key order, at most one entry a key.
//
// It owns the file format (format.go), the Writer that makes a file, the Reader that answers from it, the Iterator over
// one, the Sorted view of several, the Properties that tell a compaction what is inside, and the Cache of blocks that had to be
// read or decompressed.
// Which entries of other tables a tombstone, a deadline or a range delete hides is for the caller to find out.
//
// A look-up goes from the hash of the key to one slot of eight bytes, and from there to the row: no search, no filter. A
// table is mapped where the file system can, and uncompressed blocks are then read in place, or by an Iterator that is told
// so in a copy of its own. The rest goes through ReadAt and the Cache. Nothing is returned from a block, a hash page or any
// other part before its checksum was verified once.
//
// A fault in mapped memory is an error, never a crash, for as long as this package touches the memory. Slices that an
// Iterator returns alias the mapping: whoever reads them does so under vfs.Guard, around a whole operation.
//
// The package never syncs or lists a directory, never deletes a file other than one it failed to finish, and reads no
// clock. A Writer and an Iterator belong to one goroutine at a time; a Reader and a Cache are for any number of them.
package table
