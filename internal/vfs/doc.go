// Package vfs is the seam between a database and the file system.
//
// It owns the [FS] and [File] interfaces and three implementations: [OS], the real thing; [Mem], a file system in memory
// that records every operation, from which every state that a power cut may leave can be built; and [Fault], which wraps
// another FS and makes chosen operations fail. Fast paths of one system stand behind small files of their own.
//
// It never retries, never caches, and never interprets what it stores. Every method may be called from any goroutine.
package vfs
