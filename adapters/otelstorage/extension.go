// Package otelstorage is a storage extension for the OpenTelemetry collector, for its persistent queues and whatever else keeps
// state: one ebb database for all components.
//
//	extensions:
//	  ebb_storage:
//	    directory: /var/lib/otelcol/ebb
//
// Unlike a file that only grows, the directory shrinks when the queues do. A crash, whenever it comes, leaves each write whole
// or away, and a full disk refuses writes with storage.ErrStorageFull and loses nothing.
package otelstorage

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/ebbdb/ebb"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/extension"
	"go.opentelemetry.io/collector/extension/xextension/storage"
	"go.uber.org/zap"
)

var (
	_ storage.Extension = (*Extension)(nil)

	componentType = component.MustNewType("ebb_storage")
)

// Config is the configuration of the extension.
type Config struct {
	// Directory is where the database is. It is made if it is not there, and belongs to one collector.
	Directory string `mapstructure:"directory"`
	// FSync makes each write durable before it returns, so that a power cut loses none. Without it a write survives the end of
	// the process at once, and a power cut a tenth of a second later. Default: false.
	FSync bool `mapstructure:"fsync"`
	// MemoryMiB bounds the memory of the database: see ebb.Options.Memory. Default: 64.
	MemoryMiB int64 `mapstructure:"memory_mib"`
}

// Validate refuses what Start would refuse.
func (c *Config) Validate() error {
	switch {
	case c.Directory == "":
		return errors.New("directory is empty")
	case c.MemoryMiB < 8:
		return fmt.Errorf("memory_mib is %d, at least 8 is needed", c.MemoryMiB)
	}
	return nil
}

// NewFactory returns the factory of the extension, whose type is ebb_storage.
func NewFactory() extension.Factory {
	return extension.NewFactory(componentType, func() component.Config { return &Config{MemoryMiB: 64} },
		func(_ context.Context, set extension.Settings, c component.Config) (extension.Extension, error) {
			return &Extension{config: *c.(*Config), logger: set.Logger, clients: make(map[string]*client)}, nil
		}, component.StabilityLevelDevelopment)
}

// Extension is the extension. It opens its database in Start and closes it in Shutdown.
type Extension struct {
	config Config
	logger *zap.Logger

	mu      sync.Mutex
	db      *ebb.DB
	clients map[string]*client
}

// Start opens the database.
func (e *Extension) Start(context.Context, component.Host) error {
	o := &ebb.Options{Memory: e.config.MemoryMiB << 20, OnEvent: e.tell}
	if !e.config.FSync {
		o.Sync = ebb.SyncInterval
	}
	db, err := ebb.Open(e.config.Directory, o)
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.db = db
	return nil
}

// tell logs the events of the database that somebody should look at.
func (e *Extension) tell(event ebb.Event) {
	switch event.(type) {
	case ebb.Failed, ebb.DiskFull, ebb.TableDamaged, ebb.BackgroundError:
		e.logger.Warn(fmt.Sprintf("%T", event), zap.String("event", event.LogValue().String()))
	}
}

// Shutdown closes the database. Clients return ebb.ErrClosed from then on.
func (e *Extension) Shutdown(context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.db == nil {
		return nil
	}
	return e.db.Close()
}

// GetClient returns the client of a component for the storage with a name. All clients of the same use the same storage.
func (e *Extension) GetClient(_ context.Context, kind component.Kind, id component.ID, name string) (storage.Client, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.db == nil {
		return nil, errors.New("the storage was not started")
	}
	var prefix []byte
	for _, part := range []string{kind.String(), id.Type().String(), id.Name(), name} {
		prefix = binary.AppendUvarint(prefix, uint64(len(part)))
		prefix = append(prefix, part...)
	}
	c := e.clients[string(prefix)]
	if c == nil {
		c = &client{db: e.db, prefix: prefix}
		e.clients[string(prefix)] = c
	}
	return &handle{client: c}, nil
}
