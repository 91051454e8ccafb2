package store

import (
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"
)

var bboltInfo = Info{
	Name:   "bbolt",
	Module: "go.etcd.io/bbolt",
	Settings: "as etcd has it: free pages in a hash map and not on disk. One Update a write; when writes are synced and " +
		"there are several threads Batch, which lets them share a commit: as soon as all wait, or after 1 ms (the default of " +
		"10 ms would be most of the time). NoSync when writes are not synced",
	TTL:     "none: an index of deadlines, and a sweeper",
	Answers: true,
	open:    openBbolt,
}

var bucket = []byte("bench")

type bboltStore struct {
	db     *bbolt.DB
	update func(func(*bbolt.Tx) error) error
}

func openBbolt(o Options) (Store, error) {
	db, err := bbolt.Open(filepath.Join(o.Dir, "bbolt.db"), 0o600, &bbolt.Options{
		Timeout:        time.Second,
		NoSync:         !o.Commit,
		NoGrowSync:     !o.Commit,
		NoFreelistSync: true,
		FreelistType:   bbolt.FreelistMapType,
	})
	if err != nil {
		return nil, err
	}
	s := &bboltStore{db: db, update: db.Update}
	if o.Commit && o.Threads > 1 {
		db.MaxBatchSize, db.MaxBatchDelay = o.Threads, time.Millisecond
		s.update = db.Batch
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(bucket)
		return err
	})
	if err != nil {
		db.Close()
		return nil, err
	}
	return s, nil
}

func (s *bboltStore) Get(key, buf []byte) (value []byte, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		v := tx.Bucket(bucket).Get(key)
		if v == nil {
			return ErrNotFound
		}
		value = append(buf[:0], v...)
		return nil
	})
	return value, err
}

func (s *bboltStore) Put(key, value []byte) error {
	return s.update(func(tx *bbolt.Tx) error { return tx.Bucket(bucket).Put(key, value) })
}

func (s *bboltStore) Delete(key []byte) error {
	return s.update(func(tx *bbolt.Tx) error { return tx.Bucket(bucket).Delete(key) })
}

func (s *bboltStore) Apply(ops []Op) error {
	return s.update(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucket)
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
		return nil
	})
}

func (s *bboltStore) Scan(start []byte, n int, visit func(key, value []byte) bool) error {
	return s.db.View(func(tx *bbolt.Tx) error {
		c := tx.Bucket(bucket).Cursor()
		for k, v := c.Seek(start); k != nil && n > 0 && visit(k, v); k, v = c.Next() {
			n--
		}
		return nil
	})
}

func (s *bboltStore) Close() error { return s.db.Close() }
