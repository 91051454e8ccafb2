package ebb

import (
	"fmt"

	"github.com/google/btree"

	"github.com/ebbdb/ebb/internal/kv"
)

// ownWrite is an uncommitted write of a transaction, with the entry that its reads and iterators return.
type ownWrite struct {
	kv.Entry             // as of the transaction's moment, at ownSeq; its slices are never changed
	ttl      WriteOption // gives the deadline when the transaction commits
}

// get is a look-up that finds w.
func (w *ownWrite) get(dst []byte, e *kv.Entry) ([]byte, error) {
	*e = w.Entry
	if w.Kind == kv.Delete {
		return dst, ErrNotFound
	}
	return present(append(dst, w.Value...)), nil
}

// own returns the transaction's write of a key, nil if there is none.
func (s *txnState) own(key []byte) *ownWrite {
	if s.writes.Len() == 0 {
		return nil
	}
	s.probe.Key = key
	w, _ := s.writes.Get(&s.probe)
	s.probe.Key = nil
	return w
}

// write adds a write of a key, in place of the transaction's earlier write of the key.
func (tx *Txn) write(key, value []byte, kind kv.Kind, ttl WriteOption) error {
	s := tx.s
	if s == nil {
		return ErrTxnDone
	}
	if s.readOnly {
		return fmt.Errorf("%w: a transaction of View", ErrReadOnly)
	}
	size := opSize(key, value)
	if old := s.own(key); old != nil {
		size -= opSize(old.Key, old.Value)
	}
	if s.size+size > MaxBatchSize {
		return fmt.Errorf("%w: the limit is %d bytes", ErrBatchTooLarge, int64(MaxBatchSize))
	}
	s.size += size
	data := append(append(make([]byte, 0, len(key)+len(value)), key...), value...)
	n := len(key)
	w := &ownWrite{Entry: kv.Entry{Key: data[:n:n], Value: data[n:], Seq: ownSeq, Kind: kind}, ttl: ttl}
	var past bool
	if w.Deadline, past = ttl.deadline(int64(s.now)); past {
		w.Entry = kv.Entry{Key: w.Key, Seq: ownSeq, Kind: kv.Delete}
	}
	s.writes.ReplaceOrInsert(w)
	return nil
}

// ownIterator walks the writes of a transaction. It is a kv.Iterator. The tree can only be walked by callbacks: so the
// iterator reads some writes ahead.
type ownIterator struct {
	writes *btree.BTreeG[*ownWrite]
	ahead  [32]*ownWrite // ascending
	n, at  int           // length of ahead, and the index that the iterator stands on; n = 0: nowhere
}

var _ kv.Iterator = (*ownIterator)(nil)

func (it *ownIterator) First() bool {
	it.n = 0
	it.writes.Ascend(it.takeNext)
	it.at = 0
	return it.n > 0
}

func (it *ownIterator) SeekGE(key []byte) bool { return it.ascend(key, nil) }

// ascend reads ahead from the key from on. A write of the key without, unless that is nil, is left out.
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

// turn reverses ahead, which was read backwards, and stands on its last write.
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
