package store

import (
	"errors"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
)

var pebbleInfo = Info{
	Name:   "pebble",
	Module: "github.com/cockroachdb/pebble/v2",
	Settings: "64 MiB memtables, 256 MiB cache, bloom filters of 10 bits a key in every level, newest format, and " +
		"CockroachDB's L0 thresholds and concurrency: the defaults (4 and 8 MB, no filters) are for tests",
	TTL:     "none: an index of deadlines, and a sweeper",
	Answers: true,
	open:    openPebble,
}

type pebbleStore struct {
	db   *pebble.DB
	sync *pebble.WriteOptions
}

func openPebble(o Options) (Store, error) {
	cache := pebble.NewCache(256 << 20)
	defer cache.Unref()
	options := &pebble.Options{
		Cache:                       cache,
		MemTableSize:                64 << 20,
		MemTableStopWritesThreshold: 4,
		L0CompactionThreshold:       2,
		L0StopWritesThreshold:       1000,
		CompactionConcurrencyRange:  func() (lower, upper int) { return 1, 3 },
		FormatMajorVersion:          pebble.FormatNewest,
		Logger:                      silent{},
	}
	for i := range options.Levels {
		options.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	db, err := pebble.Open(o.Dir, options)
	if err != nil {
		return nil, err
	}
	s := &pebbleStore{db: db, sync: pebble.NoSync}
	if o.Commit {
		s.sync = pebble.Sync
	}
	return s, nil
}

func (s *pebbleStore) Get(key, buf []byte) ([]byte, error) {
	value, closer, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	buf = append(buf[:0], value...)
	return buf, closer.Close()
}

func (s *pebbleStore) Put(key, value []byte) error { return s.db.Set(key, value, s.sync) }

func (s *pebbleStore) Delete(key []byte) error { return s.db.Delete(key, s.sync) }

func (s *pebbleStore) Apply(ops []Op) error {
	b := s.db.NewBatch()
	for _, op := range ops {
		var err error
		if op.Delete {
			err = b.Delete(op.Key, nil)
		} else {
			err = b.Set(op.Key, op.Value, nil)
		}
		if err != nil {
			return errors.Join(err, b.Close())
		}
	}
	return errors.Join(b.Commit(s.sync), b.Close())
}

func (s *pebbleStore) Scan(start []byte, n int, visit func(key, value []byte) bool) error {
	it, err := s.db.NewIter(nil)
	if err != nil {
		return err
	}
	for ok := it.SeekGE(start); ok && n > 0; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return errors.Join(err, it.Close())
		}
		if !visit(it.Key(), value) {
			break
		}
		n--
	}
	return errors.Join(it.Error(), it.Close())
}

func (s *pebbleStore) Close() error { return s.db.Close() }
