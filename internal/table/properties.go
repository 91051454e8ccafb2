package table

import (
	"bytes"
	"encoding/binary"
	"math"

	"github.com/ebbdb/ebb/internal/kv"
)

// Properties describe the contents of a table. Those of a Reader are shared and must not be changed.
type Properties struct {
	Entries    uint64 // puts and tombstones; range deletes are not among them
	Tombstones uint64
	KeyBytes   uint64 // of all entries, before compression
	ValueBytes uint64

	// Smallest and Largest are the first and the last key, nil without entries. Range deletes may reach beyond them.
	Smallest, Largest []byte
	// MinSeq and MaxSeq cover entries and range deletes.
	MinSeq, MaxSeq uint64

	// DeadlineEntries and DeadlineBytes count the puts that have a deadline and the bytes of their keys and values. The
	// puts without one are Entries - Tombstones - DeadlineEntries.
	DeadlineEntries, DeadlineBytes uint64
	MinDeadline, MaxDeadline       int64            // Unix ms; 0 without deadlines
	Deadlines                      []DeadlineBucket // ascending; at most 64

	RangeDeletes []kv.RangeDelete // in the order they were added
	Created      int64            // Unix ms
	FileSize     int64            // bytes
}

// ExpiredBytes returns a lower bound for the bytes of keys and values whose deadline has passed at now (Unix ms).
func (p *Properties) ExpiredBytes(now int64) uint64 {
	var sum uint64
	for _, b := range p.Deadlines {
		if !kv.Expired(b.UpTo, now) {
			break
		}
		sum += b.Bytes
	}
	return sum
}

// NextExpiry returns the time after now at which ExpiredBytes will be more, 0 if that never happens.
func (p *Properties) NextExpiry(now int64) int64 {
	for _, b := range p.Deadlines {
		if !kv.Expired(b.UpTo, now) {
			return b.UpTo
		}
	}
	return 0
}

// AllExpired reports whether the table holds nothing but puts that have expired at now (Unix ms): not a tombstone, not a
// range delete, and at least one put.
func (p *Properties) AllExpired(now int64) bool {
	return p.Entries > 0 && p.DeadlineEntries == p.Entries && len(p.RangeDeletes) == 0 && kv.Expired(p.MaxDeadline, now)
}

// summary collects the properties of entries in key order.
type summary struct {
	Properties
	histogram deadlineHistogram
}

func newSummary(created int64) *summary {
	return &summary{Properties: Properties{MinSeq: math.MaxUint64, Created: created}}
}

// add counts an entry. It keeps copies of its slices.
func (s *summary) add(e *kv.Entry) {
	if s.Entries == 0 {
		s.Smallest = bytes.Clone(e.Key)
	}
	s.Entries++
	s.KeyBytes += uint64(len(e.Key))
	s.addSeq(e.Seq)
	if e.Kind == kv.Delete {
		s.Tombstones++
		return
	}
	s.ValueBytes += uint64(len(e.Value))
	if e.Deadline != 0 {
		s.addDeadline(e.Deadline, uint64(len(e.Key)+len(e.Value)))
	}
}

func (s *summary) addDeadline(deadline int64, bytes uint64) {
	if s.DeadlineEntries == 0 {
		s.MinDeadline = deadline
	}
	s.DeadlineEntries++
	s.DeadlineBytes += bytes
	s.MinDeadline, s.MaxDeadline = min(s.MinDeadline, deadline), max(s.MaxDeadline, deadline)
	s.histogram.add(deadline, bytes)
}

// addRangeDelete counts a range delete and keeps its slices.
func (s *summary) addRangeDelete(d kv.RangeDelete) {
	s.addSeq(d.Seq)
	s.RangeDeletes = append(s.RangeDeletes, d)
}

func (s *summary) addSeq(seq uint64) {
	s.MinSeq, s.MaxSeq = min(s.MinSeq, seq), max(s.MaxSeq, seq)
}

// finish returns the properties. largest is the last key that was added.
func (s *summary) finish(largest []byte) *Properties {
	if s.Entries > 0 {
		s.Largest = bytes.Clone(largest)
	}
	s.Deadlines = s.histogram.buckets
	return &s.Properties
}

// append appends the payload of the properties record. Not in it are the range deletes, which have a record of their own,
// the time of creation, which is the base time, and the file size.
func (p *Properties) append(dst []byte, b base) []byte {
	dst = append(dst, typeProperties)
	for _, v := range []uint64{p.Entries, p.Tombstones, p.KeyBytes, p.ValueBytes, p.MinSeq - b.seq, p.MaxSeq - b.seq} {
		dst = binary.AppendUvarint(dst, v)
	}
	dst = appendBytes(dst, p.Smallest)
	dst = appendBytes(dst, p.Largest)
	for _, v := range []uint64{
		p.DeadlineEntries, p.DeadlineBytes, uint64(p.MinDeadline), uint64(p.MaxDeadline), uint64(len(p.Deadlines)),
	} {
		dst = binary.AppendUvarint(dst, v)
	}
	for _, d := range p.Deadlines {
		for _, v := range []uint64{uint64(d.UpTo), d.Entries, d.Bytes} {
			dst = binary.AppendUvarint(dst, v)
		}
	}
	return dst
}

// decodeProperties is the inverse of append. The result aliases nothing.
func decodeProperties(payload []byte, b base) (*Properties, error) {
	d := newDecoder(payload)
	p := &Properties{Created: b.time}
	for _, v := range []*uint64{&p.Entries, &p.Tombstones, &p.KeyBytes, &p.ValueBytes, &p.MinSeq, &p.MaxSeq} {
		*v = d.uvarint()
	}
	p.MinSeq, p.MaxSeq = p.MinSeq+b.seq, p.MaxSeq+b.seq
	smallest, largest := d.bytes(), d.bytes()
	if p.Entries > 0 {
		p.Smallest, p.Largest = bytes.Clone(smallest), bytes.Clone(largest)
	}
	p.DeadlineEntries, p.DeadlineBytes = d.uvarint(), d.uvarint()
	p.MinDeadline, p.MaxDeadline = int64(d.uvarint()), int64(d.uvarint())
	buckets := d.uvarint()
	if buckets > maxDeadlineBuckets {
		return nil, errMalformed
	}
	for range buckets {
		p.Deadlines = append(p.Deadlines, DeadlineBucket{UpTo: int64(d.uvarint()), Entries: d.uvarint(), Bytes: d.uvarint()})
	}
	if !d.done() {
		return nil, errMalformed
	}
	return p, nil
}

// appendRangeDeletes appends the payload of the range deletes' record.
func appendRangeDeletes(dst []byte, deletes []kv.RangeDelete, b base) []byte {
	dst = append(dst, typeRangeDeletes)
	dst = binary.AppendUvarint(dst, uint64(len(deletes)))
	for _, r := range deletes {
		dst = binary.AppendUvarint(dst, r.Seq-b.seq)
		dst = appendBytes(dst, r.Start)
		dst = appendBytes(dst, r.End)
	}
	return dst
}

// decodeRangeDeletes is the inverse of appendRangeDeletes. The result aliases nothing.
func decodeRangeDeletes(payload []byte, b base) ([]kv.RangeDelete, error) {
	d := newDecoder(bytes.Clone(payload))
	var deletes []kv.RangeDelete
	for n := d.uvarint(); n > 0 && !d.bad; n-- {
		r := kv.RangeDelete{Seq: b.seq + d.uvarint(), Start: d.bytes(), End: d.bytes()}
		deletes = append(deletes, r)
	}
	if !d.done() || len(deletes) == 0 {
		return nil, errMalformed
	}
	return deletes, nil
}
