package resp

import (
	"fmt"
	"sort"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ebbdb/ebb"
)

// settings are what CONFIG gets and sets.
type settings struct {
	srv *Server

	secret  atomic.Pointer[string]
	clients atomic.Int64
	idle    atomic.Int64 // ns
	idleSet atomic.Bool  // there was an idle timeout once
	slower  atomic.Int64 // ns; negative: never
	slowMax atomic.Int64
	events  atomic.Uint32 // notifyFlags
	delay   atomic.Int64  // latency-monitor-threshold, ms

	mu     sync.Mutex // of CONFIG SET
	params map[string]Param
	names  []string // of params, sorted
}

func newSettings(s *Server) *settings {
	st := &settings{srv: s}
	st.secret.Store(&s.opts.Password)
	st.clients.Store(int64(s.opts.MaxClients))
	st.setIdle(s.opts.IdleTimeout)
	st.slower.Store(int64(s.opts.SlowLogSlowerThan))
	st.slowMax.Store(int64(s.opts.SlowLogMaxLen))
	flags, _ := parseNotify(s.opts.NotifyKeyspaceEvents)
	st.events.Store(uint32(flags))
	st.params = st.own()
	for name, p := range s.opts.Params {
		st.params[name] = p
	}
	for name := range st.params {
		st.names = append(st.names, name)
	}
	sort.Strings(st.names)
	return st
}

func (st *settings) password() string           { return *st.secret.Load() }
func (st *settings) maxClients() int            { return int(st.clients.Load()) }
func (st *settings) idleTimeout() time.Duration { return time.Duration(st.idle.Load()) }
func (st *settings) idleWasSet() bool           { return st.idleSet.Load() }
func (st *settings) slowerThan() time.Duration  { return time.Duration(st.slower.Load()) }
func (st *settings) slowLogMax() int            { return int(st.slowMax.Load()) }
func (st *settings) notify() notifyFlags        { return notifyFlags(st.events.Load()) }

func (st *settings) setIdle(d time.Duration) {
	st.idle.Store(int64(d))
	if d > 0 {
		st.idleSet.Store(true)
	}
}

// own returns the settings of the package.
func (st *settings) own() map[string]Param {
	o := &st.srv.opts
	fixed := func(value string) Param { return Param{Get: func() string { return value }} }
	params := map[string]Param{
		"databases":             fixed("1"),
		"proto-max-bulk-len":    fixed(strconv.Itoa(o.MaxRequest)),
		"maxmemory":             fixed("0"),
		"maxmemory-policy":      fixed("noeviction"),
		"maxmemory-samples":     fixed("5"),
		"save":                  fixed(""),
		"appendonly":            fixed("yes"),
		"appendfsync":           fixed(fsyncName(o.Sync)),
		"port":                  fixed("0"),
		"dir":                   fixed(st.srv.dir()),
		"list-max-ziplist-size": fixed("-2"),
		"client-output-buffer-limit": fixed(fmt.Sprintf("normal %d 0 0 slave 0 0 0 pubsub %d 0 0",
			o.MaxReplyBuffer, o.MaxReplyBuffer)),
		"client-query-buffer-limit": fixed(strconv.Itoa(o.MaxRequest)),
		"requirepass": {Get: st.password, Set: func(v string) error {
			st.secret.Store(&v)
			return nil
		}},
		"maxclients": intParam(1, 1<<32-1, st.clients.Load, st.clients.Store),
		"timeout": intParam(0, 1<<31-1, func() int64 { return st.idle.Load() / int64(time.Second) },
			func(n int64) { st.setIdle(time.Duration(n) * time.Second) }),
		"slowlog-log-slower-than": intParam(-1, 1<<50, func() int64 {
			return max(-1, time.Duration(st.slower.Load()).Microseconds())
		}, func(n int64) { st.slower.Store(n * int64(time.Microsecond)) }),
		"slowlog-max-len":           intParam(0, 1<<20, st.slowMax.Load, st.slowMax.Store),
		"latency-monitor-threshold": intParam(0, 1<<40, st.delay.Load, st.delay.Store),
		"notify-keyspace-events":    {Get: func() string { return st.notify().String() }, Set: st.setNotify},
	}
	delete(params, "list-max-ziplist-size")
	return params
}

