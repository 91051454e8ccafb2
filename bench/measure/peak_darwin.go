package measure

import "golang.org/x/sys/unix"

// PeakRSS returns the most that the process has had.
func PeakRSS() int64 {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return u.Maxrss
}
