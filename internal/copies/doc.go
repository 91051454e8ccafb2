// Package copies makes new databases from the snapshot files ([Restore]) and from the tables ([Link]) of another. It also
// hands the entries of a snapshot file to whoever builds tables of them ([Open], [Source]), and reports how much has been
// read ([Progress]).
//
// A copy is built in a temporary directory and published as a whole: see [dir.New]. The package does not know an open
// database: the caller of Link keeps the files that are linked where they are.
package copies