// settingError is why a setting does not take a value, in Redis's words.
type settingError string

func (e settingError) Error() string { return string(e) }

const errEventClass = settingError("Invalid event class character. Use 'Ag$lshzxeKEtmdn'.")

func (st *settings) setNotify(v string) error {
	flags, ok := parseNotify(v)
	if !ok {
		return errEventClass
	}
	st.events.Store(uint32(flags))
	st.srv.notifier.apply()
	return nil
}

func fsyncName(p ebb.SyncPolicy) string {
	switch p {
	case ebb.SyncInterval:
		return "everysec"
	case ebb.SyncNever:
		return "no"
	}
	return "always"
}

func intParam(low, high int64, get func() int64, set func(int64)) Param {
	return Param{
		Get: func() string { return strconv.FormatInt(get(), 10) },
		Set: func(v string) error {
			n, ok := parseInt([]byte(v))
			switch {
			case !ok:
				return fmt.Errorf("argument couldn't be parsed into an integer")
			case n < low || n > high:
				return fmt.Errorf("argument must be between %d and %d inclusive", low, high)
			}
			set(n)
			return nil
		},
	}
}

// dir returns the directory of the database, "" if the store does not tell.
func (s *Server) dir() string {
	if d, ok := s.store.(interface{ Dir() string }); ok {
		return d.Dir()
	}
	return ""
}

func configGet(c *client, args [][]byte) {
	st := c.srv.settings
	st.mu.Lock()
	defer st.mu.Unlock()
	var found []string
	for _, name := range st.names {
		for _, pattern := range args[2:] {
			if globMatch(pattern, []byte(name), true) {
				found = append(found, name)
				break
			}
		}
	}
	c.out.mapOf(len(found))
	for _, name := range found {
		c.out.bulkString(name)
		c.out.bulkString(st.params[name].Get())
	}
}

// configSet sets all of the parameters or none.
func configSet(c *client, args [][]byte) {
	if len(args)%2 != 0 {
		c.out.err(errSyntax)
		return
	}
	st := c.srv.settings
	st.mu.Lock()
	defer st.mu.Unlock()
	var names []string
	for i := 2; i < len(args); i += 2 {
		name := string(lowered(args[i]))
		p, ok := st.params[name]
		if !ok {
			c.out.err(fmt.Sprintf("ERR Unknown option or number of arguments for CONFIG SET - '%.128s'", printable(args[i])))
			return
		}
		if p.Set == nil && p.Get() != string(args[i+1]) {
			c.out.err("ERR CONFIG SET failed (possibly related to argument '" + name + "') - can't set immutable config")
			return
		}
		for _, other := range names {
			if other == name {
				c.out.err("ERR CONFIG SET failed (possibly related to argument '" + name + "') - duplicate parameter")
				return
			}
		}
		names = append(names, name)
	}
	old := make([]string, len(names))
	for i, name := range names {
		p := st.params[name]
		old[i] = p.Get()
		if p.Set == nil {
			continue
		}
		err := p.Set(string(args[3+2*i]))
		if err == nil {
			continue
		}
		for j := range i {
			if undo := st.params[names[j]].Set; undo != nil {
				_ = undo(old[j]) // it was good before
			}
		}
		c.out.err("ERR CONFIG SET failed (possibly related to argument '" + name + "') - " + err.Error())
		return
	}
	c.out.ok()
}

func lowered(b []byte) []byte {
	l := make([]byte, len(b))
	for i, ch := range b {
		if ch >= 'A' && ch <= 'Z' {
			ch += 'a' - 'A'
		}
		l[i] = ch
	}
	return l
}
