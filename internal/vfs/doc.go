// Package vfs is the seam between a database and the file system.
//
// It owns the [FS] and [File] interfaces, [OS], the real thing, and what a store does with any of them: a directory that is
// durable with its parents, a tree that is removed, a directory that is used only while its lock is where it was taken. Fast
// paths of one system stand behind small files of their own. Package vfstest has the file systems of tests.
//
// It never retries, never caches, and never interprets bytes that it stores. Every method may be called from any goroutine.
package vfs
