// Package flight runs one load at a time for each key, for all who ask for it meanwhile.
//
// golang.org/x/sync/singleflight knows no contexts: a load there goes on with nobody left to wait for it, and nobody can leave.
// Here each who waits may leave, and with the last the load's context ends.
//
// The package knows no more of the database than a Result has. It starts one goroutine for each load, which ends when the load
// returns.
package flight

import (
	"context"
	"errors"
	"runtime/debug"
	"sync"
)

// ErrExited says that a load has ended its goroutine, by runtime.Goexit.
var ErrExited = errors.New("ebb: a load function has ended its goroutine")

// Result is what a load of a value has for those that wait.
type Result[V any] struct {
	Value  V
	Absent error  // says that there is no value; nil: there is one
	AsOf   uint64 // the sequence as of which this is so, as far as the database can tell
}

// Panic is the error of those that wait for a load that panics.
type Panic func(value any, stack []byte) error

// Func is a load. It is called by a goroutine of its own.
type Func[R any] func(ctx context.Context) (R, error)

// Group runs loads. Its methods may be called from any goroutine.
type Group[R any] struct {
	panicked Panic
	mu       struct {
		sync.Mutex
		// +checklocks:Mutex
		calls map[string]*call[R] // those that somebody may join, by key
	}
}

// call is a load that runs. Before done is closed only its goroutine uses result and err.
type call[R any] struct {
	waiting int // guarded by the group's mutex; 0: given up, unless detached
	cancel  context.CancelFunc
	done    chan struct{}
	result  R
	err     error
}

// New returns a group. panicked makes the error of a panic.
func New[R any](panicked Panic) *Group[R] {
	g := &Group[R]{panicked: panicked}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mu.calls = make(map[string]*call[R])
	return g
}

// Do returns what the load of a key returns: the one that runs, or one that it starts. A load has the values of the context of
// the first who asked for it, and ends with none of theirs, but when the last has left. Who leaves, as its context ends, gets
// the cause.
func (g *Group[R]) Do(ctx context.Context, key []byte, fn Func[R]) (r R, err error) {
	if ctx.Err() != nil {
		return r, context.Cause(ctx)
	}
	c := g.join(ctx, key, fn)
	select {
	case <-c.done:
		return c.result, c.err
	case <-ctx.Done():
		g.leave(key, c)
		return r, context.Cause(ctx)
	}
}

// Start starts a load for which nobody waits, unless one runs. Its context has the values of ctx, and does not end with it.
func (g *Group[R]) Start(ctx context.Context, key []byte, fn Func[R]) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.mu.calls[string(key)] == nil {
		g.beginLocked(ctx, string(key), fn) // which waits for itself, so that nobody leaves as the last
	}
}

func (g *Group[R]) join(ctx context.Context, key []byte, fn Func[R]) *call[R] {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.mu.calls[string(key)]
	if c == nil {
		return g.beginLocked(ctx, string(key), fn)
	}
	c.waiting++
	return c
}

// beginLocked starts a load, with one who waits.
//
// +checklocks:g.mu.Mutex
func (g *Group[R]) beginLocked(ctx context.Context, key string, fn Func[R]) *call[R] {
	c := &call[R]{waiting: 1, done: make(chan struct{})}
	ctx, c.cancel = context.WithCancel(context.WithoutCancel(ctx))
	g.mu.calls[key] = c
	go g.run(ctx, key, c, fn)
	return c
}

// leave is for one who waits no longer. After the last the next who asks begins a new load.
func (g *Group[R]) leave(key []byte, c *call[R]) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if c.waiting--; c.waiting > 0 {
		return
	}
	c.cancel()
	if g.mu.calls[string(key)] == c {
		delete(g.mu.calls, string(key))
	}
}

func (g *Group[R]) run(ctx context.Context, key string, c *call[R], fn Func[R]) {
	c.err = ErrExited
	defer func() {
		if r := recover(); r != nil {
			c.err = g.panicked(r, debug.Stack())
		}
		c.cancel()
		g.ended(key, c)
		close(c.done)
	}()
	c.result, c.err = fn(ctx)
}

func (g *Group[R]) ended(key string, c *call[R]) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.mu.calls[key] == c {
		delete(g.mu.calls, key)
	}
}
