package flight

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type keyOfContext struct{}

// Those that ask at a time share a load, whichever of them leave; one that all have left is not joined any more; one that
// nobody waits for goes on.
func TestGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New[int](func(value any, stack []byte) error { return fmt.Errorf("panic: %v, %t", value, len(stack) > 0) })
		var calls atomic.Int32
		second := func(ctx context.Context) (int, error) {
			n := int(calls.Add(1))
			if ctx.Value(keyOfContext{}) != "value" {
				t.Error("the values of the context are lost")
			}
			select {
			case <-ctx.Done():
				time.Sleep(time.Minute) // it takes its time to end
				return 0, ctx.Err()
			case <-time.After(time.Second):
				return n, nil
			}
		}
		ctx, leave := context.WithCancel(context.WithValue(t.Context(), keyOfContext{}, "value"))
		stay := context.WithoutCancel(ctx)
		var all sync.WaitGroup
		do := func(ctx context.Context, key string, want int, wantErr error) {
			all.Go(func() {
				if n, err := g.Do(ctx, []byte(key), second); n != want || !errors.Is(err, wantErr) {
					t.Errorf("%s: %d, %v, want %d, %v", key, n, err, want, wantErr)
				}
			})
			synctest.Wait()
		}
		do(ctx, "a", 0, context.Canceled)
		do(stay, "a", 1, nil)
		do(ctx, "b", 0, context.Canceled)
		g.Start(ctx, []byte("c"), second)
		g.Start(ctx, []byte("a"), second) // one runs
		synctest.Wait()
		leave()
		synctest.Wait()
		do(stay, "b", 4, nil)
		do(stay, "c", 3, nil)
		do(ctx, "b", 0, context.Canceled)
		all.Wait()
		if n := calls.Load(); n != 4 {
			t.Errorf("%d calls", n)
		}
		do(stay, "a", 5, nil)
		all.Wait()
		if _, err := g.Do(stay, []byte("a"), func(context.Context) (int, error) { panic("oh") }); err == nil || err.Error() != "panic: oh, true" {
			t.Error(err)
		}
		time.Sleep(time.Hour)
		g.mu.Lock()
		defer g.mu.Unlock()
		if len(g.mu.calls) > 0 {
			t.Errorf("%d calls are left", len(g.mu.calls))
		}
	})
}
