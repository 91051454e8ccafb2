package ebb

import (
	"iter"
	"runtime"
	"time"

	"github.com/google/btree"

	"github.com/ebbdb/ebb/internal/draft"
	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/lsm"
	"github.com/ebbdb/ebb/internal/occ"
	"github.com/ebbdb/ebb/ttl"
	"github.com/ebbdb/ebb/wal"
)

// Txn is a transaction. It reads the database as of one moment, with its own writes on top. It is for one goroutine, and
// valid until the function that View or Update has called with it returns, or until Commit or Discard if it is of Begin.
type Txn struct{ s *txnState }

// txnState is the state of a transaction. It is reused.
type txnState struct {
	db       *DB
	view     *lsm.View
	seq      uint64
	now      moment
	readOnly bool

	writes *btree.BTreeG[*ownWrite]
	probe  ownWrite    // scratch: the key to look up in writes
	gone   kv.RangeSet // the ranges that the transaction has deleted; what is in writes came after
	size   int64       // of writes and gone, as MaxBatchSize counts

	begun *begun          // of a transaction of Begin; nil: View or Update ends it
	leak  runtime.Cleanup // finds a forgotten transaction of Begin

	reads occ.Reads
	batch Batch // scratch of encode: writes as a batch
}

func newTxnState() any {
	less := func(a, b *ownWrite) bool { return kv.Compare(a.Key, b.Key) < 0 }
	return &txnState{writes: btree.NewG(16, less)}
}

// View calls fn with a transaction that only reads. fn sees the database as of one moment, and time does not pass. View
// returns the error of fn.
func (db *DB) View(fn func(*Txn) error) error {
	s, err := db.begin(true)
	if err != nil {
		return err
	}
	tx := Txn{s}
	defer tx.end()
	return fn(&tx)
}

// begin returns the state of a new transaction.
func (db *DB) begin(readOnly bool) (*txnState, error) {
	v, seq, err := pin(&db.live)
	if err != nil {
		return nil, err
	}
	return db.newTxn(v, seq, readOnly), nil
}

// newTxn returns the state of a transaction as of a sequence. It takes over the caller's pin of the view.
func (db *DB) newTxn(v *lsm.View, seq uint64, readOnly bool) *txnState {
	s := db.txns.Get().(*txnState)
	s.db, s.view, s.seq, s.now, s.readOnly = db, v, seq, moment(db.clock.Now()), readOnly
	return s
}

// end unpins the transaction's view and frees its state for reuse. Later calls of the transaction's methods return
// ErrTxnDone.
func (tx *Txn) end() {
	s := tx.s
	if s == nil {
		return // discarded
	}
	tx.s, s.begun = nil, nil
	db := s.db
	s.unpin()
	s.writes.Clear(true)
	s.gone.Clear()
	if s.reads.Scans() > 0 {
		db.pipeline.trail.last.Unwant()
	}
	s.reads.Reset()
	s.probe = ownWrite{}
	s.db, s.size = nil, 0
	const keep = 1 << 20
	if s.batch.ops.Memory() > keep {
		s.batch = Batch{}
	}
	s.batch.Reset()
	s.batch.resolver.Reset()
	db.txns.Put(s)
}

// unpin gives up the transaction's view, if it has it yet.
func (s *txnState) unpin() {
	if s.view != nil {
		s.db.live.Unpin(s.view)
		s.view = nil
	}
}

// commit makes the writes of the transaction, unless it would not be serializable.
//
//  1. If ranges were scanned, look for conflicts outside of a turn, so that little is left to check in the turn.
//  2. Encode the writes, unless they depend on what is there: where a range without end has to end.
//  3. Unpin the view: nothing is read any more, and the writes may wait for room that its files take.
//  4. In a turn look for conflicts with the writes made since 1. If there is none, write as any batch is written.
//
// first says that the attempt began with precedence a. Other writes do not wait for the sync: a commit gives precedence up
// before it, and a conflict needs none.
func (s *txnState) commit(p *params, a *precedence, first bool) error {
	checked, ok := s.seq, true
	if s.reads.Scans() > 0 {
		if checked, ok = s.reads.Check(s.view.FirstAfter(s.seq), s.seq, nil); !ok {
			return errConflict
		}
	}
	db := s.db
	e, err := s.encode(db.clock)
	if err != nil {
		return err
	}
	after := s.view.FirstAfter(checked)
	s.unpin()
	t, err := s.turn(a)
	if err != nil {
		return err
	}
	_, ok = s.reads.Check(after, checked, t.lastWrites())
	if deadline := s.reads.FirstDeadline(); ok && deadline != 0 {
		ok = !kv.Expired(deadline, t.now())
	}
	if !ok && first {
		t.end() // attemptFirst tries again at once
		return errConflict
	}
	if !ok {
		return t.refuse(errConflict, p)
	}
	a.endIn(t)
	if s.batch.ops.Traits().Endless {
		if e, err = s.batch.encodeIn(t); err != nil {
			t.end()
			return err
		}
	}
	return t.write(e, p)
}

