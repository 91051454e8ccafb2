package store

import (
	"errors"

	"github.com/syndtr/goleveldb/leveldb"
	"github.com/syndtr/goleveldb/leveldb/filter"
	"github.com/syndtr/goleveldb/leveldb/opt"
	"github.com/syndtr/goleveldb/leveldb/util"
)

var goleveldbInfo = Info{
	Name:   "goleveldb",
	Module: "github.com/syndtr/goleveldb",
	Settings: "as go-ethereum had it with a cache of 256 MiB: half of it for blocks, a quarter for each of two write buffers, bloom " +
		"filters of 10 bits a key, no compaction by seeks",
	TTL:     "none: an index of deadlines, and a sweeper",
	Answers: true,
	open:    openGoleveldb,
}

type goleveldbStore struct {
	db   *leveldb.DB
	sync *opt.WriteOptions
}

func openGoleveldb(o Options) (Store, error) {
	db, err := leveldb.OpenFile(o.Dir, &opt.Options{
		BlockCacheCapacity:     128 << 20,
		WriteBuffer:            64 << 20,
		Filter:                 filter.NewBloomFilter(10),
		DisableSeeksCompaction: true,
	})
	if err != nil {
		return nil, err
	}
	return &goleveldbStore{db, &opt.WriteOptions{Sync: o.Commit}}, nil
}

func (s *goleveldbStore) Get(key, _ []byte) ([]byte, error) {
	value, err := s.db.Get(key, nil)
	if errors.Is(err, leveldb.ErrNotFound) {
		return nil, ErrNotFound
	}
	return value, err
}

func (s *goleveldbStore) Put(key, value []byte) error { return s.db.Put(key, value, s.sync) }

func (s *goleveldbStore) Delete(key []byte) error { return s.db.Delete(key, s.sync) }

func (s *goleveldbStore) Apply(ops []Op) error {
	var b leveldb.Batch
	for _, op := range ops {
		if op.Delete {
			b.Delete(op.Key)
		} else {
			b.Put(op.Key, op.Value)
		}
	}
	return s.db.Write(&b, s.sync)
}

func (s *goleveldbStore) Scan(start []byte, n int, visit func(key, value []byte) bool) error {
	it := s.db.NewIterator(&util.Range{Start: start}, nil)
	defer it.Release()
	for n > 0 && it.Next() && visit(it.Key(), it.Value()) {
		n--
	}
	return it.Error()
}

func (s *goleveldbStore) Close() error { return s.db.Close() }
