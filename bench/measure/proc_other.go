//go:build !linux

package measure

import "runtime/metrics"

// RSS returns the bytes of memory that the Go runtime has now.
func RSS() int64 {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples)
	return int64(samples[0].Value.Uint64() - samples[1].Value.Uint64())
}

// ResetPeak does nothing here.
func ResetPeak() {}

func written() int64 { return 0 }

// Processor returns "" here.
func Processor() string { return "" }

// Memory returns 0 here.
func Memory() int64 { return 0 }

// Resident returns nothing: this system does not tell its own memory of a process from that of mapped files.
func Resident() (anon, file int64) { return 0, 0 }