// turn returns a turn to commit in. a is as for commit. To delete ranges where expiries are reported may take a report first,
// which waits for the end of precedence: so the commit may conflict.
func (s *txnState) turn(a *precedence) (turn, error) {
	if len(s.gone.All()) > 0 {
		return beginRangeAhead(&s.db.pipeline, s.db.reporter, a.own(), s.claim())
	}
	return s.db.pipeline.beginAhead(a.own(), s.claim())
}

// claim returns what the writes claim of a bounded directory.
func (s *txnState) claim() claim {
	c := claimReserve
	if s.db.pipeline.bound != nil {
		s.writes.Ascend(func(w *ownWrite) bool {
			c = claimOf(w.Kind == kv.Delete)
			return c == claimReserve
		})
	}
	return c
}

// wrote reports whether the transaction has written anything.
func (s *txnState) wrote() bool { return s.writes.Len() > 0 || len(s.gone.All()) > 0 }

// encode returns the writes as an entry of the log. If a range has no end it only prepares the entry, for Batch.encodeIn.
func (s *txnState) encode(clock clock) (wal.Entry, error) {
	ranges := s.gone.All()
	if len(ranges) == 1 && s.writes.Len() == 0 && ranges[0].End != nil {
		return wal.Entry{Kind: wal.KindRangeDelete, Key: ranges[0].Start, Value: ranges[0].End}, nil
	}
	if len(ranges) == 0 && s.writes.Len() == 1 {
		w, _ := s.writes.Min()
		var deadline int64
		var past bool
		if w.Deadline != 0 {
			deadline, past = w.ttl.deadline(clock.Now())
		}
		if w.Kind == kv.Delete || past {
			return wal.Entry{Kind: wal.KindDelete, Key: w.Key}, nil
		}
		return wal.Entry{Key: w.Key, Value: w.Value, Deadline: deadline}, nil
	}
	for _, r := range ranges { // what was put before was taken out of writes
		if err := s.batch.add(&draft.Op{Kind: draft.DeleteRange, Key: r.Start, End: r.End}); err != nil {
			return wal.Entry{}, err
		}
	}
	var err error
	s.writes.Ascend(func(w *ownWrite) bool {
		if w.Kind == kv.Delete {
			err = s.batch.Delete(w.Key)
		} else {
			err = s.batch.add(&draft.Op{Kind: draft.Put, Key: w.Key, Value: w.Value, Life: w.ttl.drafted()})
		}
		return err == nil
	})
	if err != nil {
		return wal.Entry{}, err
	}
	return s.batch.prepare(clock)
}

// Get returns a copy of the value of a key, or ErrNotFound.
func (tx *Txn) Get(key []byte) ([]byte, error) { return tx.AppendGet(nil, key) }

// AppendGet appends the value of a key to dst and returns the extended slice, or dst and ErrNotFound.
func (tx *Txn) AppendGet(dst, key []byte) ([]byte, error) {
	var e kv.Entry
	return tx.get(dst, key, lsm.WithValue, &e)
}

// GetEntry returns the value of a key, as a copy, with its version and deadline, or ErrNotFound. An entry that the
// transaction has written itself has version 0, and the deadline that it would get if it were committed at the transaction's
// moment.
func (tx *Txn) GetEntry(key []byte) (Entry, error) {
	var e kv.Entry
	value, err := tx.get(nil, key, lsm.WithValue, &e)
	if err != nil {
		return Entry{}, err
	}
	return entryOf(key, value, &e), nil
}

// Stat is GetEntry without the value, of which the entry has the size.
func (tx *Txn) Stat(key []byte) (Entry, error) {
	var e kv.Entry
	if _, err := tx.get(nil, key, lsm.WithoutValue, &e); err != nil {
		return Entry{}, err
	}
	return entryOf(key, nil, &e), nil
}

// GetMany is DB.GetMany as the transaction sees the database.
func (tx *Txn) GetMany(keys ...[]byte) ([][]byte, error) {
	s := tx.s
	if s == nil {
		return nil, ErrTxnDone
	}
	defer runtime.KeepAlive(tx) // what nobody can reach any more is unpinned
	m := many{live: &s.db.live, get: func(dst, key []byte) ([]byte, error) {
		var e kv.Entry
		if out, known, err := s.getOwn(dst, key, &e); known {
			return out, err
		}
		return s.getLive(dst, key, lsm.WithValue, &e)
	}}
	return m.all(keys)
}

