package store

import (
	"errors"
	"sync"
	"time"

	"github.com/ebbdb/ebb"
)

var ebbInfo = ebbWith("ebb", "defaults: 256 MiB for memtables and caches, no compression", ebb.Options{})

// ebbWith returns ebb with options.
func ebbWith(name, settings string, o ebb.Options) Info {
	return Info{
		Name:     name,
		Module:   "github.com/ebbdb/ebb",
		Settings: settings,
		TTL:      "its own, in milliseconds",
		Survives: true,
		Answers:  true,
		MaxDisk:  o.MaxDisk,
		open:     func(run Options) (Store, error) { return openEbb(run, o) },
	}
}

type ebbStore struct {
	db      *ebb.DB
	batches sync.Pool
}

func openEbb(run Options, o ebb.Options) (Store, error) {
	o.Sync = ebb.SyncNever
	if run.Commit {
		o.Sync = ebb.SyncAlways
	}
	db, err := ebb.Open(run.Dir, &o)
	if err != nil {
		return nil, err
	}
	return &ebbStore{db: db, batches: sync.Pool{New: func() any { return new(ebb.Batch) }}}, nil
}

func (s *ebbStore) Get(key, buf []byte) ([]byte, error) {
	value, err := s.db.AppendGet(buf[:0], key)
	if errors.Is(err, ebb.ErrNotFound) {
		return nil, ErrNotFound
	}
	return value, err
}

func (s *ebbStore) Put(key, value []byte) error { return s.db.Put(key, value) }

func (s *ebbStore) PutUntil(key, value []byte, deadline time.Time) error {
	return s.db.Put(key, value, ebb.ExpireAt(deadline))
}

func (s *ebbStore) Delete(key []byte) error { return s.db.Delete(key) }

func (s *ebbStore) Apply(ops []Op) error {
	b := s.batches.Get().(*ebb.Batch)
	defer s.batches.Put(b)
	b.Reset()
	for _, op := range ops {
		var err error
		if op.Delete {
			err = b.Delete(op.Key)
		} else {
			err = b.Put(op.Key, op.Value)
		}
		if err != nil {
			return err
		}
	}
	return s.db.Apply(b)
}

func (s *ebbStore) Scan(start []byte, n int, visit func(key, value []byte) bool) error {
	for e, err := range s.db.Range(&ebb.IterOptions{Start: start, Limit: n}) {
		if err != nil {
			return err
		}
		if !visit(e.Key, e.Value) {
			break
		}
	}
	return nil
}

func (s *ebbStore) Close() error { return s.db.Close() }
