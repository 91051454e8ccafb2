package wal

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ebbdb/ebb/internal/vfs"
)

var valueSizes = []int{128, 1024}

// BenchmarkAppend appends records of a size, key and value together, without sync: in segments of 64 MiB, each of which is
// synced before the next, so that the disk sets the pace where it is the slower; and in one that is hardly ever full.
func BenchmarkAppend(b *testing.B) {
	for _, size := range valueSizes {
		for _, segment := range []int64{64 << 20, 1 << 30} {
			benchmarkAppend(b, size, segment)
		}
	}
}

func benchmarkAppend(b *testing.B, size int, segment int64) {
	b.Run(fmt.Sprintf("%dB/segment=%dMiB", size, segment>>20), func(b *testing.B) {
		l := openBench(b, &Options{Sync: SyncNever, SegmentSize: segment})
		e := Entry{Key: []byte("user0123456789abcdef0000"), Value: make([]byte, size-24)}
		b.SetBytes(int64(size))
		b.ReportAllocs()
		for b.Loop() {
			if err := l.Append(&e); err != nil {
				b.Fatal(err)
			}
			if e.Pos.Offset == headerSize { // a new segment: keep the disk small
				l.DeleteBefore(e.Pos.Segment)
			}
		}
	})
}

// BenchmarkAppendAll appends groups of 100 records of 128 B without sync; the figure is a record's.
func BenchmarkAppendAll(b *testing.B) {
	l := openBench(b, &Options{Sync: SyncNever})
	es := make([]Entry, 100)
	for i := range es {
		es[i] = Entry{Key: []byte("user0123456789abcdef0000"), Value: make([]byte, 104)}
	}
	b.SetBytes(128)
	b.ReportAllocs()
	segment := uint32(0)
	for i := 0; i < b.N; i += len(es) {
		if err := l.AppendAll(es); err != nil {
			b.Fatal(err)
		}
		if s := es[0].Pos.Segment; s != segment {
			segment = s
			l.DeleteBefore(s)
		}
	}
}

// BenchmarkSync compares synced appends of 128 B by many writers with the same number of writers on a bare file: zeroed
// ahead, one goroutine writing and syncing for all that wait, nothing encoded. The two take turns within one run, so that
// the machine's drift hits both; ratio is log/raw.
func BenchmarkSync(b *testing.B) {
	for _, writers := range []int{1, 8, 64, 512} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			l := openBench(b, nil)
			raw := openRaw(b)
			var logTime, rawTime time.Duration
			const rounds = 10
			for range rounds {
				n := b.N/rounds + 1
				logTime += commit(b, writers, n, func(e *Entry) error { return l.Append(e) })
				rawTime += commit(b, writers, n, raw.append)
			}
			b.ReportMetric(float64(b.N)/logTime.Seconds(), "log/s")
			b.ReportMetric(float64(b.N)/rawTime.Seconds(), "raw/s")
			b.ReportMetric(logTime.Seconds()/rawTime.Seconds(), "ratio")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// commit runs n appends by a number of writers and returns how long it took.
func commit(b *testing.B, writers, n int, do func(*Entry) error) time.Duration {
	var left atomic.Int64
	left.Store(int64(n))
	var wg sync.WaitGroup
	start := time.Now()
	for range writers {
		wg.Go(func() {
			e := Entry{Key: []byte("user0123456789abcdef0000"), Value: make([]byte, 104)}
			for left.Add(-1) >= 0 {
				if err := do(&e); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	return time.Since(start)
}

// rawGroup is group commit on a bare file: what the log's cost is measured against.
type rawGroup struct {
	file vfs.File
	mu   struct {
		sync.Mutex
		// +checklocks:Mutex
		off int64
		// +checklocks:Mutex
		buf []byte
		// +checklocks:Mutex
		next *rawRound
		// +checklocks:Mutex
		busy bool
	}
}

type rawRound struct {
	done chan struct{}
	err  error
}

func openRaw(b *testing.B) *rawGroup {
	f, err := vfs.OS.Create(filepath.Join(b.TempDir(), "raw"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { f.Close() })
	g := &rawGroup{file: f}
	for off := int64(0); off < rawSize; off += smallZeros {
		if _, err := f.WriteAt(zeros[:smallZeros], off); err != nil {
			b.Fatal(err)
		}
	}
	if err := f.Sync(); err != nil {
		b.Fatal(err)
	}
	return g
}

const rawSize = 64 << 20

func (g *rawGroup) append(e *Entry) error {
	g.mu.Lock()
	g.mu.buf = append(append(g.mu.buf, e.Key...), e.Value...)
	if g.mu.next == nil {
		g.mu.next = &rawRound{done: make(chan struct{})}
	}
	r := g.mu.next
	if g.mu.busy {
		g.mu.Unlock()
		<-r.done
		return r.err
	}
	g.mu.busy = true
	for {
		g.mu.Unlock()
		runtime.Gosched()
		g.mu.Lock()
		buf, round := g.mu.buf, g.mu.next
		g.mu.buf, g.mu.next = nil, nil
		if g.mu.off+int64(len(buf)) > rawSize {
			g.mu.off = 0
		}
		off := g.mu.off
		g.mu.off += int64(len(buf))
		g.mu.Unlock()
		_, err := g.file.WriteAt(buf, off)
		if err == nil {
			err = g.file.SyncData()
		}
		round.err = err
		close(round.done)
		g.mu.Lock()
		if g.mu.next == nil {
			break
		}
	}
	g.mu.busy = false
	g.mu.Unlock()
	<-r.done
	return r.err
}

func openBench(b *testing.B, o *Options) *Log {
	b.Helper()
	l, err := Open(filepath.Join(b.TempDir(), "log"), o)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	return l
}

// BenchmarkRecover opens a log of 256 MB of 128 B records, cleanly closed and in the page cache.
func BenchmarkRecover(b *testing.B) {
	dir := filepath.Join(b.TempDir(), "log")
	l, err := Open(dir, &Options{Sync: SyncNever})
	if err != nil {
		b.Fatal(err)
	}
	es := make([]Entry, 1000)
	for i := range es {
		es[i] = Entry{Key: []byte("user0123456789abcdef0000"), Value: make([]byte, 104)}
	}
	const size = 256 << 20
	for l.Stats().Bytes < size {
		if err := l.AppendAll(es); err != nil {
			b.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(size)
	for b.Loop() {
		n := 0
		l, err := Open(dir, &Options{Replay: func(*Entry) error { n++; return nil }})
		if err != nil {
			b.Fatal(err)
		}
		if err := l.Close(); err != nil {
			b.Fatal(err)
		}
	}
	os.RemoveAll(dir)
}
