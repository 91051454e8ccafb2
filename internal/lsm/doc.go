// Package lsm owns what of a database is live: the memtables, the tables, and the manifest that names the tables. It says who
// may read what, and up to where.
//
//	Set       what is live now, and how that changes: Freeze, Commit, Publish
//	Edit      one change of the tables, as a value
//	View      what a read reads: the active memtable, the frozen ones, and a Version
//	Version   the tables of a view
//	Mem       a memtable, with what the log and the sweeper need to know of it
//	Sources, Deletes   what a walk over a view merges, and what range deletes cover of it
//	Rent      what reads pay for the tables that they have to ask
//	Loader    opens the tables that a manifest names
//
// # What holds
//
//   - The manifest names the tables of the newest view, and a segment of the log from which on everything is read that its
//     memtables hold. A file is on the disk before the manifest names it, and goes only after a manifest without it is.
//   - A table is open as long as a version that has it is live, pinned, or read by a reader that entered while it was live.
//   - Reads see every operation up to one sequence, and none after it: Show moves that sequence forward. What the tables of
//     the newest view hold, reads see, but for the moment in which an Ingest commits. That is why a read takes the view first
//     and the sequence after: see Set.EnterNewest.
//   - For any key, what a newer source of a view knows is newer than what an older one knows.
//
// # Locks
//
// Commit, Publish, PinFiles, the last Unpin of a version and Close take mu. It is held over the writing of the manifest and the
// closing of tables. Whoever replaces the view holds replace, never over I/O. mu comes before replace. Readers take neither.
//
// The caller sees to it that one goroutine at a time freezes or makes another memtable active, and that a memtable is flushed
// after those that are older. The package knows nothing of the log but positions, starts no goroutine but in Config.Workers, and
// reports what nobody waits for by Config.Report.
package lsm
