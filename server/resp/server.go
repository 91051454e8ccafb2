package resp

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// ErrServerClosed is what Serve returns after Shutdown or Close.
var ErrServerClosed = errors.New("resp: server closed")

// Server serves a Store. Make one with NewServer. Its methods may be called from any goroutine.
type Server struct {
	store  Store
	opts   Options
	ctx    context.Context // done when no more may begin
	cancel context.CancelFunc

	table    *table
	settings *settings
	clients  *clients
	channels *channels
	counts   *counts
	slow     *slowLog
	cursors  *cursors
	size     *sizeCache
	notifier *notifier

	mu        sync.Mutex
	listeners map[net.Listener]struct{} // guarded by mu
	closed    bool                      // guarded by mu

	draining atomic.Bool
	serving  sync.WaitGroup // connections
}

// NewServer returns a server of a store.
func NewServer(s Store, o Options) (*Server, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	srv := &Server{store: s, opts: o, listeners: make(map[net.Listener]struct{})}
	srv.ctx, srv.cancel = context.WithCancel(context.Background())
	srv.table = newTable()
	srv.clients = newClients()
	srv.channels = newChannels()
	srv.counts = newCounts(len(srv.table.all), o.Clock())
	srv.slow = newSlowLog()
	srv.cursors = newCursors()
	srv.size = new(sizeCache)
	srv.notifier = newNotifier(srv)
	srv.settings = newSettings(srv)
	srv.notifier.apply()
	return srv, nil
}

// ListenAndServe listens on an address of TCP and serves what comes, until Shutdown or Close.
func (s *Server) ListenAndServe(addr string) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	return s.Serve(ln)
}

// Serve serves the connections of a listener, which it closes, until Shutdown or Close; then it returns ErrServerClosed. It may
// be called for several listeners.
func (s *Server) Serve(ln net.Listener) error {
	if !s.track(ln) {
		return errors.Join(ErrServerClosed, ln.Close())
	}
	defer s.untrack(ln)
	if s.opts.TLSConfig != nil {
		ln = tls.NewListener(ln, s.opts.TLSConfig)
	}
	var pause time.Duration
	for {
		nc, err := ln.Accept()
		switch {
		case err == nil:
			pause = 0
			s.ServeConn(nc)
		case s.draining.Load():
			return ErrServerClosed
		case errors.Is(err, net.ErrClosed):
			return err
		default:
			// Out of descriptors, most often: it gets better when connections end.
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			s.opts.Logger.Warn("accept failed", "err", err, "retry", pause)
			select {
			case <-time.After(pause):
			case <-s.ctx.Done():
			}
		}
	}
}

// ServeConn serves one connection in a goroutine of its own, and closes it.
func (s *Server) ServeConn(nc net.Conn) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		_ = nc.Close()
		return
	}
	s.serving.Add(1)
	s.mu.Unlock()
	c := newClient(s, nc)
	go func() {
		defer s.serving.Done()
		c.serve()
	}()
}

func (s *Server) track(ln net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.listeners[ln] = struct{}{}
	return true
}

func (s *Server) untrack(ln net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, ln)
	_ = ln.Close()
}

// Shutdown takes no more connections, lets those that are there finish the commands they have sent, with their replies, and
// closes them. It returns nil when all are closed; when ctx is done before that it closes the rest at once, and returns ctx's
// error when the last has ended. The store is left open.
func (s *Server) Shutdown(ctx context.Context) error {
	s.stopListening()
	for _, c := range s.clients.list() {
		c.drain()
	}
	done := make(chan struct{})
	go func() {
		s.serving.Wait()
		close(done)
	}()
	var err error
	select {
	case <-done:
	case <-ctx.Done():
		err = ctx.Err()
		for _, c := range s.clients.list() {
			c.kill()
		}
	}
	s.cancel()
	<-done
	s.notifier.stop()
	return err
}

// Close closes listeners and connections at once, and returns when all have ended. The store is left open.
func (s *Server) Close() error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

func (s *Server) stopListening() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.draining.Store(true)
	for ln := range s.listeners {
		_ = ln.Close()
	}
}
