// Package lsm owns the live parts of a database: the memtables, the tables, and the manifest that names the tables. It says
// which view a read reads, up to which sequence, and when a table may go.
//
//	Set       the live view, and its changes: Freeze, Commit, Publish
//	Edit      one change of the tables, as a value
//	View      the sources of a read: the active memtable, the frozen ones, and a Version
//	Version   the tables of a view
//	Mem       a memtable, with facts for the log and the sweeper
//	Sources, Deletes   the iterators that a walk over a view merges, and the range deletes that cover its entries
//	Rent      the cost to reads of the tables that they have to ask
//	order     the sorted view of a version's tables, and whether another is worth its cost
//	Loader    opens the tables that a manifest names
//
// # What holds
//
//   - The manifest names the tables of the newest view, and a first segment of the log: from there on the log has every
//     write that the view's memtables hold. A table is durable before the manifest names it, and goes only after a manifest
//     without it is durable.
//   - A table is open as long as a version that has it is live, pinned, or read by a reader that entered while it was live.
//   - Every operation up to one sequence is visible, and none after it: Show moves that sequence forward. Every entry in the
//     tables of the newest view is visible, but for the moment in which an Ingest commits. That is why a read loads the view
//     first and the sequence after: see Set.EnterNewest.
//   - For any key, the versions in a newer source of a view are newer than those in an older source.
//
// # Locks
//
// Commit, Publish, PinFiles, the last Unpin of a version and Close take mu, which is held over the writing of the manifest
// and the closing of tables. Whoever replaces the view holds replace, never over I/O. mu comes before replace. Readers take
// neither. The count of releases under way has a lock of its own, the innermost.
//
// The caller sees to it that one goroutine at a time freezes or makes another memtable active, and that a memtable is
// flushed after those that are older. The package knows nothing of the log but positions, starts no goroutine but in
// Config.Workers, and reports failures that nobody waits for by Config.Report.
package lsm
