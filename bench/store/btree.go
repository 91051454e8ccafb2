package store

import (
	"bytes"
	"sync"

	"github.com/google/btree"
)

var btreeInfo = Info{
	Name:   "btree",
	Module: "github.com/google/btree",
	Settings: "degree 32, items of two slices, an RWMutex. Not a store: no log, nothing on disk, the same whatever the " +
		"durability. It is what memory alone gives",
	TTL:      "none: an index of deadlines, and a sweeper",
	Volatile: true,
	Answers:  true,
	open:     openBtree,
}

type btreeItem struct{ key, value []byte }

type btreeStore struct {
	mu   sync.RWMutex // guards tree
	tree *btree.BTreeG[btreeItem]
}

func openBtree(Options) (Store, error) {
	less := func(a, b btreeItem) bool { return bytes.Compare(a.key, b.key) < 0 }
	return &btreeStore{tree: btree.NewG(32, less)}, nil
}

func (s *btreeStore) Get(key, buf []byte) ([]byte, error) {
	s.mu.RLock()
	item, ok := s.tree.Get(btreeItem{key: key})
	s.mu.RUnlock()
	if !ok {
		return nil, ErrNotFound
	}
	return append(buf[:0], item.value...), nil
}

func (s *btreeStore) Put(key, value []byte) error {
	item := btreeItem{bytes.Clone(key), bytes.Clone(value)}
	s.mu.Lock()
	s.tree.ReplaceOrInsert(item)
	s.mu.Unlock()
	return nil
}

func (s *btreeStore) Delete(key []byte) error {
	s.mu.Lock()
	s.tree.Delete(btreeItem{key: key})
	s.mu.Unlock()
	return nil
}

func (s *btreeStore) Apply(ops []Op) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, op := range ops {
		if op.Delete {
			s.tree.Delete(btreeItem{key: op.Key})
		} else {
			s.tree.ReplaceOrInsert(btreeItem{bytes.Clone(op.Key), bytes.Clone(op.Value)})
		}
	}
	return nil
}

func (s *btreeStore) Scan(start []byte, n int, visit func(key, value []byte) bool) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	s.tree.AscendGreaterOrEqual(btreeItem{key: start}, func(item btreeItem) bool {
		n--
		return visit(item.key, item.value) && n > 0
	})
	return nil
}

func (s *btreeStore) Close() error { return nil }
