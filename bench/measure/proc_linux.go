package measure

import (
	"bytes"
	"os"
	"strconv"
)

// RSS returns the bytes of memory that the process has now.
func RSS() int64 { return procField("/proc/self/status", "VmRSS:") << 10 }

// Resident returns the bytes of memory that the process has now: of its own, and of files that it has mapped, which the system
// takes back when it needs them.
func Resident() (anon, file int64) {
	b, _ := os.ReadFile("/proc/self/status")
	return field(b, "RssAnon:") << 10, field(b, "RssFile:") << 10
}

// PeakRSS returns the most that the process has had since the last ResetPeak.
func PeakRSS() int64 { return procField("/proc/self/status", "VmHWM:") << 10 }

// ResetPeak lets PeakRSS begin again. Without the permission to do so, it is the peak of the whole process.
func ResetPeak() { _ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) }

// written returns the bytes that the process has caused to be sent to the disk, be it by write or through a mapping.
func written() int64 { return procField("/proc/self/io", "\nwrite_bytes:") }

// Processor returns the name of the processor.
func Processor() string {
	b, _ := os.ReadFile("/proc/cpuinfo")
	_, name, _ := bytes.Cut(b, []byte("model name\t: "))
	name, _, _ = bytes.Cut(name, []byte("\n"))
	return string(name)
}

// Memory returns the bytes of memory of the machine.
func Memory() int64 { return procField("/proc/meminfo", "MemTotal:") << 10 }

func procField(file, name string) int64 {
	b, _ := os.ReadFile(file)
	return field(b, name)
}

// field returns the number behind a name, 0 if it is not there.
func field(b []byte, name string) int64 {
	_, rest, _ := bytes.Cut(b, []byte(name))
	fields := bytes.Fields(rest)
	if len(fields) == 0 {
		return 0
	}
	n, _ := strconv.ParseInt(string(fields[0]), 10, 64)
	return n
}
