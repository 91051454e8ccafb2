package cluster

import (
	"encoding/binary"
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
// one of the same batch has written has that batch made first.
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
	seed    maphash.Seed
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
	durable atomic.Int64  // a time that the database cannot fall back behind, whatever crashes
	index   atomic.Uint64 // the last entry that reads see
	term    atomic.Uint64
	pubs    atomic.Uint64 // how often time was moved on

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
	newest, ss, err := loadRecords(db)
	if err != nil {
		return err
	}
	s, err := db.Snapshot()
	if err != nil {
		return err
	}
	m.sequence = s.Seq()
	s.Close()
	m.at, m.sessions = newest, ss
	m.at.time = max(m.at.time, 1)
	m.reset()
	m.db.Store(db)
	m.publish(m.at)
	m.durable.Store(m.at.time) // Open has synced all that it has found
	return nil
}

// publish makes what was applied visible: first the time, so that what was written before it is there, then the index.
func (s *shared) publish(at stateRecord) {
	if at.time != s.time.Load() {
		s.pubs.Add(1)
		s.time.Store(at.time)
	}
	s.reach(at)
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

// ApplyBatch applies entries. The answer to each is a result.
func (m *machine) ApplyBatch(logs []*raft.Log) []any {
	answers := make([]any, len(logs))
	results := make([]result, len(logs))
	last := m.at
	for i, l := range logs {
		if l.Type == raft.LogCommand && l.Index > m.at.index && m.failed == nil {
			results[i] = m.apply(l)
		}
		if m.failed != nil {
			results[i] = result{code: codeStopped}
		} else {
			last.index, last.term = l.Index, l.Term
		}
		answers[i] = &results[i]
	}
	if m.failed == nil {
		m.commit()
	}
	if m.failed != nil {
		for i := range results {
			results[i] = result{code: codeStopped} // whether it will be found applied is not known here
		}
		return answers
	}
	last.time = m.at.time
	m.publish(last)
	m.timePassed(last.time)
	return answers
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

// apply applies an entry: to the batch, or to the database with all before it.
func (m *machine) apply(l *raft.Log) result {
	h, body, err := decodeHeader(l.Data)
	if err != nil {
		m.fail(fmt.Errorf("cluster: entry %d: %w", l.Index, err))
		return result{}
	}
	if m.batch.Len() > 0 && (m.batch.Len() >= maxBatchOps || m.batch.Size()+int64(len(body)) > maxBatchBytes) {
		m.commit()
	}
	m.at = stateRecord{l.Index, l.Term, max(m.at.time, h.stamp)}
	switch h.kind {
	case kindWrite:
		return m.write(&h, body)
	case kindOpenSession:
		return m.openSession(&reader{b: body})
	case kindExpireSessions:
		return m.expireSessions(&reader{b: body})
	case kindPin:
		m.record()
		m.commit()
		if m.failed == nil {
			m.fail2(m.pins.pin(m.db.Load(), m.at))
		}
		return result{version: l.Index}
	}
	m.record()
	return result{}
}

// fail2 is fail unless err is nil.
func (m *machine) fail2(err error) {
	if err != nil {
		m.fail(err)
	}
}

// write applies a write, if it is a call that was not made before.
func (m *machine) write(h *header, body []byte) result {
	s := m.sessions[h.session]
	if s == nil {
		m.record()
		return result{code: codeNoSession}
	}
	slot := s.slot(h.slot)
	switch {
	case h.sequence == 0:
		m.record()
		return result{code: codeInvalid}
	case h.sequence < slot.sequence:
		m.record()
		return result{code: codeOldCall}
	case h.sequence == slot.sequence:
		r := m.remembered(h)
		m.record()
		return r
	}
	r := m.evaluate(&reader{b: body})
	if m.failed != nil {
		return r
	}
	m.scratch = appendSlotKey(m.scratch[:0], h.session, h.slot)
	m.value = binary.BigEndian.AppendUint64(m.at.append(m.value[:0]), h.sequence)
	m.value = r.append(m.value)
	m.put(m.scratch, m.value, 0)
	slot.sequence = h.sequence
	s.note(m.at.time)
	return r
}

// remembered returns the result of a call that was made before.
func (m *machine) remembered(h *header) result {
	m.commit()
	if m.failed != nil {
		return result{}
	}
	value, err := m.db.Load().Get(appendSlotKey(nil, h.session, h.slot))
	if err != nil {
		m.fail(fmt.Errorf("cluster: the last call of a session: %w", err))
		return result{}
	}
	_, rest, ok := decodeState(value)
	if ok && len(rest) >= 8 {
		if r, ok := decodeResult(rest[8:]); ok {
			return r
		}
	}
	m.fail(errors.New("cluster: the last call of a session is damaged"))
	return result{}
}

// openSession begins a session. To begin it again does nothing.
func (m *machine) openSession(in *reader) result {
	id := in.uint64()
	if in.bad || id == 0 {
		m.record()
		return result{code: codeInvalid}
	}
	if m.sessions[id] != nil {
		m.record()
		return result{}
	}
	m.sessions[id] = &session{used: m.at.time}
	m.scratch = appendSessionKey(m.scratch[:0], id)
	m.put(m.scratch, m.at.append(m.value[:0]), 0)
	return result{}
}

// expireSessions ends sessions that were idle.
func (m *machine) expireSessions(in *reader) result {
	const limit = 256
	idle := int64(in.uint64())
	for _, id := range m.sessions.idle(m.at.time, idle, limit) {
		delete(m.sessions, id)
		m.delete(appendSessionKey(nil, id))
		m.deleteRange(appendSlotKey(nil, id, 0), append(appendSlotKey(nil, id, 1<<16-1), 0))
	}
	m.record()
	return result{}
}

// record writes the record of an entry that is no call.
func (m *machine) record() {
	m.put(append(reserved[:len(reserved):len(reserved)], metaKey), m.at.append(m.value[:0]), 0)
}

// put, delete and deleteRange add an operation to the batch. Each takes one sequence.
func (m *machine) put(key, value []byte, deadline int64) {
	var err error
	if deadline == 0 {
		err = m.batch.Put(key, value)
	} else {
		err = m.batch.Put(key, value, ebb.ExpireAt(unixMilli(deadline)))
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
	m.ranges = false
}

// checkpoint makes the state durable, and lets what has expired by then leave the disk: a crash cannot take back the entry
// that said so.
func (m *machine) checkpoint() error {
	t := m.time.Load()
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
