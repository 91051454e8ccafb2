//go:build unix && !linux

package memfs

func preferHuge([]byte) {}
