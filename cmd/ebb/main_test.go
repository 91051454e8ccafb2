package main

import (
	"os"
	"testing"
)

// asCommand, set in its environment, makes the test binary the command.
const asCommand = "EBB_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		os.Exit(runProcess())
	}
	os.Exit(m.Run())
}
