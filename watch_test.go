package ebb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"syscall"
	"testing"

	"pgregory.net/rapid"

	"github.com/ebbdb/ebb/internal/vfs/vfstest"
	"github.com/ebbdb/ebb/wal"
)

// text tells all of a change.
func (c Change) text() string {
	more := ""
	if c.More {
		more = ", more"
	}
	return fmt.Sprintf("%d: %v %q to %q = %.20q (%d) until %d, version %d%s",
		c.Seq, c.Kind, c.Key, c.End, c.Value, len(c.Value), c.Deadline, c.Version, more)
}

// changeGroup is what one write did, all or none.
type changeGroup []Change

// watchMachine writes to a database at random, notes what each write did, and holds what watchers see against that.
type watchMachine struct {
	driver
	groups []changeGroup
	held   []heldWatcher
}

// heldWatcher is a watcher that is in the middle of its loop.
type heldWatcher struct {
	pull    func() (Change, error, bool)
	stop    func()
	prefix  string
	pending []Change // what it has to see first
	upTo    uint64   // what pending goes up to
	seen    uint64   // it cannot have missed what comes up to here
	aside   *DB      // read-only, which it follows the owner by; nil: it is the owner's
}

func (h *heldWatcher) end() error {
	h.stop()
	if h.aside == nil {
		return nil
	}
	return h.aside.Close()
}

func newWatchMachine(t *rapid.T, options func(*vfstest.Mem, *fakeClock) *Options) *watchMachine {
	m := &watchMachine{driver: newDriver(t, options)}
	m.key, m.wrote = prefixedKeys, m.note
	return m
}

// note notes the changes of a write that has just returned.
func (m *watchMachine) note(changes ...Change) {
	seq := lastSeq(m.db) - uint64(len(changes)) + 1
	for i := range changes {
		changes[i].Seq = seq + uint64(i)
	}
	m.groups = append(m.groups, changes)
}

// expected returns the changes of keys with a prefix from a sequence on.
func (m *watchMachine) expected(from uint64, prefix string) []Change {
	var want []Change
	for _, group := range m.groups {
		n := len(want)
		for _, c := range group {
			matches := strings.HasPrefix(string(c.Key), prefix)
			if c.Kind == ChangeDeleteRange {
				matches = string(c.Key) <= prefix+"\xff" && string(c.End) > prefix
			}
			if matches = matches || c.Kind == ChangeEvict; c.Seq >= from && matches {
				want = append(want, c)
			}
		}
		for i := n; i < len(want)-1; i++ {
			want[i].More = true
		}
	}
	return want
}

func (m *watchMachine) prefix(t *rapid.T) string {
	return rapid.SampledFrom([]string{"", "", "a", "b", "bb", "bb0", "c"}).Draw(t, "prefix")
}

func (m *watchMachine) Reopen(t *rapid.T) {
	kill := m.close(t)
	var aside []heldWatcher // that go on with the next owner
	for _, h := range m.held {
		if h.aside != nil && !kill {
			aside = append(aside, h)
			continue
		}
		if h.aside != nil {
			m.must(t, h.end())
			continue
		}
		_, err, ok := h.pull()
		for more := 0; ok && err == nil && more < maxBatch; more++ { // the rest of a batch that it has begun
			_, err, ok = h.pull()
		}
		if !errors.Is(err, ErrClosed) {
			t.Fatalf("a watcher of a closed database: %v", err)
		}
		h.stop()
	}
	m.held = aside
	m.open(t)
}

// end writes a key that begins with a prefix, so that a watcher of it comes to an end.
func (m *watchMachine) end(t *rapid.T, prefix string) uint64 {
	m.must(t, m.db.Put([]byte(prefix+"~"), nil))
	m.wrote(Change{Kind: ChangePut, Key: []byte(prefix + "~")})
	return lastSeq(m.db)
}

// openAside opens the database to read only, beside its owner.
func (m *watchMachine) openAside(t *rapid.T) *DB {
	db, err := Open("db", readOnly(m.opts))
	m.must(t, err)
	return db
}

// Watch reads from a random sequence up to the end.
func (m *watchMachine) Watch(t *rapid.T) { m.watch(t, m.db) }

// WatchAside does so from the outside.
func (m *watchMachine) WatchAside(t *rapid.T) {
	db := m.openAside(t)
	m.watch(t, db)
	m.must(t, db.Close())
}

