package main

import (
	"os/exec"
	"syscall"
)

// bind makes a process die with this one.
func bind(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
