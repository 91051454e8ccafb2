//go:build !linux

package vfs

import "os"

// canMapWrites reports false: only Linux has been shown to keep mappings, system calls and fdatasync in step.
func canMapWrites(*os.File) bool { return false }

// syncData is a full sync; on darwin, where fsync stops at the drive's cache, os.File.Sync goes through it.
func syncData(f *os.File) error { return f.Sync() }

func writeBack(*os.File, int64, int64) {}

func unload([]byte) {}
