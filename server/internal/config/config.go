package config

import (
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/ebbdb/ebb"
)

// Config is what ebbd is to do. Load makes one.
type Config struct {
	Dir     string
	Create  bool
	Listen  string // host:port of the Redis protocol
	Metrics string // host:port of HTTP; empty: none

	Insecure        bool
	TLSCert, TLSKey string // files; empty: no TLS
	TLSCA           string // file; empty: clients need no certificate
	Password        string // empty: none. Never to be shown

	Sync         ebb.SyncPolicy
	SyncEvery    time.Duration
	Memory       int64
	Compression  ebb.Compression
	ExpiryEvents bool
	RetainLog    int64
	MaxDisk      int64
	Policy       string // a name that maxmemory-policy has in Redis

	MaxClients  int
	MaxRequest  int64
	MaxReply    int64
	IdleTimeout time.Duration
	Notify      string
	SlowerThan  time.Duration
	SlowLogLen  int

	Drain     time.Duration
	LogLevel  slog.Level
	LogFormat string
	Pprof     bool

	Check, Version bool

	passwordFile, file string
}

// A UsageError says that ebbd was told something that it does not understand, or that it refuses.
type UsageError struct{ Err error }

func (e *UsageError) Error() string { return e.Err.Error() }
func (e *UsageError) Unwrap() error { return e.Err }

func usage(format string, args ...any) error { return &UsageError{fmt.Errorf(format, args...)} }

// ErrHelp is returned where -h or -help is among the arguments; Usage has what to print.
var ErrHelp = flag.ErrHelp

// Load returns what arguments, environment and configuration file say together. environ is as os.Environ returns it. Each error
// names where the wrong value comes from, and none shows a password. What it returns has been validated, but for what is on
// other files: see TLS.
func Load(args, environ []string) (*Config, error) {
	c := new(Config)
	s := &source{flags: c.flags(), from: make(map[string]string)}
	if err := s.parse(args); err != nil {
		return nil, err
	}
	if c.Version {
		return c, nil
	}
	if err := s.environment(environ); err != nil {
		return nil, err
	}
	if c.file != "" {
		if err := s.read(c.file); err != nil {
			return nil, err
		}
	}
	if err := c.readPassword(); err != nil {
		return nil, err
	}
	return c, c.validate()
}

