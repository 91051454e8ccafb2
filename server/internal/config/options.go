package config

import (
	"fmt"
	"log/slog"
	"net"
	"strings"

	"github.com/ebbdb/ebb"
	"github.com/ebbdb/ebb/server/resp"
)

// Database returns the options to open the database with.
func (c *Config) Database(log *slog.Logger) *ebb.Options {
	return &ebb.Options{
		Sync: c.Sync, SyncEvery: c.SyncEvery, Memory: c.Memory, Compression: c.Compression, RetainLog: c.RetainLog,
		MaxDisk:      c.MaxDisk,
		ExpiryEvents: c.ExpiryEvents || strings.ContainsAny(c.Notify, "xA"),
		Logger:       log,
	}
}

// Server returns the options of the server that listens at an address, without TLS.
func (c *Config) Server(log *slog.Logger, at net.Addr) resp.Options {
	slower := c.SlowerThan
	if slower == 0 {
		slower = 1 // every command, as in Redis: 0 would be the default
	}
	fixed := func(value any) resp.Param { return resp.Param{Get: func() string { return fmt.Sprint(value) }} }
	host, port, err := net.SplitHostPort(at.String())
	if err != nil {
		host, port = "", "0"
	}
	return resp.Options{
		Password: c.Password, Sync: c.Sync, MaxClients: c.MaxClients, MaxRequest: int(c.MaxRequest), MaxReplyBuffer: int(c.MaxReply),
		IdleTimeout: c.IdleTimeout, NotifyKeyspaceEvents: c.Notify, SlowLogSlowerThan: slower, SlowLogMaxLen: c.SlowLogLen,
		Params: map[string]resp.Param{"dir": fixed(c.Dir), "maxmemory-policy": fixed(c.Policy), "maxmemory": fixed(c.MaxDisk),
			"bind": fixed(host), "port": fixed(port)},
		Logger: log,
	}
}

// SyncName is the policy in words.
func (c *Config) SyncName() string { return policies[c.Sync] }
