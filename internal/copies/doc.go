// Package copies makes databases of what another has given away: of its snapshot files ([Restore]) and of its tables
// ([Link]). It also hands a snapshot file to whoever builds tables of it ([Open], [Source]), and tells how far it has come
// ([Progress]).
//
// A copy is built in a directory of its own and published as a whole: see [dir.New]. Nothing here knows an open database:
// whoever has one keeps the files that are linked where they are.
package copies
