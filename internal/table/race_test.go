//go:build race

package table

// raceEnabled: the exhaustive tests take samples under the race detector.
const raceEnabled = true
