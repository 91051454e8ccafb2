package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/hashicorp/raft"

	"github.com/ebbdb/ebb"
	"github.com/ebbdb/ebb/internal/host"
)

// apply applies an entry: to the batch, or to the database with all before it.
func (m *machine) apply(l *raft.Log) any {
	h, body, err := decodeHeader(l.Data)
	if err != nil {
		m.fail(fmt.Errorf("cluster: entry %d: %w", l.Index, err))
		return nil
	}
	made := 0
	if l.Index == m.at.index {
		made = int(m.at.calls)
	}
	m.at = stateRecord{index: l.Index, term: l.Term, time: max(m.at.time, h.stamp)}
	if m.reports.Load() {
		m.report()
		if m.failed != nil {
			return nil
		}
	}
	if h.kind == kindCalls {
		return m.several(body, made)
	}
	m.room(len(body))
	r := m.single(&h, body)
	return &r
}

// room has the batch made before what is to come makes it too large.
func (m *machine) room(size int) {
	if m.batch.Len() > 0 && (m.batch.Len() >= maxBatchOps || m.batch.Size()+int64(size) > maxBatchBytes) {
		m.commit()
	}
}

// single applies an entry that is not one of several calls.
func (m *machine) single(h *header, body []byte) result {
	switch h.kind {
	case kindWrite:
		return m.write(&call{h.session, h.slot, h.sequence, body})
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
		return result{version: m.at.index}
	case kindReport:
		return m.setReports(body)
	}
	m.record()
	return result{}
}

// setReports begins or ends reporting what expires after the entry.
func (m *machine) setReports(body []byte) result {
	if len(body) != 1 || body[0] > 1 {
		m.record()
		return result{code: codeInvalid}
	}
	m.put(ownKey(nil, reportKey), append(m.at.append(m.value[:0]), body[0]), 0)
	if on := body[0] == 1; on != m.reports.Load() {
		m.commit() // what earlier entries have written with a deadline up to now is not to be reported
		if m.failed == nil {
			m.reportFrom(on)
		}
	}
	return result{}
}

// reportFrom begins or ends reporting what expires after the newest entry.
func (m *machine) reportFrom(on bool) {
	host.Root.ReportFrom(m.db.Load(), m.at.time, on)
	m.reports.Store(on)
}

// report reports what has expired by the time of the entry, before the entry does anything: see machine. While nothing is due it
// costs as good as nothing.
//
// Reads tell by the time of the entry from before the first report on: so that what has one deadline goes at once.
func (m *machine) report() {
	now := m.at.time
	if (m.expires == 0 || m.expires > now) && host.Root.Unreported(m.db.Load()) > now {
		return
	}
	m.commit()
	if m.failed != nil {
		return
	}
	m.passTime(now)
	for {
		seq, err := host.Root.Report(m.db.Load(), now)
		if err == nil {
			m.sequence = seq
			return
		}
		if !errors.Is(err, ebb.ErrNoSpace) || !m.retry() {
			m.fail(fmt.Errorf("cluster: what has expired at entry %d: %w", m.at.index, err))
			return
		}
	}
}

// several makes the calls of an entry but for those that are made.
func (m *machine) several(body []byte, made int) any {
	calls, err := decodeCalls(body, m.calls[:0])
	switch {
	case made > 0 && made >= len(calls):
		m.fail(fmt.Errorf("cluster: entry %d has not the calls that were made of it", m.at.index))
		return nil
	case err != nil:
		m.record()
		return &result{code: codeInvalid}
	}
	m.calls = calls
	results := make([]result, len(calls))
	for i := made; i < len(calls) && m.failed == nil; i++ {
		m.at.calls = uint32(i+1) % uint32(len(calls)) // 0 of the last
		m.room(len(calls[i].body))
		results[i] = m.write(&calls[i])
	}
	return results
}

// fail2 is fail unless err is nil.
func (m *machine) fail2(err error) {
	if err != nil {
		m.fail(err)
	}
}

// write applies a write, if it is a call that was not made before.
func (m *machine) write(c *call) result {
	s := m.sessions[c.session]
	if s == nil {
		m.record()
		return result{code: codeNoSession}
	}
	slot := s.slot(c.slot)
	switch {
	case c.sequence == 0:
		m.record()
		return result{code: codeInvalid}
	case c.sequence < slot.sequence:
		m.record()
		return result{code: codeOldCall}
	case c.sequence == slot.sequence:
		r := m.remembered(c)
		m.record()
		return r
	}
	r := m.evaluate(&reader{b: c.body})
	if m.failed != nil {
		return r
	}
	m.scratch = appendSlotKey(m.scratch[:0], c.session, c.slot)
	m.value = binary.BigEndian.AppendUint64(m.at.append(m.value[:0]), c.sequence)
	m.value = r.append(m.value)
	m.put(m.scratch, m.value, 0)
	slot.sequence = c.sequence
	s.note(m.at.time)
	return r
}

// remembered returns the result of a call that was made before.
func (m *machine) remembered(c *call) result {
	m.commit()
	if m.failed != nil {
		return result{}
	}
	value, err := m.db.Load().Get(appendSlotKey(nil, c.session, c.slot))
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
