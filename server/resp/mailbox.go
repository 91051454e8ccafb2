package resp

import (
	"errors"
	"sync"
)

// errSlowSubscriber closes a client that has more than Options.MaxReplyBuffer unread.
var errSlowSubscriber = errors.New("resp: subscriber too slow, output buffer limit reached")

// mailbox sends what several goroutines have for a client, in the order in which they put it: its own replies and the messages
// of publishers, who do not wait.
type mailbox struct {
	c    *client
	max  int
	done chan struct{} // closed when the sender has ended

	mu     sync.Mutex
	wake   sync.Cond
	b      []byte // guarded by mu
	sent   int    // bytes that are being sent, guarded by mu
	closed bool   // guarded by mu: no more comes
	failed error  // guarded by mu: nothing more is sent
}

func newMailbox(c *client) *mailbox {
	m := &mailbox{c: c, max: c.srv.opts.MaxReplyBuffer, done: make(chan struct{})}
	m.wake.L = &m.mu
	go m.run()
	return m
}

// put adds a copy of b to what is sent.
func (m *mailbox) put(b []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.failed != nil:
		return m.failed
	case m.closed:
		return errQuit
	case len(m.b)+m.sent+len(b) > m.max:
		m.failed = errSlowSubscriber
		m.b = nil
		m.c.srv.opts.Logger.Warn("subscriber closed", "client", m.c.about.addr, "err", m.failed)
		m.c.srv.counts.slowSubscribers.Add(1)
		m.c.kill()
		m.wake.Signal()
		return m.failed
	}
	m.b = append(m.b, b...)
	m.wake.Signal()
	return nil
}

func (m *mailbox) run() {
	defer close(m.done)
	var spare []byte
	for {
		m.mu.Lock()
		for len(m.b) == 0 && !m.closed && m.failed == nil {
			m.wake.Wait()
		}
		if len(m.b) == 0 || m.failed != nil {
			m.mu.Unlock()
			return
		}
		b := m.b
		m.b, m.sent = spare[:0], len(b)
		m.mu.Unlock()
		if err := m.c.send(b); err != nil {
			m.mu.Lock()
			m.failed = err
			m.b = nil
			m.mu.Unlock()
			m.c.kill()
			return
		}
		m.mu.Lock()
		m.sent = 0
		m.mu.Unlock()
		if spare = b[:0]; cap(spare) > maxIdleReply {
			spare = nil
		}
	}
}

// finish sends what is left and waits for that.
func (m *mailbox) finish() {
	m.mu.Lock()
	m.closed = true
	m.wake.Signal()
	m.mu.Unlock()
	<-m.done
}
