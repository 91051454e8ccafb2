//go:build !linux && !darwin

package measure

// PeakRSS returns what the process has now: this system has nothing better without cgo.
func PeakRSS() int64 { return RSS() }