// flags returns the flags, which set c. Each of them is also a name of the environment and of the file.
func (c *Config) flags() *flag.FlagSet {
	f := flag.NewFlagSet("ebbd", flag.ContinueOnError)
	f.StringVar(&c.Dir, "dir", "", "the database's `directory`")
	f.BoolVar(&c.Create, "create", true, "make the database if there is none")
	f.StringVar(&c.Listen, "listen", "127.0.0.1:6379", "`address` for clients of Redis")
	f.StringVar(&c.Metrics, "metrics", "127.0.0.1:9379", "`address` for Prometheus, probes and the live page; empty: none")

	f.BoolVar(&c.Insecure, "insecure", false, "allow an address that others reach without a password and without TLS")
	f.StringVar(&c.TLSCert, "tls-cert", "", "`file` with the certificate chain, PEM; read again on SIGHUP")
	f.StringVar(&c.TLSKey, "tls-key", "", "`file` with the certificate's key, PEM")
	f.StringVar(&c.TLSCA, "tls-ca", "", "`file` with the authorities that clients' certificates must be from, PEM")
	f.StringVar(&c.Password, "requirepass", "", "`password`; other users of the machine can read an argument: better a file")
	f.StringVar(&c.passwordFile, "requirepass-file", "", "`file` whose first line is the password")

	f.Var(&choice[ebb.SyncPolicy]{&c.Sync, policies}, "sync", "when a write is on the disk: `policy` always, interval or never")
	f.DurationVar(&c.SyncEvery, "sync-every", 100*time.Millisecond, "the `period` of -sync interval")
	f.TextVar((*size)(&c.Memory), "memory", size(256<<20), "memtables, caches and buffers together, `size`")
	f.Var(&choice[ebb.Compression]{&c.Compression, compressions}, "compression", "of the last level: `none`, lz4 or zstd")
	f.BoolVar(&c.ExpiryEvents, "expiry-events", false, "record every expiry, for notify-keyspace-events x and EBB.WATCH")
	f.TextVar((*size)(&c.RetainLog), "retain-log", size(0), "log kept for EBB.WATCH to resume from, `size`")
	f.TextVar((*size)(&c.MaxDisk), "max-disk", size(0), "what the directory may take, `size`; 0: no bound")
	f.StringVar(&c.Policy, "maxmemory-policy", "noeviction", "what goes when -max-disk is reached: `noeviction` or volatile-ttl")

	f.IntVar(&c.MaxClients, "max-clients", 10_000, "`connections` at a time")
	f.TextVar((*size)(&c.MaxRequest), "max-request", size(64<<20), "a command with its arguments, `size`")
	f.TextVar((*size)(&c.MaxReply), "max-reply", size(64<<20), "replies that a connection has not read, `size`")
	f.DurationVar(&c.IdleTimeout, "idle-timeout", 0, "close a connection that says nothing for such a `time`; 0: never")
	f.StringVar(&c.Notify, "notify-keyspace-events", "", "`events` that are published, as in Redis")
	f.DurationVar(&c.SlowerThan, "slowlog-slower-than", 10*time.Millisecond, "a command that takes such a `time` is in the slow log; -1ns: none")
	f.IntVar(&c.SlowLogLen, "slowlog-max-len", 128, "`commands` that the slow log holds")

	f.DurationVar(&c.Drain, "drain", 10*time.Second, "the `time` that clients have to end when ebbd stops")
	f.TextVar(&c.LogLevel, "log-level", slog.LevelInfo, "`level`: debug, info, warn or error")
	f.StringVar(&c.LogFormat, "log-format", "text", "`format`: text or json")
	f.BoolVar(&c.Pprof, "pprof", false, "profiles at /debug/pprof/ of the -metrics address")

	f.StringVar(&c.file, "config", "", "configuration `file`: name = value, a line each, # for comments")
	f.BoolVar(&c.Check, "check", false, "say whether all this is right, and exit")
	f.BoolVar(&c.Version, "version", false, "say which ebbd this is, and exit")
	return f
}

// validate refuses values that make no sense, or no sense together.
func (c *Config) validate() error {
	if c.Dir == "" {
		return usage("no directory: say -dir DIR")
	}
	for _, row := range []struct {
		name           string
		n, least, most int64
	}{
		{name: "memory", n: c.Memory, least: 8 << 20, most: 64 << 40},
		{name: "retain-log", n: c.RetainLog, most: 1 << 60},
		{name: "max-disk", n: c.MaxDisk, most: 1 << 60},
		{name: "max-clients", n: int64(c.MaxClients), least: 1, most: 1<<31 - 1},
		{name: "max-request", n: c.MaxRequest, least: 1 << 10, most: ebb.MaxValueSize},
		{name: "max-reply", n: c.MaxReply, least: 1 << 10, most: 1<<31 - 1},
		{name: "slowlog-max-len", n: int64(c.SlowLogLen), most: 1 << 20},
	} {
		if row.n < row.least || row.n > row.most {
			return usage("%s is %d, allowed: %d to %d", row.name, row.n, row.least, row.most)
		}
	}
	for _, row := range []struct {
		name  string
		d     time.Duration
		least time.Duration
	}{
		{"sync-every", c.SyncEvery, time.Millisecond},
		{"idle-timeout", c.IdleTimeout, 0},
		{"drain", c.Drain, 0},
	} {
		if row.d < row.least {
			return usage("%s is %v, the least is %v", row.name, row.d, row.least)
		}
	}
	if c.LogFormat != "text" && c.LogFormat != "json" {
		return usage("log-format is %q, allowed: text, json", c.LogFormat)
	}
	const classes = "KEg$lshzxetdmnA"
	if strings.Trim(c.Notify, classes) != "" {
		return usage("notify-keyspace-events is %q, allowed: some of %s", c.Notify, classes)
	}
	return errors.Join(c.checkEviction(), c.checkTLS(), c.checkAddresses())
}
