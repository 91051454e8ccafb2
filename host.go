package ebb

import (
	"cmp"
	"sort"
	"time"

	"github.com/ebbdb/ebb/internal/host"
	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/lsm"
	"github.com/ebbdb/ebb/ttl"
	"github.com/ebbdb/ebb/wal"
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
	r.ReportFrom = func(db any, after int64, on bool) { hostReporterOf(db.(*DB)).begin(after, on) }
	r.Unreported = func(db any) int64 { return hostReporterOf(db.(*DB)).reportedTo.Load() }
	r.Report = func(db any, to int64) (uint64, error) { return hostReporterOf(db.(*DB)).report(to) }
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

// hostReporter reports what expires when the host says so, and in an order that is the same for every database of the same
// content. So what the reports take, and what is written after them, has the same sequences on all nodes of a cluster. It reports
// nothing by itself, not even before a write that replaces what has expired: its host has it report first.
//
// By itself it looks ahead, so that a report rarely has to wait for a scan. What a database learns early is its own business.
type hostReporter struct {
	reporter
	requests       // to the loop: on has changed
	memory   int64 // for upcoming
	on       bool  // guarded by the commit lock
}

// leastUpcoming is the memory for what expires next where the options give it none.
const leastUpcoming = 1 << 20

// newHostReporter returns a reporter that reports nothing yet.
func newHostReporter(db *DB) *hostReporter {
	h := &hostReporter{requests: newRequests(), memory: cmp.Or(db.opts.expiryMemory, leastUpcoming)}
	h.pipeline, h.live, h.counters, h.manual, h.hosted = &db.pipeline, &db.live, &db.stats, db.opts.manual, true
	h.begin(0, false)
	return h
}

// hostReporterOf returns the reporter of a database that has a host, nil of another.
func hostReporterOf(db *DB) *hostReporter {
	h, _ := db.pipeline.observer.(*hostReporter)
	return h
}

func (h *hostReporter) before(turn, *wal.Entry) error { return nil }

func (h *hostReporter) applied(t turn, e *wal.Entry) {
	if h.on {
		h.reporter.applied(t, e)
	}
}

// dropNow returns now: Host.DropBefore says what was reported.
func (h *hostReporter) dropNow(now int64) int64 { return now }

// begin is host.Root.ReportFrom.
func (h *hostReporter) begin(after int64, on bool) {
	h.catching.Lock()
	defer h.catching.Unlock()
	t := h.pipeline.lock()
	defer t.end()
	h.on = on
	h.upcoming = ttl.NewUpcoming(h.memory)
	h.upcoming.Fill()
	h.upcoming.Filled(true) // nothing is to be reported
	if on {
		h.upcoming.Forget(after + 1)
	}
	h.publish(t)
	h.requests.request()
}

// report is host.Root.Report.
func (h *hostReporter) report(to int64) (seq uint64, err error) {
	for {
		due, bound, err := h.known(to)
		switch {
		case err != nil:
			return 0, err
		case len(due) > 0:
			err = h.reportAll(due, to)
		case bound <= to:
			err = h.extend(to)
		default:
			return h.end()
		}
		if err != nil {
			return 0, err
		}
	}
}

// known returns what is due, in order, as far as upcoming is complete, at most reportChunk of it, and the deadline up to which
// it is complete.
func (h *hostReporter) known(to int64) (due []ttl.Version, bound int64, err error) {
	t, err := h.pipeline.beginFor(claimNothing)
	if err != nil {
		return nil, 0, err
	}
	defer t.end()
	due = h.upcoming.Due(nil, to, ttl.Version{}, reportChunk)
	n := sort.Search(len(due), func(i int) bool { return !due[i].Before(h.upcoming.Bound()) })
	return due[:n], h.upcoming.Complete(), nil
}

// reportAll reports those of due that are the newest of their keys. As nobody else writes, they are looked up before the turn.
func (h *hostReporter) reportAll(due []ttl.Version, to int64) error {
	var unread error
	newest := h.newest(due, to, func(_ int, err error) { unread = cmp.Or(unread, err) })
	if unread != nil {
		return unread
	}
	t, err := h.pipeline.beginFor(claimNothing)
	if err != nil {
		return err
	}
	defer t.end()
	if err := h.write(t, newest); err != nil {
		return err
	}
	for _, v := range due {
		h.upcoming.Remove(v)
	}
	h.publish(t)
	t.wakeBackground()
	t.freezeIfFull()
	return nil
}

// extend scans for more, if upcoming is not complete up to a time.
func (h *hostReporter) extend(to int64) error {
	h.catching.Lock()
	defer h.catching.Unlock()
	if _, bound, err := h.known(to); err != nil || bound > to {
		return err
	}
	return h.scan()
}

// end shows what was reported, and returns the newest sequence.
func (h *hostReporter) end() (seq uint64, err error) {
	t, err := h.pipeline.beginFor(claimNothing)
	if err != nil {
		return 0, err
	}
	seq = t.lastSeq()
	t.end()
	return seq, h.show()
}

// loop looks ahead, until Close.
func (h *hostReporter) loop() {
	timer := time.NewTimer(reportPause)
	defer timer.Stop()
	pause := reportPause
	for {
		select {
		case <-h.pipeline.health.work.Done():
			return
		case <-timer.C:
		case <-h.requests:
		}
		on, err := h.lookAhead()
		switch {
		case h.pipeline.health.closed.Load():
			return
		case err != nil:
			pause = min(2*pause, retryLast)
			h.pipeline.health.events.backgroundError("look for what expires next", err, pause)
		default:
			pause = reportPause
		}
		if timer.Stop(); on {
			timer.Reset(pause)
		}
	}
}

// lookAhead scans if upcoming has room, and is not complete for long. It reports whether anything is to be reported at all.
func (h *hostReporter) lookAhead() (on bool, err error) {
	h.catching.Lock()
	defer h.catching.Unlock()
	t := h.pipeline.lock()
	left := h.upcoming.Complete() - h.pipeline.clock.Now()
	scans := h.on && left <= scanAhead+h.rest.cost.Milliseconds() && h.upcoming.Low() && h.rest.over(h.pipeline.health.sys.now())
	on = h.on
	t.end()
	if scans {
		err = h.scan()
	}
	return on, err
}