// Has reports whether a key is present.
func (tx *Txn) Has(key []byte) (bool, error) {
	var e kv.Entry
	_, err := tx.get(nil, key, lsm.WithoutValue, &e)
	if err == ErrNotFound {
		return false, nil
	}
	return err == nil, err
}

// TTL returns how long a key has left at the transaction's moment, and 0 if it has no deadline. It is ErrNotFound for an
// absent key.
func (tx *Txn) TTL(key []byte) (time.Duration, error) {
	var e kv.Entry
	if _, err := tx.get(nil, key, lsm.WithoutValue, &e); err != nil {
		return 0, err
	}
	return ttl.Remaining(e.Deadline, int64(tx.s.now)), nil
}

// Time returns the transaction's moment: a key is absent if its deadline is not after it.
func (tx *Txn) Time() (time.Time, error) {
	if tx.s == nil {
		return time.Time{}, ErrTxnDone
	}
	return time.UnixMilli(int64(tx.s.now)), nil
}

// get reads the transaction's own write of a key or, if it has none, the key in the database.
func (tx *Txn) get(dst, key []byte, want lsm.Wanted, e *kv.Entry) ([]byte, error) {
	s := tx.s
	if s == nil {
		return dst, ErrTxnDone
	}
	if err := checkKey(key); err != nil {
		return dst, err
	}
	if out, known, err := s.getOwn(dst, key, e); known {
		return out, err
	}
	defer runtime.KeepAlive(tx) // what nobody can reach any more is unpinned
	ticket, ok := s.db.live.Enter(uint32(key[len(key)-1]))
	if !ok {
		return dst, ErrClosed
	}
	defer s.db.live.Exit(ticket)
	return s.getLive(dst, key, want, e)
}

// getLive reads a key in the database. In an Update the read is noted, for the check for conflicts. The caller has entered the
// epoch.
func (s *txnState) getLive(dst, key []byte, want lsm.Wanted, e *kv.Entry) ([]byte, error) {
	out, err := getLive(s.view, dst, key, s.seq, want, &s.now, e)
	if !s.readOnly && (err == nil || err == ErrNotFound) {
		s.reads.AddKey(key)
		if err == nil {
			s.reads.AddDeadline(e.Deadline)
		}
	}
	return out, err
}

// NewIterator returns an iterator over the entries that o allows, with the transaction's writes so far. Update checks that
// nothing has changed in the ranges that the iterator has walked over. Close the iterator before the transaction ends.
func (tx *Txn) NewIterator(o *IterOptions) (*Iterator, error) {
	if err := o.check(true); err != nil {
		return nil, err
	}
	return tx.iterator(o)
}

func (tx *Txn) iterator(o *IterOptions) (*Iterator, error) {
	s := tx.s
	if s == nil {
		return nil, ErrTxnDone
	}
	defer runtime.KeepAlive(tx) // what nobody can reach any more is unpinned
	ticket, ok := s.db.live.Enter(0)
	if !ok {
		return nil, ErrClosed
	}
	defer s.db.live.Exit(ticket)
	s.view.Pin()
	var own kv.Iterator
	if s.writes.Len() > 0 {
		own = &ownIterator{writes: s.writes.Clone()}
	}
	it := s.db.cursors.open(s.view, s.seq, int64(s.now), o, own)
	it.c.hidden = s.gone.Within(it.c.Lower, it.c.Upper)
	if !s.readOnly {
		if it.scan = s.reads.AddScan(); s.reads.Scans() == 1 {
			s.db.pipeline.trail.last.Want()
			if s.begun != nil {
				s.begun.unwant = s.db.pipeline.trail.last.Unwant
			}
		}
	}
	return it, nil
}

// First is DB.First as the transaction sees the database. Update checks that nothing has changed up to the entry.
func (tx *Txn) First(o *IterOptions) (Entry, error) {
	return outermost(tx.NewIterator, o, (*Iterator).First)
}

// Last is DB.Last as the transaction sees the database. Update checks that nothing has changed from the entry on.
func (tx *Txn) Last(o *IterOptions) (Entry, error) {
	return outermost(tx.NewIterator, o, (*Iterator).Last)
}

// Range is DB.Range as the transaction sees the database, with its writes until the loop begins. Update checks that nothing
// has changed in the range that the loop has walked over.
func (tx *Txn) Range(o *IterOptions) iter.Seq2[Entry, error] {
	return rangeOver(func() (*Iterator, error) { return tx.iterator(o) }, o)
}
