//go:build race

package ebb

// raceEnabled: the race detector allocates.
const raceEnabled = true
