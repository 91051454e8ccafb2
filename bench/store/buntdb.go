package store

import (
	"errors"
	"path/filepath"
	"time"
	"unsafe"

	"github.com/tidwall/buntdb"
)

var buntdbInfo = Info{
	Name:     "buntdb",
	Module:   "github.com/tidwall/buntdb",
	Settings: "defaults but for the sync policy (Always or Never). All data is in memory; the file is a log of commands",
	TTL:      "its own; written to the file in whole seconds. A scan shows what has expired until a sweep, once a second, has passed",
	Late:     100 * time.Millisecond, // the deadline counts from when the writer has the lock
	Answers:  true,
	open:     openBuntdb,
}

type buntdbStore struct{ db *buntdb.DB }

func openBuntdb(o Options) (Store, error) {
	db, err := buntdb.Open(filepath.Join(o.Dir, "bunt.db"))
	if err != nil {
		return nil, err
	}
	var c buntdb.Config
	if err := db.ReadConfig(&c); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	c.SyncPolicy = buntdb.Never
	if o.Commit {
		c.SyncPolicy = buntdb.Always
	}
	if err := db.SetConfig(c); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &buntdbStore{db}, nil
}

// bytesOf returns a string's bytes without copying them: they must not be written.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

func (s *buntdbStore) Get(key, _ []byte) ([]byte, error) {
	var value string
	err := s.db.View(func(tx *buntdb.Tx) (err error) {
		value, err = tx.Get(string(key))
		return err
	})
	if errors.Is(err, buntdb.ErrNotFound) {
		return nil, ErrNotFound
	}
	return bytesOf(value), err
}

func (s *buntdbStore) Put(key, value []byte) error { return s.Apply([]Op{{Key: key, Value: value}}) }

func (s *buntdbStore) PutUntil(key, value []byte, deadline time.Time) error {
	return s.db.Update(func(tx *buntdb.Tx) error {
		ttl := &buntdb.SetOptions{Expires: true, TTL: time.Until(deadline)}
		_, _, err := tx.Set(string(key), string(value), ttl)
		return err
	})
}

func (s *buntdbStore) Delete(key []byte) error { return s.Apply([]Op{{Key: key, Delete: true}}) }

func (s *buntdbStore) Apply(ops []Op) error {
	return s.db.Update(func(tx *buntdb.Tx) error {
		for _, op := range ops {
			var err error
			if op.Delete {
				if _, err = tx.Delete(string(op.Key)); errors.Is(err, buntdb.ErrNotFound) {
					err = nil
				}
			} else {
				_, _, err = tx.Set(string(op.Key), string(op.Value), nil)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *buntdbStore) Scan(start []byte, n int, visit func(key, value []byte) bool) error {
	return s.db.View(func(tx *buntdb.Tx) error {
		return tx.AscendGreaterOrEqual("", string(start), func(key, value string) bool {
			n--
			return visit(bytesOf(key), bytesOf(value)) && n > 0
		})
	})
}

func (s *buntdbStore) Close() error { return s.db.Close() }
