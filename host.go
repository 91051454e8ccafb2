package ebb

import (
	"github.com/ebbdb/ebb/internal/host"
	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/lsm"
)

// hostCalls are the options that each call takes beside the common ones.
var hostCalls = [...]optionSet{
	host.Put:            deadlineOptions | keepOption | conditionOptions | foundOption | untilOption,
	host.Delete:         presentOptions | foundOption,
	host.DeleteRange:    0,
	host.Expire:         expireOptions,
	host.Persist:        1 << optionIfVersion,
	host.GetTouch:       expireOptions,
	host.Take:           1 << optionIfVersion,
	host.Add:            deadlineOptions | conditionOptions | foundOption | untilOption,
	host.CompareAndSwap: deadlineOptions | keepOption | conditionOptions | untilOption,
	host.Apply:          0,
	host.Condition:      conditionOptions | touchConditions,
}

// What package cluster calls is nobody else's.
func init() {
	r := &host.Root
	r.Serve = func(options any, h *host.Host) {
		o := options.(*Options)
		o.host, o.fs = h, h.FS
	}
	r.Options = func(call host.Call, opts any) (host.Options, error) { return hostOptions(call, opts.([]WriteOption)) }
	r.State = func(tx any) (*host.Txn, error) { return tx.(*Txn).hostState() }
	r.Due = func(db any) (int64, error) { return hostDue(db.(*DB)) }
	r.Swap = swap
}

// hostOptions is host.Root.Options.
func hostOptions(call host.Call, opts []WriteOption) (host.Options, error) {
	g, err := parseOptions(opts, hostCalls[call]|commonOptions)
	if err != nil {
		return host.Options{}, err
	}
	return host.Options{
		Life: host.Life(g.ttl.kind), LifeValue: g.ttl.value,
		Cond: hostCond(g.condition.kind), CondValue: uint64(g.condition.value),
		VersionTo: g.versionTo, FoundTo: g.foundTo, DeadlineTo: g.untilTo,
	}, nil
}

// hostCond returns a condition, or none, as a host sees it. A host.Life is a kind of option as it is.
func hostCond(k optionKind) host.Cond {
	if k == 0 {
		return host.NoCond
	}
	return host.Cond(k-optionIfAbsent) + host.IfAbsent
}

// hostState is host.Root.State.
func (tx *Txn) hostState() (*host.Txn, error) {
	s := tx.s
	if s == nil {
		return nil, ErrTxnDone
	}
	t := &host.Txn{Seq: s.seq, Now: int64(s.now)}
	if err := s.hostReads(t); err != nil {
		return nil, err
	}
	for _, r := range s.gone.All() {
		t.Gone = append(t.Gone, host.Range{Start: r.Start, End: r.End})
	}
	s.writes.Ascend(func(w *ownWrite) bool {
		life := w.ttl.drafted()
		t.Writes = append(t.Writes, host.Write{
			Key: w.Key, Value: w.Value, Delete: w.Kind == kv.Delete, Life: host.Life(life.Kind), LifeValue: life.Value,
		})
		return true
	})
	return t, nil
}

// hostReads adds what the transaction has read, each key and range once more as it was then, without the own writes.
func (s *txnState) hostReads(t *host.Txn) error {
	for key := range s.reads.Keys {
		var e kv.Entry
		version, err := uint64(0), error(nil)
		ticket, ok := s.db.live.Enter(uint32(key[len(key)-1]))
		if !ok {
			return ErrClosed
		}
		if _, err = getLive(s.view, nil, key, s.seq, lsm.WithoutValue, &s.now, &e); err == nil {
			version = e.Seq
		}
		s.db.live.Exit(ticket)
		if err != nil && err != ErrNotFound {
			return err
		}
		t.Keys = append(t.Keys, host.KeyRead{Key: key, Version: version})
	}
	for start, end := range s.reads.Stretches {
		r := host.RangeRead{Range: host.Range{Start: start, End: end}}
		err := s.hostSum(&r)
		if err != nil {
			return err
		}
		t.Ranges = append(t.Ranges, r)
	}
	return nil
}

// hostSum makes the digest of a range.
func (s *txnState) hostSum(r *host.RangeRead) error {
	ticket, ok := s.db.live.Enter(0)
	if !ok {
		return ErrClosed
	}
	s.view.Pin()
	s.db.live.Exit(ticket)
	it := s.db.cursors.open(s.view, s.seq, int64(s.now), &IterOptions{Start: r.Start, End: r.End, KeysOnly: true}, nil)
	defer it.Close()
	sum := host.NewSummer()
	for ok := it.First(); ok; ok = it.Next() {
		sum.Add(it.Key(), it.Entry().Version)
	}
	r.Sum = sum.Sum()
	return it.Err()
}

// hostDue is host.Root.Due.
func hostDue(db *DB) (int64, error) {
	v, _, err := pin(&db.live)
	if err != nil {
		return 0, err
	}
	defer db.live.Unpin(v)
	now, next := db.clock.Now(), int64(0)
	note := func(due int64) {
		if due > now && (next == 0 || due < next) {
			next = due
		}
	}
	t := db.pipeline.lock() // for the histogram of the memtable that is written
	note(v.Mem.Deadlines.Next(now))
	t.end()
	for _, m := range v.Frozen {
		note(m.Deadlines.Next(now))
	}
	for _, t := range v.Version.Levels.All() {
		if p := t.Reader.Properties(); p.DeadlineEntries > 0 {
			note(p.MinDeadline)
			note(p.NextExpiry(now))
		}
	}
	return next, nil
}
