package resp

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/ebbdb/ebb"
)

// notifyFlags are classes of keyspace events, and the two kinds of channels.
type notifyFlags uint32

const (
	notifyKeyspace notifyFlags = 1 << iota // K
	notifyKeyevent                         // E
	notifyGeneric                          // g
	notifyString                           // $
	notifyExpired                          // x
	notifyEvicted                          // e
	notifyMiss                             // m
	notifyNew                              // n
	notifyList                             // l, and the others of types that are not there
	notifySet                              // s
	notifyHash                             // h
	notifyZset                             // z
	notifyStream                           // t
	notifyModule                           // d

	notifyAll = notifyGeneric | notifyString | notifyExpired | notifyEvicted | notifyList | notifySet | notifyHash |
		notifyZset | notifyStream | notifyModule
)

// notifyLetters are in the order in which Redis shows them.
var notifyLetters = []struct {
	letter byte
	flag   notifyFlags
}{
	{'g', notifyGeneric}, {'$', notifyString}, {'l', notifyList}, {'s', notifySet}, {'h', notifyHash}, {'z', notifyZset},
	{'x', notifyExpired}, {'e', notifyEvicted}, {'t', notifyStream}, {'d', notifyModule}, {'n', notifyNew},
	{'K', notifyKeyspace}, {'E', notifyKeyevent}, {'m', notifyMiss},
}

func parseNotify(s string) (notifyFlags, bool) {
	var flags notifyFlags
next:
	for i := range len(s) {
		if s[i] == 'A' {
			flags |= notifyAll
			continue
		}
		for _, l := range notifyLetters {
			if l.letter == s[i] {
				flags |= l.flag
				continue next
			}
		}
		return 0, false
	}
	return flags, true
}

func (f notifyFlags) String() string {
	var b strings.Builder
	all := f&notifyAll == notifyAll
	if all {
		b.WriteByte('A')
	}
	for _, l := range notifyLetters {
		if f&l.flag != 0 && !(all && l.flag&(notifyAll|notifyNew) != 0) {
			b.WriteByte(l.letter)
		}
	}
	return b.String()
}

// event is what is published when the pipeline is synced: a change of a key, or a message of PUBLISH in a transaction.
type event struct {
	name             string // of the event; "": a message
	key              string // or the channel
	message          string
	keyspace, byName bool
}

// notify keeps an event of a key.
func (c *client) notify(class notifyFlags, name string, key []byte) {
	flags := c.srv.settings.notify()
	if flags&class == 0 || flags&(notifyKeyspace|notifyKeyevent) == 0 {
		return
	}
	c.events = append(c.events, event{
		name: name, key: string(key), keyspace: flags&notifyKeyspace != 0, byName: flags&notifyKeyevent != 0,
	})
}

// publishEvents publishes the events of the pipeline, in their order.
func (c *client) publishEvents() {
	for i := range c.events {
		c.srv.publishEvent(&c.events[i])
		c.events[i] = event{}
	}
	c.events = c.events[:0]
}

func (s *Server) publishEvent(e *event) {
	if e.name == "" {
		s.publish(e.key, e.message)
		return
	}
	if e.keyspace {
		s.publish("__keyspace@0__:"+e.key, e.name)
	}
	if e.byName {
		s.publish("__keyevent@0__:"+e.name, e.key)
	}
}

// notifier publishes the keys that have expired, in the order of the store, while somebody may want to know.
type notifier struct {
	srv *Server

	mu     sync.Mutex
	cancel context.CancelFunc // of the watch that runs, guarded by mu
	done   chan struct{}      // closed when it has ended, guarded by mu
}

func newNotifier(s *Server) *notifier { return &notifier{srv: s} }

// apply begins or ends the watch as the settings say.
func (n *notifier) apply() {
	flags := n.srv.settings.notify()
	wanted := flags&notifyExpired != 0 && flags&(notifyKeyspace|notifyKeyevent) != 0
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case wanted && n.cancel == nil:
		var ctx context.Context
		ctx, n.cancel = context.WithCancel(n.srv.ctx)
		n.done = make(chan struct{})
		from, err := n.srv.store.Seq(ctx)
		if err != nil {
			from = 0
		} else {
			from++
		}
		go n.watch(ctx, n.done, from)
	case !wanted && n.cancel != nil:
		n.cancel()
		n.cancel = nil
	}
}

func (n *notifier) stop() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cancel != nil {
		n.cancel()
		<-n.done
		n.cancel = nil
	}
}

// watch publishes expiries until ctx is done. If the log was trimmed under it, or the store fails, it begins anew with what
// comes then.
func (n *notifier) watch(ctx context.Context, done chan struct{}, from uint64) {
	defer close(done)
	for ctx.Err() == nil {
		for change, err := range n.srv.store.Watch(ctx, &ebb.WatchOptions{From: from}) {
			if err != nil {
				if !n.again(ctx, err) {
					return
				}
				from = 0
				break
			}
			from = change.Seq + 1
			if change.Kind == ebb.ChangeExpire {
				flags := n.srv.settings.notify()
				n.srv.counts.expired.Add(1)
				n.srv.publishEvent(&event{name: "expired", key: string(change.Key),
					keyspace: flags&notifyKeyspace != 0, byName: flags&notifyKeyevent != 0})
			}
		}
	}
}

// again waits before a watch that has failed is begun anew, and reports whether that makes sense.
func (n *notifier) again(ctx context.Context, err error) bool {
	if ctx.Err() != nil || errors.Is(err, ebb.ErrClosed) {
		return false
	}
	n.srv.counts.restarts.Add(1)
	n.srv.opts.Logger.Warn("watch for expired keys has failed: some may not be published", "err", err)
	select {
	case <-time.After(time.Second):
		return true
	case <-ctx.Done():
		return false
	}
}