func (m *watchMachine) watch(t *rapid.T, db *DB) {
	prefix := m.prefix(t)
	from := 1 + rapid.Uint64Range(0, lastSeq(m.db)).Draw(t, "from")
	oldest := m.db.log.FirstSeq()
	end := m.end(t, prefix)
	want := m.expected(from, prefix)
	for c, err := range db.Watch(context.Background(), &WatchOptions{From: from, Prefix: []byte(prefix)}) {
		if err != nil {
			if !errors.Is(err, ErrLogTrimmed) || m.opts.RetainLog == 1<<30 || m.db.log.FirstSeq() <= from {
				t.Fatalf("from %d, the oldest is %d: %v", from, oldest, err)
			}
			return
		}
		if len(want) == 0 || c.text() != want[0].text() {
			t.Fatalf("from %d, prefix %q: got %s, want %v", from, prefix, c.text(), want)
		}
		want = want[1:]
		if c.Seq == end {
			return
		}
	}
}

// Hold begins a watcher, now or from some sequence on.
func (m *watchMachine) Hold(t *rapid.T) {
	if len(m.held) == 3 {
		m.must(t, m.held[0].end())
		m.held = slices.Delete(m.held, 0, 1)
	}
	prefix := m.prefix(t)
	h := heldWatcher{prefix: prefix, upTo: m.db.live.Visible(), seen: m.db.live.Visible()}
	db := m.db
	if !m.memory && rapid.Bool().Draw(t, "aside") {
		db = m.openAside(t)
		h.aside = db
	}
	h.pull, h.stop = iter.Pull2(db.Watch(context.Background(), &WatchOptions{Prefix: []byte(prefix)}))
	m.held = append(m.held, h)
}

// Pull lets a held watcher see some of what it has not seen.
func (m *watchMachine) Pull(t *rapid.T) {
	if len(m.held) == 0 {
		return
	}
	i := rapid.IntRange(0, len(m.held)-1).Draw(t, "watcher")
	h := &m.held[i]
	h.pending = append(h.pending, m.expected(h.upTo+1, h.prefix)...)
	h.upTo = lastSeq(m.db)
	for range rapid.IntRange(0, len(h.pending)).Draw(t, "changes") {
		c, err, ok := h.pull()
		if errors.Is(err, ErrLogTrimmed) && m.opts.RetainLog < 1<<30 && h.seen+1 < m.db.log.FirstSeq() {
			m.must(t, h.end())
			m.held = slices.Delete(m.held, i, i+1)
			return
		}
		if !ok || err != nil || c.text() != h.pending[0].text() {
			t.Fatalf("prefix %q: got %s, %v, want %s", h.prefix, c.text(), err, h.pending[0].text())
		}
		h.pending, h.seen = h.pending[1:], c.Seq
	}
}

// TestWatchModel watches random histories from random places, at random speed, across restarts; or in memory.
func TestWatchModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newWatchMachine(t, func(fs *vfstest.Mem, clock *fakeClock) *Options { return tinyOptions(fs, clock) })
		m.memory = rapid.IntRange(0, 3).Draw(t, "memory") == 0
		m.opts.RetainLog = rapid.SampledFrom([]int64{0, 10 << 10, 1 << 30}).Draw(t, "retain")
		m.open(t)
		defer func() {
			for _, h := range m.held {
				m.must(t, h.end())
			}
			m.must(t, m.db.Close())
		}()
		actions := map[string]func(*rapid.T){
			"put": m.Put, "put2": m.Put, "put3": m.Put, "delete": m.Delete, "batch": m.Batch, "batch2": m.Batch,
			"deleteRange": m.DeleteRange, "evict": m.Evict, "flush": m.Flush, "compact": m.Compact, "tick": m.Tick,
			"watch": m.Watch, "hold": m.Hold, "pull": m.Pull, "pull2": m.Pull,
		}
		if !m.memory {
			actions["reopen"], actions["watchAside"] = m.Reopen, m.WatchAside
		}
		t.Repeat(actions)
	})
}

// allChanges reads from a sequence up to the newest change.
func allChanges(db *DB, from uint64) ([]Change, error) {
	end := db.log.NextSeq() - 1
	var got []Change
	if from > end {
		return nil, nil
	}
	for c, err := range db.Watch(context.Background(), &WatchOptions{From: from}) {
		if err != nil {
			return got, err
		}
		c.Key, c.Value, c.End = bytes.Clone(c.Key), bytes.Clone(c.Value), bytes.Clone(c.End)
		if got = append(got, c); c.Seq == end {
			break
		}
	}
	return got, nil
}

// firstError returns how a watcher ends that reports nothing.
func firstError(seq iter.Seq2[Change, error]) error {
	for c, err := range seq {
		if err != nil {
			return err
		}
		return fmt.Errorf("%s", c.text())
	}
	return nil
}

