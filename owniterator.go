package ebb

import (
	"github.com/google/btree"

	"github.com/ebbdb/ebb/internal/kv"
)

// ownIterator walks the writes of a transaction. It is a kv.Iterator. A tree is walked by callbacks, so it reads some
// writes ahead.
type ownIterator struct {
	writes *btree.BTreeG[*ownWrite]
	ahead  [32]*ownWrite // ascending
	n, at  int           // of ahead, and where it stands; n = 0: nowhere
}

var _ kv.Iterator = (*ownIterator)(nil)

func (it *ownIterator) First() bool {
	it.n = 0
	it.writes.Ascend(it.takeNext)
	it.at = 0
	return it.n > 0
}

func (it *ownIterator) SeekGE(key []byte) bool { return it.ascend(key, nil) }

// ascend reads ahead from a key on, which it leaves out if it is not the given.
func (it *ownIterator) ascend(from, without []byte) bool {
	it.n = 0
	it.writes.AscendGreaterOrEqual(&ownWrite{Entry: kv.Entry{Key: from}}, func(w *ownWrite) bool {
		if without != nil && kv.Compare(w.Key, without) == 0 {
			return true
		}
		return it.takeNext(w)
	})
	it.at = 0
	return it.n > 0
}

func (it *ownIterator) takeNext(w *ownWrite) bool {
	it.ahead[it.n] = w
	it.n++
	return it.n < len(it.ahead)
}

func (it *ownIterator) Last() bool {
	it.n = 0
	it.writes.Descend(it.takeNext)
	return it.turn()
}

func (it *ownIterator) SeekLT(key []byte) bool {
	it.n = 0
	it.writes.DescendLessOrEqual(&ownWrite{Entry: kv.Entry{Key: key}}, func(w *ownWrite) bool {
		if kv.Compare(w.Key, key) == 0 {
			return true
		}
		return it.takeNext(w)
	})
	return it.turn()
}

// turn puts what was read backwards in order and stands on the last.
func (it *ownIterator) turn() bool {
	for i, j := 0, it.n-1; i < j; i, j = i+1, j-1 {
		it.ahead[i], it.ahead[j] = it.ahead[j], it.ahead[i]
	}
	it.at = it.n - 1
	return it.n > 0
}

func (it *ownIterator) Next() bool {
	if it.n == 0 {
		return false
	}
	if it.at+1 < it.n {
		it.at++
		return true
	}
	last := it.ahead[it.at].Key
	return it.ascend(last, last)
}

func (it *ownIterator) Prev() bool {
	if it.n == 0 {
		return false
	}
	if it.at > 0 {
		it.at--
		return true
	}
	return it.SeekLT(it.ahead[0].Key)
}

func (it *ownIterator) Entry() *kv.Entry { return &it.ahead[it.at].Entry }
func (it *ownIterator) Err() error       { return nil }
func (it *ownIterator) Close() error     { return nil }
