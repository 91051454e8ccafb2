//go:build unix

package ebb

import (
	"io/fs"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// BenchmarkExpiry is the life of -records keys of 100 B with deadlines 10 to 30 s after they were written: how much of the
// directory is left ten seconds after the last, and what that cost. One iteration takes 45 s.
func BenchmarkExpiry(b *testing.B) {
	for b.Loop() {
		dir := filepath.Join(b.TempDir(), "db")
		db, err := Open(dir, &Options{Sync: SyncNever})
		if err != nil {
			b.Fatal(err)
		}
		key, value := make([]byte, 0, 24), make([]byte, 76)
		start := time.Now()
		for i := range *benchRecords {
			ttl := 10*time.Second + time.Duration(i%20_000)*time.Millisecond
			if err := db.Put(benchKey(key, uint64(i)), value, TTL(ttl)); err != nil {
				b.Fatal(err)
			}
		}
		wrote, cpu := time.Since(start), cpuTime()
		var peak int64
		for end := time.Now().Add(40 * time.Second); time.Now().Before(end); time.Sleep(500 * time.Millisecond) {
			peak = max(peak, dirSize(b, dir))
		}
		left := dirSize(b, dir)
		b.ReportMetric(wrote.Seconds(), "load-s")
		b.ReportMetric(float64(peak)/1e6, "peak-MB")
		b.ReportMetric(float64(left)/1e6, "left-MB")
		b.ReportMetric(100*float64(left)/float64(peak), "left-%")
		b.ReportMetric(100*(cpuTime()-cpu).Seconds()/40, "cpu-%")
		b.Logf("%+v", db.Stats())
		db.Close()
	}
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func dirSize(b *testing.B, dir string) int64 {
	var n int64
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil // deleted meanwhile
		}
		if info, err := d.Info(); err == nil {
			n += info.Size()
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return n
}
