package ebb

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// stuckReader reads some bytes and then blocks for ever.
type stuckReader struct {
	io.Reader
	stuck chan struct{} // closed when it blocks
	never chan struct{}
}

func newStuckReader(data []byte) *stuckReader {
	return &stuckReader{bytes.NewReader(data), make(chan struct{}), make(chan struct{})}
}

func (r *stuckReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err == io.EOF {
		close(r.stuck)
		<-r.never
	}
	return n, err
}

// An Ingest ends with its context, and Close ends it, wherever its reader blocks, and nothing of it is left.
func TestIngestOfABlockedReader(t *testing.T) {
	clock := newFakeClock()
	source := openTest(t, roomyOptions(vfstest.NewMem(), clock))
	fill(t, source, 3000)
	data, _ := takeBackup(t, source, nil)
	for _, n := range []int{0, 10, len(data) / 2, len(data) - 1} {
		for _, closes := range []bool{true, false} {
			mem := vfstest.NewMem()
			db := openTest(t, tinyOptions(mem, clock))
			r := newStuckReader(data[:n])
			ctx, cancel := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			wg.Go(func() {
				<-r.stuck
				if closes {
					if err := db.Close(); err != nil {
						t.Error(err)
					}
				}
				cancel()
			})
			want := context.Canceled
			if closes {
				want = ErrClosed
			}
			if _, err := db.Ingest(ctx, r, nil); !errors.Is(err, want) {
				t.Errorf("%d bytes: %v, want %v", n, err, want)
			}
			wg.Wait()
			close(r.never)
			if names := files(t, mem, "db/tables"); len(names) != 0 {
				t.Errorf("%d bytes: %q is left", n, names)
			}
			must(t, db.Close())
		}
	}
}

// Close waits for a checkpoint, which uses the names of tables that are another owner's after it; the checkpoint ends, and
// leaves nothing.
func TestCloseWaitsForCheckpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfstest.NewMem()
		fault, release := vfstest.NewFault(mem), make(chan struct{})
		db := openTest(t, manualOptions(fault, newFakeClock(), SyncNever))
		for range 2 {
			must(t, db.Put([]byte("a"), nil))
			must(t, db.Flush())
		}
		fault.Inject(func(op vfstest.Op) error {
			if op.Kind == vfstest.OpLink {
				<-release
			}
			return nil
		})
		copied, closed := make(chan error, 1), make(chan error, 1)
		go func() {
			_, err := db.Checkpoint(context.Background(), "copy", nil)
			copied <- err
		}()
		synctest.Wait()
		go func() { closed <- db.Close() }()
		synctest.Wait()
		if len(closed) > 0 {
			t.Error("Close has not waited for the checkpoint")
		}
		close(release)
		if err := <-copied; !errors.Is(err, ErrClosed) {
			t.Errorf("checkpoint: %v", err)
		}
		must(t, <-closed)
		wantNothing(t, "after the checkpoint", mem, "db")
	})
}
