//go:build !unix && !windows

package main

func noSignalKeys() error { return nil }
