package resp

import (
	"sort"
	"sync"
)

// channels are who is subscribed to what.
type channels struct {
	mu       sync.RWMutex
	channels map[string]map[*client]struct{} // guarded by mu
	patterns map[string]map[*client]struct{} // guarded by mu
}

func newChannels() *channels {
	return &channels{
		channels: make(map[string]map[*client]struct{}), patterns: make(map[string]map[*client]struct{}),
	}
}

func (cs *channels) len() (channels, patterns int) {
	cs.mu.RLock()
	defer cs.mu.RUnlock()
	return len(cs.channels), len(cs.patterns)
}

// subscriptions are those of a client.
type subscriptions struct{ channels, patterns map[string]struct{} }

func (s *subscriptions) len() int { return len(s.channels) + len(s.patterns) }

// publish sends a message to who is subscribed to its channel, and returns how many got it.
func (s *Server) publish(channel, message string) int {
	s.counts.published.Add(1)
	n := 0
	cs := s.channels
	cs.mu.RLock()
	defer cs.mu.RUnlock()
	for c := range cs.channels[channel] {
		c.post("message", channel, message)
		n++
	}
	for pattern, clients := range cs.patterns {
		if globMatch([]byte(pattern), []byte(channel), false) {
			for c := range clients {
				c.post("pmessage", pattern, channel, message)
				n++
			}
		}
	}
	return n
}

// receivers returns how many would get a message.
func (s *Server) receivers(channel string) int {
	cs := s.channels
	cs.mu.RLock()
	defer cs.mu.RUnlock()
	n := len(cs.channels[channel])
	for pattern, clients := range cs.patterns {
		if globMatch([]byte(pattern), []byte(channel), false) {
			n += len(clients)
		}
	}
	return n
}

// post puts a message in the client's mailbox. Any goroutine may call it.
func (c *client) post(words ...string) {
	out := reply{resp3: c.about.resp.Load() == 3}
	out.push(len(words))
	for _, w := range words {
		out.bulkString(w)
	}
	_ = c.mail.put(out.b) // whoever is closed has left the channel in a moment
}

// subscribe subscribes the client to channels or patterns.
func (c *client) subscribe(kind string, names [][]byte, pattern bool) {
	for _, name := range names {
		if c.err = c.flush(); c.err != nil {
			return
		}
		if c.mail == nil {
			c.mail = newMailbox(c)
		}
		if c.err = c.join(kind, name, pattern); c.err != nil {
			return
		}
	}
}

// join subscribes the client to one channel or pattern. What the client is told of it goes before any message, and every
// message that is published after it was told reaches the client: publishers wait meanwhile.
func (c *client) join(kind string, name []byte, pattern bool) error {
	mine, all := c.subscribed(pattern)
	key := string(name)
	c.srv.channels.mu.Lock()
	defer c.srv.channels.mu.Unlock()
	if *mine == nil {
		*mine = make(map[string]struct{})
	}
	if all[key] == nil {
		all[key] = make(map[*client]struct{})
	}
	(*mine)[key] = struct{}{}
	all[key][c] = struct{}{}
	c.confirm(kind, name, true)
	return c.write()
}

// subscribed returns the client's channels or patterns, and those of all.
func (c *client) subscribed(pattern bool) (mine *map[string]struct{}, all map[string]map[*client]struct{}) {
	if pattern {
		return &c.subs.patterns, c.srv.channels.patterns
	}
	return &c.subs.channels, c.srv.channels.channels
}

// confirm tells the client how many subscriptions it has.
func (c *client) confirm(kind string, name []byte, named bool) {
	c.about.subs.Store(int32(len(c.subs.channels)))
	c.about.psubs.Store(int32(len(c.subs.patterns)))
	c.out.push(3)
	c.out.bulkString(kind)
	if named {
		c.out.bulk(name)
	} else {
		c.out.null()
	}
	c.out.int(int64(c.subs.len()))
}

// unsubscribe ends subscriptions, all of them if there are no names.
func (c *client) unsubscribe(kind string, names [][]byte, pattern bool) {
	mine, _ := c.subscribed(pattern)
	if len(names) == 0 {
		for _, name := range sortedNames(*mine) {
			names = append(names, []byte(name))
		}
		if len(names) == 0 {
			c.confirm(kind, nil, false)
		}
	}
	for _, name := range names {
		c.leave(string(name), pattern)
		c.confirm(kind, name, true)
	}
}

func sortedNames(set map[string]struct{}) []string {
	names := make([]string, 0, len(set))
	for name := range set {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

func (c *client) leave(name string, pattern bool) {
	mine, all := c.subscribed(pattern)
	delete(*mine, name)
	c.srv.channels.mu.Lock()
	defer c.srv.channels.mu.Unlock()
	delete(all[name], c)
	if len(all[name]) == 0 {
		delete(all, name)
	}
}

// unsubscribeAll ends all subscriptions without a word.
func (c *client) unsubscribeAll() {
	for name := range c.subs.channels {
		c.leave(name, false)
	}
	for name := range c.subs.patterns {
		c.leave(name, true)
	}
	c.about.subs.Store(0)
	c.about.psubs.Store(0)
}
