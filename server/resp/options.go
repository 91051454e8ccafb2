package resp

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/ebbdb/ebb"
)

// Options configure a Server. The zero value works.
type Options struct {
	// Password is what AUTH has to say as the user default before any other command. Default: none, and nothing is asked for.
	Password string
	// TLSConfig, if not nil, makes every connection one of TLS.
	TLSConfig *tls.Config

	// Sync is the policy that the store was opened with. Under SyncAlways, the default, a reply waits until the writes before
	// it are synced; under the others nobody waits.
	Sync ebb.SyncPolicy

	// MaxClients is how many connections there may be at a time. Default: 10,000.
	MaxClients int
	// MaxRequest is how many bytes a command may have with all its arguments and 40 for each of them, and how many the commands
	// of a MULTI. It is also
	// the limit of a value that a command makes. Default: 64 MiB; no more than ebb.MaxValueSize.
	MaxRequest int
	// MaxReplyBuffer is how many bytes of replies the server holds for a connection. A command whose reply is larger gets an
	// error instead; a subscriber with more messages unread is closed. Default: 64 MiB.
	MaxReplyBuffer int
	// IdleTimeout closes a connection that has sent nothing for so long, subscribers excepted. Default: 0, never.
	IdleTimeout time.Duration
	// WriteTimeout closes a connection that takes none of a reply for so long. Default: 60 s.
	WriteTimeout time.Duration

	// NotifyKeyspaceEvents are the events that are published, as the setting of that name in Redis. The class x, of keys that
	// have expired, needs a database with ebb.Options.ExpiryEvents. Default: "", none.
	NotifyKeyspaceEvents string
	// SlowLogSlowerThan is the time from which on a command is in the slow log; a negative one is never. Default: 10 ms.
	SlowLogSlowerThan time.Duration
	// SlowLogMaxLen is how many commands the slow log holds. Default: 128.
	SlowLogMaxLen int

	// Params are settings of CONFIG GET and CONFIG SET beside those of the package, by their names in lower case.
	Params map[string]Param

	// Clock tells the time of day for TIME, the ages of clients and the slow log. What has expired is told by the store's own
	// clock. Default: time.Now.
	Clock func() time.Time
	// Logger gets what the server's operator should know: failures of the store, connections that were closed for a limit.
	// Nil: nobody.
	Logger *slog.Logger
}

// Param is a setting for CONFIG.
type Param struct {
	// Get returns the value.
	Get func() string
	// Set takes a new value, or says why not. Nil: the setting can only be read.
	Set func(value string) error
}

var errOptions = errors.New("resp: invalid options")

// withDefaults returns the options with defaults in place of zeros, or says what is wrong with them.
func (o Options) withDefaults() (Options, error) {
	defaultTo(&o.MaxClients, 10_000)
	defaultTo(&o.MaxRequest, 64<<20)
	defaultTo(&o.MaxReplyBuffer, 64<<20)
	defaultTo(&o.WriteTimeout, time.Minute)
	defaultTo(&o.SlowLogSlowerThan, 10*time.Millisecond)
	defaultTo(&o.SlowLogMaxLen, 128)
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	switch {
	case o.MaxClients < 0:
		return o, fmt.Errorf("%w: MaxClients is %d, not positive", errOptions, o.MaxClients)
	case o.MaxRequest < 1024 || o.MaxRequest > ebb.MaxValueSize:
		return o, fmt.Errorf("%w: MaxRequest is %d, not 1024 to %d", errOptions, o.MaxRequest, ebb.MaxValueSize)
	case o.MaxReplyBuffer < 1024:
		return o, fmt.Errorf("%w: MaxReplyBuffer is %d, not 1024 or more", errOptions, o.MaxReplyBuffer)
	case o.IdleTimeout < 0 || o.WriteTimeout < 0:
		return o, fmt.Errorf("%w: a negative timeout", errOptions)
	case o.SlowLogMaxLen < 0:
		return o, fmt.Errorf("%w: SlowLogMaxLen is %d, negative", errOptions, o.SlowLogMaxLen)
	}
	if _, ok := parseNotify(o.NotifyKeyspaceEvents); !ok {
		return o, fmt.Errorf("%w: NotifyKeyspaceEvents is %q", errOptions, o.NotifyKeyspaceEvents)
	}
	return o, nil
}

func defaultTo[T comparable](p *T, value T) {
	var zero T
	if *p == zero {
		*p = value
	}
}