func TestWatchErrors(t *testing.T) {
	db := openTest(t, manualOptions(vfstest.NewMem(), newFakeClock(), SyncAlways))
	for i := range 10 {
		must(t, db.Put(fmt.Appendf(nil, "k%d", i), nil))
		must(t, db.Flush())
	}
	watch := func(from uint64) error {
		return firstError(db.Watch(context.Background(), &WatchOptions{From: from}))
	}
	if err := watch(3); !errors.Is(err, ErrLogTrimmed) || !strings.Contains(err.Error(), "11") {
		t.Errorf("trimmed: %v", err)
	}
	if err := watch(12); !errors.Is(err, ErrSequenceAhead) || !strings.Contains(err.Error(), "11") {
		t.Errorf("ahead: %v", err)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	w := db.Watch(ctx, nil)
	why := errors.New("why")
	cancel(why)
	if err := firstError(w); !errors.Is(err, why) && !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	w = db.Watch(context.Background(), nil)
	done := make(chan error)
	go func() { done <- firstError(w) }()
	must(t, db.Close())
	if err := <-done; !errors.Is(err, ErrClosed) {
		t.Errorf("closed meanwhile: %v", err)
	}
	if err := firstError(w); !errors.Is(err, ErrClosed) {
		t.Errorf("closed before: %v", err)
	}
}

// A watcher that never reads holds nobody up: writers go on, segments are deleted, and it learns that it is too late.
func TestWatchNeverReads(t *testing.T) {
	mem := vfstest.NewMem()
	o := manualOptions(mem, newFakeClock(), SyncNever)
	o.RetainLog = 20 << 10
	db := openTest(t, o)
	must(t, db.Put([]byte("first"), nil))
	next, stop := iter.Pull2(db.Watch(context.Background(), &WatchOptions{From: 1}))
	defer stop()
	if c, err, ok := next(); !ok || err != nil || string(c.Key) != "first" {
		t.Fatal(c.text(), err)
	}
	for i := range 1000 {
		must(t, db.Put(fmt.Appendf(nil, "key%04d", i), make([]byte, 500)))
	}
	s := db.Stats()
	if s.Log.Retained > o.RetainLog || s.Log.Retained < o.RetainLog/2 || s.Log.Segments > 20 {
		t.Errorf("the log has %d segments, %d bytes of them retained", s.Log.Segments, s.Log.Retained)
	}
	seen := 0
	for {
		c, err, ok := next()
		if err != nil {
			if !errors.Is(err, ErrLogTrimmed) {
				t.Error(err)
			}
			break
		}
		if want := fmt.Sprintf("key%04d", seen); !ok || string(c.Key) != want {
			t.Fatalf("%s, want %s", c.text(), want)
		}
		seen++
	}
	if seen > 20 {
		t.Errorf("the watcher has seen %d changes of one segment", seen)
	}
}

// What a watcher reports can be read, and a snapshot with a watcher from there on misses nothing, while others write under
// every policy.
func TestWatchBesideWriters(t *testing.T) {
	const writers, writes = 4, 200
	for _, policy := range []SyncPolicy{SyncAlways, SyncNever} {
		o := tinyOptions(vfstest.NewMem(), newFakeClock())
		o.Sync, o.RetainLog = policy, 1<<30
		db := openTest(t, o)
		errs := make(chan error, 2*writers)
		for w := range writers {
			go func() {
				var err error
				for i := 0; i < writes && err == nil; i++ {
					opt := []WriteOption{Sync, NoSync}[i/8%2]
					if i == writes-1 {
						opt = Sync
					}
					err = db.Put(fmt.Appendf(nil, "w%d", w), fmt.Appendf(nil, "%03d", i), opt)
				}
				errs <- err
			}()
			go func() { errs <- watchCounters(db, writers, writes) }()
		}
		for range 2 * writers {
			must(t, <-errs)
		}
		must(t, db.Close())
	}
}

// watchCounters takes a snapshot of counters and follows them to their end.
func watchCounters(db *DB, writers, writes int) error {
	s, err := db.Snapshot()
	if err != nil {
		return err
	}
	defer s.Close()
	have := map[string]string{}
	finished := 0
	last := fmt.Sprintf("%03d", writes-1)
	for e, err := range s.Range(nil) {
		if err != nil {
			return err
		}
		if have[string(e.Key)] = string(e.Value); string(e.Value) == last {
			finished++
		}
	}
	if finished == writers {
		return nil
	}
	for c, err := range db.Watch(context.Background(), &WatchOptions{From: s.Seq() + 1}) {
		if err != nil {
			return err
		}
		old, value := have[string(c.Key)], string(c.Value)
		if want := fmt.Sprintf("%03d", nextOf(old)); value != want {
			return fmt.Errorf("%s: %s after %q", c.Key, value, old)
		}
		if now, err := db.Get(c.Key); err != nil || string(now) < value {
			return fmt.Errorf("%s: %s is reported, a read shows %q, %v", c.Key, value, now, err)
		}
		have[string(c.Key)] = value
		if value == last {
			finished++
		}
		if finished == writers {
			return nil
		}
	}
	return errors.New("the watcher has ended")
}

// nextOf returns the number after one, 0 after none.
func nextOf(s string) int {
	if s == "" {
		return 0
	}
	n := 0
	fmt.Sscanf(s, "%d", &n)
	return n + 1
}

// After every crash, what watchers report from the beginning is what the database holds, nothing less and nothing else.
func TestWatchAfterCrash(t *testing.T) {
	for _, retain := range []int64{8 << 10, 1 << 30} {
		t.Run(fmt.Sprintf("retain %d", retain), func(t *testing.T) { testWatchAfterCrash(t, retain) })
	}
}

func testWatchAfterCrash(t *testing.T, retain int64) {
	mem, clock := vfstest.NewMem(), newFakeClock()
	o := manualOptions(mem, clock, SyncAlways)
	o.RetainLog = retain
	var complete []Change
	record(t, mem, o, clock, lifeScript(clock), func(db *DB) {
		more, err := allChanges(db, uint64(len(complete))+1)
		must(t, err)
		complete = append(complete, more...)
	})
	var tried vfstest.Tried
	vfstest.EachCrash(t, mem, vfstest.CrashPoints{Step: 3, Random: 1}, func(c *vfstest.Crash) error {
		if tried.Before(c, nil) {
			return nil
		}
		return checkWatched(c.FS, newClockAt(clock.ms()), retain, complete)
	})
}

// checkWatched opens a database and holds that its log is a part of the complete history, up to its last write, and that
// going through all of it leads to its content.
func checkWatched(fs *vfstest.Mem, clock *fakeClock, retain int64, complete []Change) error {
	o := manualOptions(fs, clock, SyncAlways)
	o.RetainLog = retain
	db, err := Open("db", o)
	if err != nil {
		return err
	}
	defer db.Close()
	first := db.log.FirstSeq()
	got, err := allChanges(db, first)
	if err != nil {
		return err
	}
	if first > 1 && retain == 1<<30 || len(got) != int(lastSeq(db)+1-first) {
		return fmt.Errorf("%d changes from %d on, up to %d", len(got), first, lastSeq(db))
	}
	m := newModel(clock)
	for _, c := range complete[:first-1] {
		m.change(c)
	}
	for i, c := range got {
		if want := complete[first-1:][i]; c.text() != want.text() {
			return fmt.Errorf("change %d: %s, want %s", i, c.text(), want.text())
		}
		m.change(c)
	}
	return m.compare(db, db.clock.Now())
}

// A watcher of a log that has failed gets all that is on the disk, and then the failure.
func TestWatchFailedLog(t *testing.T) {
	fault := vfstest.NewFault(vfstest.NewMem())
	db := openTest(t, manualOptions(fault, newFakeClock(), SyncAlways))
	waiting := make(chan error)
	w := db.Watch(context.Background(), nil)
	must(t, db.Put([]byte("a"), nil))
	go func() {
		for _, err := range w {
			if err != nil {
				waiting <- err
			}
		}
	}()
	fault.Inject(func(op vfstest.Op) error {
		if op.Kind == vfstest.OpSync {
			return syscall.EIO
		}
		return nil
	})
	if err := db.Put([]byte("b"), nil); !errors.Is(err, ErrFailed) {
		t.Fatal(err)
	}
	var keys []string
	for c, err := range db.Watch(context.Background(), &WatchOptions{From: 1}) {
		if err != nil {
			if !errors.Is(err, ErrFailed) || !errors.Is(err, syscall.EIO) {
				t.Error(err)
			}
			break
		}
		keys = append(keys, string(c.Key))
	}
	if !slices.Equal(keys, []string{"a"}) {
		t.Errorf("reported %q", keys)
	}
	if err := <-waiting; !errors.Is(err, ErrFailed) {
		t.Errorf("one that waits: %v", err)
	}
}

// Sequences that the log leaves out are reported as a gap, whatever the prefix.
func TestWatchGap(t *testing.T) {
	db := openTest(t, manualOptions(vfstest.NewMem(), newFakeClock(), SyncAlways))
	for range 9 {
		must(t, db.Put([]byte("k"), nil))
	}
	db.pipeline.show(11) // as an Ingest does
	r, err := db.log.NewReaderAt(1)
	must(t, err)
	defer r.Close()
	var got []string
	w := watcher{db: db, log: &ownLog{Reader: r, db: db}, prefix: []byte("k"), next: 5, yield: func(c Change, err error) bool {
		must(t, err)
		got = append(got, fmt.Sprintf("%v %d", c.Kind, c.Seq))
		return true
	}}
	for _, e := range []wal.Entry{{Seq: 5, Key: []byte("k")}, {Seq: 9, Key: []byte("k")}} {
		w.entry = e
		must(t, w.report())
	}
	must(t, w.reportGap(10))
	must(t, w.reportGap(12))
	if want := []string{"put 5", "gap 8", "put 9", "gap 11"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
