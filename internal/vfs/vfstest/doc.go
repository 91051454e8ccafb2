// Package vfstest has the file systems of tests: [Mem], a file system in memory that records every operation, from which a
// [Crasher] builds every state that a power cut may leave, and [Fault], which wraps another FS, makes chosen operations
// fail and lets the disk be full.
//
// Only tests import it.
package vfstest
