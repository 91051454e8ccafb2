package main

import (
	"os"

	"golang.org/x/sys/windows"
)

// noSignalKeys makes Ctrl-C a key of the console like others.
func noSignalKeys() error {
	console := windows.Handle(os.Stdin.Fd())
	var mode uint32
	err := windows.GetConsoleMode(console, &mode)
	if err == nil {
		err = windows.SetConsoleMode(console, mode&^windows.ENABLE_PROCESSED_INPUT)
	}
	return os.NewSyscallError("console mode", err)
}
