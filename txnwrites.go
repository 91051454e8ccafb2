package ebb

import (
	"fmt"
	"strconv"
	"time"

	"github.com/google/btree"

	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/lsm"
)

// ownWrite is an uncommitted write of a transaction, with the entry that its reads and iterators return.
type ownWrite struct {
	kv.Entry             // as of the transaction's moment, at ownSeq; its slices are never changed
	ttl      WriteOption // gives the deadline when the transaction commits
}

// getOwn is a look-up of a key in what the transaction has written. known says that the database is not to be asked.
func (s *txnState) getOwn(dst, key []byte, e *kv.Entry) (out []byte, known bool, err error) {
	w := s.own(key)
	if w == nil {
		_, gone := s.gone.Find(key)
		return dst, gone, ErrNotFound
	}
	*e = w.Entry
	if w.Kind == kv.Delete {
		return dst, true, ErrNotFound
	}
	return present(append(dst, w.Value...)), true, nil
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

// Put gives a key a value. It takes TTL, ExpireAt, KeepTTL and FoundTo; a TTL counts from the commit. Key and value are copied.
func (tx *Txn) Put(key, value []byte, opts ...WriteOption) error {
	if err := checkEntry(key, value); err != nil {
		return err
	}
	g, err := parseOptions(opts, deadlineOptions|keepOption|foundOption)
	if err != nil {
		return err
	}
	var old kv.Entry
	var found bool
	if g.ttl.kind == optionKeepTTL || g.foundTo != nil {
		if _, found, err = tx.look(key, lsm.WithoutValue, &old); err != nil {
			return err
		}
	}
	if g.ttl.kind == optionKeepTTL {
		g.ttl = tx.kept(key, found, &old)
	}
	return g.told(found, tx.write(key, value, kv.Put, g.ttl))
}

// Delete makes a key absent. Deleting an absent key is no error. Of the options Delete takes FoundTo.
func (tx *Txn) Delete(key []byte, opts ...WriteOption) error {
	if err := checkKey(key); err != nil {
		return err
	}
	g, err := parseOptions(opts, foundOption)
	if err != nil {
		return err
	}
	var found bool
	if g.foundTo != nil {
		var old kv.Entry
		if _, found, err = tx.look(key, lsm.WithoutValue, &old); err != nil {
			return err
		}
	}
	return g.told(found, tx.write(key, nil, kv.Delete, WriteOption{}))
}

// DeleteRange makes the keys from start up to but not including end absent, those among them that the transaction has put
// before. A nil end is no bound. A range whose end is not behind its start is no error, and deletes nothing. What others write
// into the range before the commit goes too: that is no conflict, as nothing was read.
func (tx *Txn) DeleteRange(start, end []byte) error {
	if err := tx.writable(); err != nil {
		return err
	}
	if err := checkRange(start, end); err != nil {
		return err
	}
	if isEmpty(start, end) {
		return nil
	}
	s := tx.s
	size := opSize(start, end)
	if s.size+size > MaxBatchSize {
		return fmt.Errorf("%w: the limit is %d bytes", ErrBatchTooLarge, int64(MaxBatchSize))
	}
	var in []*ownWrite
	s.writes.AscendGreaterOrEqual(&ownWrite{Entry: kv.Entry{Key: start}}, func(w *ownWrite) bool {
		if end != nil && kv.Compare(w.Key, end) >= 0 {
			return false
		}
		in = append(in, w)
		return true
	})
	for _, w := range in {
		s.writes.Delete(w)
		size -= opSize(w.Key, w.Value)
	}
	s.size += size
	s.gone.Add(start, end)
	return nil
}

// DeletePrefix makes all keys that begin with a prefix absent. It is DeleteRange from prefix to PrefixEnd(prefix).
func (tx *Txn) DeletePrefix(prefix []byte) error { return tx.DeleteRange(prefix, PrefixEnd(prefix)) }

// Take deletes a key and returns a copy of the value that it had. For an absent key the error is ErrNotFound.
func (tx *Txn) Take(key []byte) ([]byte, error) {
	if err := tx.writable(); err != nil {
		return nil, err
	}
	value, err := tx.Get(key)
	if err == nil {
		err = tx.write(key, nil, kv.Delete, WriteOption{})
	}
	if err != nil {
		return nil, err
	}
	return value, nil
}

// Expire gives a present key a new deadline, d from the commit, and leaves its value. A d of 0 takes the deadline away, a
// negative d deletes the key. For an absent key the error is ErrNotFound. Of the options Expire takes IfNoDeadline,
// IfDeadline, IfLater and IfEarlier; where the condition does not hold at the transaction's moment the error is
// ErrConditionFailed, and nothing changes.
func (tx *Txn) Expire(key []byte, d time.Duration, opts ...WriteOption) error {
	_, err := tx.touch(key, TTL(d), touchConditions, opts)
	return err
}

// Persist takes the deadline of a present key away. For an absent key the error is ErrNotFound.
func (tx *Txn) Persist(key []byte) error {
	_, err := tx.touch(key, TTL(0), 0, nil)
	return err
}

// GetTouch returns a copy of the value of a key and gives the key a new deadline, as Expire does. It takes the same options.
func (tx *Txn) GetTouch(key []byte, d time.Duration, opts ...WriteOption) ([]byte, error) {
	return tx.touch(key, TTL(d), touchConditions, opts)
}

// touch writes the value of a present key once more, with the deadline that ttl asks for, and returns a copy of the value.
func (tx *Txn) touch(key []byte, ttl WriteOption, allowed optionSet, opts []WriteOption) ([]byte, error) {
	if err := tx.writable(); err != nil {
		return nil, err
	}
	g, err := parseOptions(opts, allowed)
	if err != nil {
		return nil, err
	}
	var e kv.Entry
	value, err := tx.get(nil, key, lsm.WithValue, &e)
	if err != nil {
		return nil, err
	}
	p := params{condition: g.condition.kind}
	p.deadline, p.past = ttl.deadline(int64(tx.s.now))
	if !p.allowsDeadline(e.Deadline) {
		return nil, ErrConditionFailed
	}
	if err := tx.write(key, value, kv.Put, ttl); err != nil {
		return nil, err
	}
	return value, nil
}

// Add adds delta to a counter and returns the sum, as DB.Add does. Of the options it takes TTL and ExpireAt, which count only
// for an absent key, and FoundTo.
func (tx *Txn) Add(key []byte, delta int64, opts ...WriteOption) (int64, error) {
	if err := tx.writable(); err != nil {
		return 0, err
	}
	g, err := parseOptions(opts, deadlineOptions|foundOption)
	if err != nil {
		return 0, err
	}
	var old kv.Entry
	value, found, err := tx.look(key, lsm.WithValue, &old)
	if err != nil {
		return 0, err
	}
	var n int64
	if found {
		if n, err = Counter(value); err != nil {
			return 0, ofKey(err, key)
		}
		g.ttl = tx.kept(key, found, &old)
	}
	sum, err := sumOf(n, delta)
	if err != nil {
		return 0, ofKey(err, key)
	}
	var digits [maxCounter]byte
	if err := g.told(found, tx.write(key, strconv.AppendInt(digits[:0], sum, 10), kv.Put, g.ttl)); err != nil {
		return 0, err
	}
	return sum, nil
}

// told stores for FoundTo whether a key was present, if err, the error of the write, is nil. It returns err.
func (g *given) told(found bool, err error) error {
	if err == nil && g.foundTo != nil {
		*g.foundTo = found
	}
	return err
}

// look is get, but an absent key is no error.
func (tx *Txn) look(key []byte, want lsm.Wanted, e *kv.Entry) (value []byte, found bool, err error) {
	value, err = tx.get(nil, key, want, e)
	if err == ErrNotFound {
		return nil, false, nil
	}
	return value, err == nil, err
}

// kept returns the option that gives a key the deadline that it has, as look has found it; the zero option if it has none or
// is absent.
func (tx *Txn) kept(key []byte, found bool, e *kv.Entry) WriteOption {
	if !found {
		return WriteOption{}
	}
	if w := tx.s.own(key); w != nil {
		return w.ttl
	}
	return WriteOption{kind: optionExpireAt, value: e.Deadline}
}

// writable returns why the transaction takes no writes, or nil.
func (tx *Txn) writable() error {
	switch {
	case tx.s == nil:
		return ErrTxnDone
	case tx.s.readOnly:
		return fmt.Errorf("%w: a transaction of View", ErrReadOnly)
	}
	return nil
}

// write adds a write of a key, in place of the transaction's earlier write of the key.
func (tx *Txn) write(key, value []byte, kind kv.Kind, ttl WriteOption) error {
	if err := tx.writable(); err != nil {
		return err
	}
	s := tx.s
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
