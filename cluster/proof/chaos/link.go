package main

import (
	"io"
	"net"
	"sync"
)

// link is the network from one node to another: a port that passes on what comes. While it is cut nothing comes through and
// nobody is told.
type link struct {
	ln net.Listener
	to string

	mu     sync.Mutex
	healed *sync.Cond
	cut    bool
	closed bool
	conns  map[net.Conn]struct{}
	work   sync.WaitGroup
}

// newLink begins to pass on to an address.
func newLink(to string) (*link, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l := &link{ln: ln, to: to, conns: map[net.Conn]struct{}{}}
	l.healed = sync.NewCond(&l.mu)
	l.work.Go(l.accept)
	return l, nil
}

func (l *link) addr() string { return l.ln.Addr().String() }

func (l *link) accept() {
	for {
		from, err := l.ln.Accept()
		if err != nil {
			return
		}
		if !l.add(from) {
			return
		}
		l.work.Go(func() { l.pass(from) })
	}
}

// pass passes a connection on, both ways.
func (l *link) pass(from net.Conn) {
	defer l.drop(from)
	if !l.wait() {
		return
	}
	to, err := net.Dial("tcp", l.to)
	if err != nil || !l.add(to) {
		return
	}
	defer l.drop(to)
	back := make(chan struct{})
	go func() {
		defer close(back)
		l.copy(from, to)
		from.Close()
	}()
	l.copy(to, from)
	to.Close()
	<-back
}

// copy passes bytes on, while the link is not cut, until the connection ends.
func (l *link) copy(to io.Writer, from io.Reader) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if !l.wait() {
			return
		}
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// wait waits until the link is not cut. It is false once it is closed.
func (l *link) wait() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.cut && !l.closed {
		l.healed.Wait()
	}
	return !l.closed
}

func (l *link) add(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		c.Close()
		return false
	}
	l.conns[c] = struct{}{}
	return true
}

func (l *link) drop(c net.Conn) {
	c.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
}

// set cuts the link or heals it. What was held back comes through then, if drop is not set; else its connections end.
func (l *link) set(cut, drop bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = cut
	if drop {
		for c := range l.conns {
			c.Close()
		}
	}
	l.healed.Broadcast()
}

func (l *link) close() {
	l.mu.Lock()
	l.closed = true
	for c := range l.conns {
		c.Close()
	}
	l.healed.Broadcast()
	l.mu.Unlock()
	l.ln.Close()
	l.work.Wait()
}
