package cluster

import (
	"errors"
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"github.com/ebbdb/ebb"
	"github.com/ebbdb/ebb/internal/host"
	"github.com/ebbdb/ebb/internal/vfs"
)

// machine is the state machine: it applies the entries of the log to a database, each of them once, and the same on every
// node. Its fields but those of shared are for raft's goroutine for state machines alone.
//
// What an entry does is a function of the entries before it: of the state that they have left, and of the time, which is the
// later of the entry's stamp and the time of the entry before. Operations are resolved to puts with a deadline, deletes and
// ranges with an end (see evaluate), each of which takes one sequence of the database, and each entry writes one record: so
// sequences, which are the versions of keys, are the same on every node, whatever goes into one batch, and whatever was
// applied again after a crash.
//
// Entries that come together are made one batch of the database, up to a size. An entry that has to look at what an earlier
// one of the same batch has written has that batch made first. The calls of an entry of several are the same in this: the
// batches may part them anywhere.
//
// While expiries are reported, which an entry begins and ends, whatever has expired by the time of an entry is reported before the
// entry does anything. What that is depends on the content alone, as nothing leaves the disk, and nothing is replaced or deleted,
// that was not reported. So reports are a part of the entry: of the state before it, whoever makes them, at once or in parts, each
// takes the same sequence.
//
//  1. Raft's log has the entry, synced. A crash leaves a state without it, and it is applied after the restart.
//  2. What has expired by its time is reported, without a record. A crash leaves the state of the entry before and some of the
//     reports, the first: the restart finds the others due, and makes them.
//  3. A batch with the first calls of the entry is made, in which the record of the last says how many they are. A crash leaves
//     the state before the batch, as in 2, or after it: then the restart goes on with the next call.
//  4. The batch with the last call is made, whose record says that all of them are. A crash leaves what 3 leaves, or the entry
//     whole: then the restart skips it. No caller is told anything before.
//  5. The time and the index are published, and callers told. The database need not have synced anything: a crash leaves any of
//     the states before, all of which lead to this one.
type machine struct {
	shared

	fs   vfs.FS
	dir  string // of the database
	opts *ebb.Options

	at       stateRecord // the last entry that was applied, whether its batch has been made or not
	sequence uint64      // of the database, with the batch
	sessions sessions

	batch   ebb.Batch
	touched map[uint64]struct{} // hashes of the keys in batch
	ranges  bool                // batch deletes a range
	expires int64               // the first deadline in batch; 0: there is none
	seed    maphash.Seed
	calls   []call // scratch: of an entry
	ops     [1]op  // scratch: of a call
	scratch []byte
	value   []byte // scratch: of a record
	failed  error

	timePassed func(to int64) // told when time was moved on
	installed  func() uint64  // the index of the newest snapshot
	retry      func() bool    // waits for the next try of a batch for which the disk had no room; false: give up
	pins       pins
}

// shared is what any goroutine may use.
type shared struct {
	db      atomic.Pointer[ebb.DB]
	time    atomic.Int64  // Unix ms: by which reads tell what has expired
	settled atomic.Int64  // a time by which whatever has expired and is reported was reported
	durable atomic.Int64  // a settled time that the database cannot fall back behind, whatever crashes
	reports atomic.Bool   // expiries are reported, as the log says
	index   atomic.Uint64 // the last entry that reads see
	term    atomic.Uint64
	pubs    atomic.Uint64 // how often time was moved on
	due     dueTime

	waiters waiters
	cause   atomic.Pointer[error] // why no entry is applied any more
	stopped chan struct{}         // closed when cause is set
	once    sync.Once
}

const (
	maxBatchOps   = 4096
	maxBatchBytes = 4 << 20
)

// openMachine opens the state machine's database, on a file system.
func openMachine(fs vfs.FS, dir string, opts *ebb.Options, retry func() bool) (*machine, error) {
	if fs == nil {
		fs = vfs.OS
	}
	m := &machine{fs: fs, dir: dir, touched: make(map[uint64]struct{}), seed: maphash.MakeSeed(), retry: retry}
	m.timePassed, m.installed = func(int64) {}, func() uint64 { return 0 }
	m.stopped = make(chan struct{})
	m.time.Store(1)
	o := *opts
	o.Sync = ebb.SyncNever // the raft log is synced: see DB.Sync in checkpoint
	o.Clock = nil
	host.Root.Serve(&o, &host.Host{Now: m.time.Load, DropBefore: m.durable.Load, Hidden: reserved, FS: fs})
	m.opts = &o
	db, err := ebb.Open(dir, m.opts)
	if err != nil {
		return nil, err
	}
	if err := m.take(db); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return m, nil
}

// take makes a database the state.
func (m *machine) take(db *ebb.DB) error {
	r, err := loadRecords(db)
	if err != nil {
		return err
	}
	s, err := db.Snapshot()
	if err != nil {
		return err
	}
	m.sequence = s.Seq()
	s.Close()
	m.at, m.sessions = r.newest, r.sessions
	m.at.time = max(m.at.time, 1)
	m.reset()
	m.db.Store(db)
	m.due.reset()
	m.reportFrom(r.reports)
	m.publish(m.at.whole())
	m.durable.Store(m.at.time) // Open has synced all that it has found
	return nil
}

