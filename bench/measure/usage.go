package measure

import (
	"io/fs"
	"path/filepath"
	"runtime"
)

// Usage is what the process has used since it began.
type Usage struct {
	CPU                float64 // seconds
	Written            int64   // bytes
	Allocs, AllocBytes int64
}

// Used returns the usage so far. It stops the world for a moment.
func Used() Usage {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return Usage{cpuSeconds(), written(), int64(m.Mallocs), int64(m.TotalAlloc)}
}

// Since returns what has been used since before.
func (u Usage) Since(before Usage) Usage {
	return Usage{u.CPU - before.CPU, u.Written - before.Written, u.Allocs - before.Allocs, u.AllocBytes - before.AllocBytes}
}

// Disk returns the bytes that the files of a directory take, without the holes in them where the system tells. Files may come
// and go meanwhile.
func Disk(dir string) int64 {
	var n int64
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil // it is gone
		}
		if info, err := d.Info(); err == nil {
			n += allocated(info)
		}
		return nil
	})
	return n
}
