// Package memfs is a file system in the memory of the process, for a database that is to leave nothing behind.
//
// It owns the names and the bytes of its files. A file lives as long as a name or an open [vfs.File] refers to it; then its
// memory is free. There are no symbolic links, nothing is ever synced, and no disk is full: memory that runs out ends the
// process, as everywhere in Go. File systems for tests, which record and fail, are in package vfstest.
//
// Every method may be called from any goroutine. A lock guards the names, and one for each file its bytes.
package memfs