// publish makes what was applied visible: first the time, so that what was written before it is there, then the index.
func (s *shared) publish(at stateRecord) {
	s.passTime(at.time)
	s.settled.Store(at.time)
	s.reach(at)
}

// passTime makes a time the one by which reads tell what has expired. What was written before it was committed.
func (s *shared) passTime(to int64) {
	if to != s.time.Load() {
		s.pubs.Add(1)
		s.time.Store(to)
	}
}

// reach notes that all entries up to one were applied. It is not after a later one.
func (s *shared) reach(at stateRecord) {
	if at.index > s.index.Load() {
		s.term.Store(at.term)
		s.index.Store(at.index)
	}
	s.waiters.wake(s.index.Load())
}

// Apply is ApplyBatch of one.
func (m *machine) Apply(l *raft.Log) any { return m.ApplyBatch([]*raft.Log{l})[0] }

// ApplyBatch applies entries. The answer to each is a *result, or of an entry of several calls a []result.
func (m *machine) ApplyBatch(logs []*raft.Log) []any {
	answers := make([]any, len(logs))
	last := m.at.whole()
	for i, l := range logs {
		if l.Type == raft.LogCommand && m.failed == nil && m.isNext(l.Index) {
			answers[i] = m.apply(l)
		}
		last.index, last.term = l.Index, l.Term
	}
	if m.failed == nil {
		m.commit()
	}
	if m.failed != nil {
		for i := range answers {
			answers[i] = &result{code: codeStopped} // whether it will be found applied is not known here
		}
		return answers
	}
	last.time = m.at.time
	m.publish(last)
	m.timePassed(last.time)
	return answers
}

// isNext reports whether an entry is not in the state yet, or not all of it is.
func (m *machine) isNext(index uint64) bool {
	return index > m.at.index || index == m.at.index && m.at.calls > 0
}

// fail makes the machine apply no more entries: what this node has would not be what others have.
func (m *machine) fail(err error) {
	if m.failed == nil {
		m.failed = err
		m.shared.fail(err)
	}
}

func (s *shared) fail(err error) {
	s.once.Do(func() {
		s.cause.Store(&err)
		close(s.stopped)
		s.waiters.wake(^uint64(0))
	})
}

// err returns why no entry is applied any more.
func (s *shared) err() error {
	if p := s.cause.Load(); p != nil {
		return *p
	}
	return nil
}

// put, delete and deleteRange add an operation to the batch. Each takes one sequence.
func (m *machine) put(key, value []byte, deadline int64) {
	var err error
	if deadline == 0 {
		err = m.batch.Put(key, value)
	} else {
		err = m.batch.Put(key, value, ebb.ExpireAt(unixMilli(deadline)))
		if m.expires == 0 || deadline < m.expires {
			m.expires = deadline
		}
	}
	m.added(key, err)
}

func (m *machine) delete(key []byte) { m.added(key, m.batch.Delete(key)) }

func (m *machine) deleteRange(start, end []byte) {
	n := m.batch.Len()
	err := m.batch.DeleteRange(start, end)
	if m.ranges = true; m.batch.Len() > n || err != nil {
		m.added(nil, err)
	}
}

func (m *machine) added(key []byte, err error) {
	if err != nil {
		m.fail(fmt.Errorf("cluster: entry %d: %w", m.at.index, err))
		return
	}
	m.sequence++
	if key != nil && !isReserved(key) {
		m.touched[maphash.Bytes(m.seed, key)] = struct{}{}
	}
}

// commit makes the batch. Reads see it from then on, and the time by which it was made from publish on.
func (m *machine) commit() {
	if m.batch.Len() == 0 || m.failed != nil {
		return
	}
	var version uint64
	m.due.wrote(m.expires)
	for {
		err := m.db.Load().Apply(&m.batch, ebb.VersionTo(&version))
		if err == nil {
			break
		}
		if !errors.Is(err, ebb.ErrNoSpace) || !m.retry() {
			m.fail(fmt.Errorf("cluster: the state at entry %d: %w", m.at.index, err))
			return
		}
	}
	m.due.wrote(m.expires)
	if version != m.sequence {
		m.fail(fmt.Errorf("cluster: entry %d has version %d, not %d: the state is not that of other nodes", m.at.index, version,
			m.sequence))
		return
	}
	m.reset()
}

// reset empties the batch.
func (m *machine) reset() {
	if m.batch.Size() > maxBatchBytes {
		m.batch = ebb.Batch{} // one large entry is no reason to keep the memory
	}
	m.batch.Reset()
	clear(m.touched)
	m.ranges, m.expires = false, 0
}

// checkpoint makes the state durable, and lets what has expired by then leave the disk: a crash cannot take back the entry
// that said so, nor its reports.
func (m *machine) checkpoint() error {
	t := m.settled.Load()
	if err := m.db.Load().Sync(); err != nil {
		return err
	}
	for {
		old := m.durable.Load()
		if old >= t || m.durable.CompareAndSwap(old, t) {
			return nil
		}
	}
}
