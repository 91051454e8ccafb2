package store

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ebbdb/ebb"
)

// ErrNotFound says that a key is absent.
var ErrNotFound = errors.New("not found")

// Store is a sorted map on disk. Its methods may be called from any goroutine; what they are given is theirs only until they
// return.
type Store interface {
	// Get returns a value, in buf's memory if that is the store's way and there is room, or ErrNotFound.
	Get(key, buf []byte) ([]byte, error)
	Put(key, value []byte) error
	Delete(key []byte) error
	// Apply does all of the operations or, after a crash, none.
	Apply(ops []Op) error
	// Scan visits up to n keys in order, from start, until visit returns false. The slices are valid until it returns.
	Scan(start []byte, n int, visit func(key, value []byte) bool) error
	Close() error
}

// An Expirer has deadlines of its own.
type Expirer interface {
	// PutUntil puts a value that is gone from a deadline on, which is a whole millisecond.
	PutUntil(key, value []byte, deadline time.Time) error
}

// Op is a put, or a delete.
type Op struct {
	Key, Value []byte
	Delete     bool
}

// Options are what differs between runs.
type Options struct {
	Dir     string // an empty one, or one that the same store has left
	Commit  bool   // writes are on the disk when they return; otherwise never synced
	Threads int    // how many will write at once
}

// Info describes a store.
type Info struct {
	Name     string
	Module   string // whose version is reported
	Settings string // what differs from its defaults, and why
	TTL      string // how its keys expire

	// Early and Late bound how far from its deadline a key may expire: the granularity of the store's deadlines.
	Early, Late time.Duration
	// MaxDisk is the bound of the store's directory, in bytes; 0: it has none.
	MaxDisk int64
	// Survives kill -9, says the store, whatever the durability.
	Survives bool
	// WriteOnly stores can be loaded, and nothing else.
	WriteOnly bool
	// Volatile stores hold nothing when they are closed or die.
	Volatile bool
	// Answers is false for the store that does nothing.
	Answers bool

	open func(Options) (Store, error)
}

var infos = []Info{ebbInfo, pebbleInfo, badgerInfo, bboltInfo, goleveldbInfo, buntdbInfo, btreeInfo, rawInfo, noneInfo}

// others are ebb with less and with more memory than by default, and bounded, which All does not have.
var others = []Info{
	ebbWith("ebb-64MiB", "64 MiB for memtables and caches", ebb.Options{Memory: 64 << 20}),
	ebbWith("ebb-1GiB", "1 GiB for memtables and caches", ebb.Options{Memory: 1 << 30}),
	ebbWith("ebb-bounded", "a directory of 1 GiB at most", ebb.Options{MaxDisk: 1 << 30}),
}

// All returns every store, ebb first.
func All() []Info { return slices.Clone(infos) }

// Lookup returns the store of a name.
func Lookup(name string) (Info, error) {
	for _, i := range slices.Concat(infos, others) {
		if i.Name == name {
			return i, nil
		}
	}
	return Info{}, fmt.Errorf("no store %q", name)
}

// Idle reports whether the store does nothing, so that what is measured is the benchmark itself.
func (i Info) Idle() bool { return !i.Answers && !i.WriteOnly }

// Open opens the store.
func (i Info) Open(o Options) (Store, error) {
	s, err := i.open(o)
	if err != nil {
		return nil, fmt.Errorf("%s: open: %w", i.Name, err)
	}
	return s, nil
}

// OpenExpiring opens the store such that it is an Expirer: by its own means or, if it has none, by an index of deadlines.
func (i Info) OpenExpiring(o Options) (Store, Expirer, error) {
	s, err := i.Open(o)
	if err != nil {
		return nil, nil, err
	}
	if e, ok := s.(Expirer); ok {
		return s, e, nil
	}
	indexed := newIndexed(s)
	return indexed, indexed, nil
}
