package store

import (
	"errors"
	"time"

	"github.com/dgraph-io/badger/v4"
)

const badgerGC = 10 * time.Second

var badgerInfo = Info{
	Name:   "badger",
	Module: "github.com/dgraph-io/badger/v4",
	Settings: "defaults (64 MiB memtables, 256 MiB block cache, Snappy), no log output, and the collection of its value log " +
		"every 10 s, which its documentation asks of users",
	TTL:     "its own, in whole seconds, rounded down",
	Early:   time.Second,
	Answers: true,
	open:    openBadger,
}

type badgerStore struct {
	db            *badger.DB
	stop, stopped chan struct{}
}

func openBadger(o Options) (Store, error) {
	db, err := badger.Open(badger.DefaultOptions(o.Dir).WithSyncWrites(o.Commit).WithLogger(nil))
	if err != nil {
		return nil, err
	}
	s := &badgerStore{db, make(chan struct{}), make(chan struct{})}
	go s.collect()
	return s, nil
}

// collect is the loop of badger's documentation. What RunValueLogGC returns is nil as long as there may be more to do.
func (s *badgerStore) collect() {
	defer close(s.stopped)
	tick := time.NewTicker(badgerGC)
	defer tick.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-tick.C:
			for s.db.RunValueLogGC(0.5) == nil {
				continue
			}
		}
	}
}

func (s *badgerStore) Get(key, buf []byte) ([]byte, error) {
	txn := s.db.NewTransaction(false)
	defer txn.Discard()
	item, err := txn.Get(key)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return item.ValueCopy(buf)
}

func (s *badgerStore) Put(key, value []byte) error { return s.set(badger.NewEntry(key, value)) }

func (s *badgerStore) PutUntil(key, value []byte, deadline time.Time) error {
	e := badger.NewEntry(key, value)
	e.ExpiresAt = uint64(deadline.Unix())
	return s.set(e)
}

func (s *badgerStore) set(e *badger.Entry) error {
	txn := s.db.NewTransaction(true)
	defer txn.Discard()
	if err := txn.SetEntry(e); err != nil {
		return err
	}
	return txn.Commit()
}

func (s *badgerStore) Delete(key []byte) error { return s.Apply([]Op{{Key: key, Delete: true}}) }

func (s *badgerStore) Apply(ops []Op) error {
	txn := s.db.NewTransaction(true)
	defer txn.Discard()
	for _, op := range ops {
		var err error
		if op.Delete {
			err = txn.Delete(op.Key)
		} else {
			err = txn.Set(op.Key, op.Value)
		}
		if err != nil {
			return err
		}
	}
	return txn.Commit()
}

func (s *badgerStore) Scan(start []byte, n int, visit func(key, value []byte) bool) error {
	txn := s.db.NewTransaction(false)
	defer txn.Discard()
	options := badger.DefaultIteratorOptions
	options.PrefetchSize = min(n, options.PrefetchSize)
	it := txn.NewIterator(options)
	defer it.Close()
	more := true
	for it.Seek(start); it.Valid() && n > 0 && more; it.Next() {
		item := it.Item()
		err := item.Value(func(value []byte) error {
			more = visit(item.Key(), value)
			return nil
		})
		if err != nil {
			return err
		}
		n--
	}
	return nil
}

func (s *badgerStore) Close() error {
	close(s.stop)
	<-s.stopped
	return s.db.Close()
}
