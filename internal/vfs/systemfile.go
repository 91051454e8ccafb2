package vfs

import "slices"

// systemFiles are what systems put at the root of a file system, or into any directory that a user looks at.
var systemFiles = []string{
	"lost+found",                                // of ext4 and others
	"$RECYCLE.BIN", "System Volume Information", // of Windows
	".DS_Store", ".Spotlight-V100", ".Trashes", ".fseventsd", // of macOS
}

// SystemFile reports whether a name is one that the system may have put into a directory which is empty otherwise.
func SystemFile(name string) bool { return slices.Contains(systemFiles, name) }
