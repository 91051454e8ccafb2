package ebb

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ebbdb/ebb/codec"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// optionsByName returns every write option there is.
func optionsByName(version *uint64, found *bool, deadline *int64) map[string]WriteOption {
	return map[string]WriteOption{
		"the zero WriteOption": {},
		"TTL":                  TTL(time.Hour),
		"ExpireAt":             ExpireAt(time.UnixMilli(1 << 42)),
		"KeepTTL":              KeepTTL,
		"IfAbsent":             IfAbsent,
		"IfPresent":            IfPresent,
		"IfVersion":            IfVersion(7),
		"IfNoDeadline":         IfNoDeadline,
		"IfDeadline":           IfDeadline,
		"IfLater":              IfLater,
		"IfEarlier":            IfEarlier,
		"VersionTo":            VersionTo(version),
		"Sync":                 Sync,
		"NoSync":               NoSync,
		"FoundTo":              FoundTo(found),
		"DeadlineTo":           DeadlineTo(deadline),
	}
}

// contradict are the options of which a call takes one.
var contradict = [][]string{
	{"TTL", "ExpireAt", "KeepTTL"},
	{"IfAbsent", "IfPresent", "IfVersion", "IfNoDeadline", "IfDeadline", "IfLater", "IfEarlier"},
	{"VersionTo"},
	{"FoundTo"},
	{"DeadlineTo"},
	{"Sync", "NoSync"},
}

// optionVerb is a call that takes write options.
type optionVerb struct {
	name  string
	takes string // the names of the options
	do    func(...WriteOption) error
}

// optionVerbs returns every call that takes write options. Each puts all of them to the same key.
func optionVerbs(db *DB) []optionVerb {
	key, value := []byte("k"), []byte("1")
	space := NewTyped(db, nil, codec.String(), codec.String())
	const (
		common = " VersionTo Sync NoSync"
		swap   = "TTL ExpireAt KeepTTL IfAbsent IfPresent IfVersion DeadlineTo" + common
		put    = swap + " FoundTo"
		del    = "IfPresent IfVersion FoundTo" + common
		take   = "IfVersion" + common
		touch  = "IfNoDeadline IfDeadline IfLater IfEarlier"
		expire = "IfVersion IfNoDeadline IfDeadline IfLater IfEarlier DeadlineTo" + common
	)
	inTxn := func(fn func(tx *Txn, o ...WriteOption) error) func(...WriteOption) error {
		return func(o ...WriteOption) error { return db.Update(func(tx *Txn) error { return fn(tx, o...) }) }
	}
	return []optionVerb{
		{"Put", put, func(o ...WriteOption) error { return db.Put(key, value, o...) }},
		{"Delete", del, func(o ...WriteOption) error { return db.Delete(key, o...) }},
		{"DeleteRange", common, func(o ...WriteOption) error { return db.DeleteRange(key, []byte("l"), o...) }},
		{"DeletePrefix", common, func(o ...WriteOption) error { return db.DeletePrefix(key, o...) }},
		{"DeleteRange of nothing", common, func(o ...WriteOption) error { return db.DeleteRange(key, key, o...) }},
		{"DeleteRange to the end", common, func(o ...WriteOption) error { return db.DeleteRange(key, nil, o...) }},
		{"Expire", expire, func(o ...WriteOption) error { return db.Expire(key, time.Hour, o...) }},
		{"Persist", "IfVersion" + common, func(o ...WriteOption) error { return db.Persist(key, o...) }},
		{"GetTouch", expire, func(o ...WriteOption) error { return second(db.GetTouch(key, time.Hour, o...)) }},
		{"Take", take, func(o ...WriteOption) error { return second(db.Take(key, o...)) }},
		{"Add", strings.ReplaceAll(put, "KeepTTL", ""), func(o ...WriteOption) error { return second(db.Add(key, 1, o...)) }},
		{"CompareAndSwap", swap, func(o ...WriteOption) error { return second(db.CompareAndSwap(key, value, value, o...)) }},
		{"Apply", common, func(o ...WriteOption) error {
			var b Batch
			return errors.Join(b.Put(key, value), db.Apply(&b, o...))
		}},
		{"Apply of nothing", common, func(o ...WriteOption) error { return db.Apply(new(Batch), o...) }},
		{"Batch.Delete", "IfPresent IfVersion", func(o ...WriteOption) error { return new(Batch).Delete(key, o...) }},
		{"Batch.Expire", "IfPresent IfVersion", func(o ...WriteOption) error { return new(Batch).Expire(key, time.Hour, o...) }},
		{"Batch.Persist", "IfPresent IfVersion", func(o ...WriteOption) error { return new(Batch).Persist(key, o...) }},
		{"TypedBatch.Put", "TTL ExpireAt KeepTTL IfAbsent IfPresent IfVersion", func(o ...WriteOption) error {
			return space.Batch(new(Batch)).Put("k", "1", o...)
		}},
		{"TypedBatch.Delete", "IfPresent IfVersion", func(o ...WriteOption) error { return space.Batch(new(Batch)).Delete("k", o...) }},
		{"TypedBatch.Expire", "IfPresent IfVersion", func(o ...WriteOption) error { return space.Batch(new(Batch)).Expire("k", time.Hour, o...) }},
		{"TypedBatch.Persist", "IfPresent IfVersion", func(o ...WriteOption) error { return space.Batch(new(Batch)).Persist("k", o...) }},
		{"Batch.Put", "TTL ExpireAt KeepTTL IfAbsent IfPresent IfVersion", func(o ...WriteOption) error { return new(Batch).Put(key, value, o...) }},
		{"Update", common, func(o ...WriteOption) error {
			return db.Update(func(tx *Txn) error { return tx.Put(key, value) }, o...)
		}},
		{"Txn.Put", "TTL ExpireAt KeepTTL FoundTo",
			inTxn(func(tx *Txn, o ...WriteOption) error { return tx.Put(key, value, o...) })},
		{"Txn.Delete", "FoundTo", inTxn(func(tx *Txn, o ...WriteOption) error { return tx.Delete(key, o...) })},
		{"Txn.Expire", touch, inTxn(func(tx *Txn, o ...WriteOption) error { return tx.Expire(key, time.Hour, o...) })},
		{"Txn.GetTouch", touch,
			inTxn(func(tx *Txn, o ...WriteOption) error { return second(tx.GetTouch(key, time.Hour, o...)) })},
		{"Txn.Add", "TTL ExpireAt FoundTo", inTxn(func(tx *Txn, o ...WriteOption) error { return second(tx.Add(key, 1, o...)) })},
		{"Typed.Put", put, func(o ...WriteOption) error { return space.Put("k", "1", o...) }},
		{"Typed.Delete", del, func(o ...WriteOption) error { return space.Delete("k", o...) }},
		{"Typed.DeleteRange", common, func(o ...WriteOption) error { return space.DeleteRange(nil, o...) }},
		{"Typed.Persist", "IfVersion" + common, func(o ...WriteOption) error { return space.Persist("k", o...) }},
		{"Typed.CompareAndSwap", swap, func(o ...WriteOption) error { return second(space.CompareAndSwap("k", "1", "1", o...)) }},
		{"Typed.Add", strings.ReplaceAll(put, "KeepTTL", ""), func(o ...WriteOption) error {
			return second(NewTyped(db, nil, codec.String(), codec.Counter()).Add("k", 1, o...))
		}},
		{"Typed.Expire", expire, func(o ...WriteOption) error { return space.Expire("k", time.Hour, o...) }},
		{"Typed.GetTouch", expire, func(o ...WriteOption) error { return second(space.GetTouch("k", time.Hour, o...)) }},
		{"Typed.Update", "TTL ExpireAt KeepTTL" + common, func(o ...WriteOption) error {
			return space.Update("k", func(old string, _ bool) (string, error) { return old, nil }, o...)
		}},
		{"Typed.Take", take, func(o ...WriteOption) error { return second(space.Take("k", o...)) }},
		{"TypedTxn.Delete", "FoundTo", inTxn(func(tx *Txn, o ...WriteOption) error { return space.In(tx).Delete("k", o...) })},
		{"TypedTxn.Expire", touch,
			inTxn(func(tx *Txn, o ...WriteOption) error { return space.In(tx).Expire("k", time.Hour, o...) })},
		{"TypedTxn.GetTouch", touch,
			inTxn(func(tx *Txn, o ...WriteOption) error { return second(space.In(tx).GetTouch("k", time.Hour, o...)) })},
		{"TypedTxn.Put", "TTL ExpireAt KeepTTL FoundTo", inTxn(func(tx *Txn, o ...WriteOption) error { return space.In(tx).Put("k", "1", o...) })},
	}
}

// TestWriteOptionPairs gives every call every option, and every two of them: what it does not take, the same twice, and what
// cannot be together is refused with an error that names it, and nothing is written.
func TestWriteOptionPairs(t *testing.T) {
	db := openTest(t, manualOptions(vfstest.NewMem(), newFakeClock(), SyncNever))
	var version uint64
	var found bool
	var deadline int64
	options := optionsByName(&version, &found, &deadline)
	for _, v := range optionVerbs(db) {
		takes := strings.Fields(v.takes)
		t.Run(v.name, func(t *testing.T) {
			for first, a := range options {
				must(t, db.Put([]byte("k"), []byte("1")))
				checkOptions(t, db, v, []WriteOption{a}, firstNotIn(takes, first))
				for second, b := range options {
					refused := firstNotIn(takes, first, second)
					if refused == nil && slices.ContainsFunc(contradict, func(c []string) bool {
						return slices.Contains(c, first) && slices.Contains(c, second)
					}) {
						refused = []string{first, second}
					}
					must(t, db.Put([]byte("k"), []byte("1")))
					checkOptions(t, db, v, []WriteOption{a, b}, refused)
				}
			}
		})
	}
}

// firstNotIn returns the first of names that is not in list, alone; nil if all are.
func firstNotIn(list []string, names ...string) []string {
	for _, name := range names {
		if !slices.Contains(list, name) {
			return []string{name}
		}
	}
	return nil
}

// checkOptions makes a call. If names is not nil it must be refused with an error that has all of them.
func checkOptions(t *testing.T, db *DB, v optionVerb, opts []WriteOption, names []string) {
	t.Helper()
	before := lastSeq(db)
	err := v.do(opts...)
	if names == nil {
		if errors.Is(err, ErrInvalidOption) {
			t.Errorf("%v: %v", opts, err)
		}
		return
	}
	if !errors.Is(err, ErrInvalidOption) || lastSeq(db) != before {
		t.Errorf("%v: %v, want it refused for %v; sequence %d after %d", opts, err, names, lastSeq(db), before)
		return
	}
	for _, name := range names {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%q does not name %s", err, name)
		}
	}
}

// An option is shown as it is written.
func TestWriteOptionString(t *testing.T) {
	for _, row := range []struct {
		o    WriteOption
		want string
	}{
		{TTL(90 * time.Minute), "TTL(1h30m0s)"}, {TTL(0), "TTL(0s)"}, {ExpireAt(time.UnixMilli(1_700_000_000_123)), "ExpireAt(2023-11-14T22:13:20.123Z)"},
		{ExpireAt(time.Time{}), "ExpireAt(no deadline)"}, {IfVersion(7), "IfVersion(7)"}, {IfAbsent, "IfAbsent"}, {KeepTTL, "KeepTTL"},
		{Sync, "Sync"}, {VersionTo(new(uint64)), "VersionTo"}, {WriteOption{}, "the zero WriteOption"},
	} {
		if got := row.o.String(); got != row.want {
			t.Errorf("%s, want %s", got, row.want)
		}
	}
}

// TestDeadlineTo: every write that may set or keep a deadline tells it, and one that is refused tells nothing.
func TestDeadlineTo(t *testing.T) {
	clock := newFakeClock()
	db := openTest(t, manualOptions(vfstest.NewMem(), clock, SyncNever))
	key, start := []byte("k"), clock.Now()
	after := func(d time.Duration) int64 { return start.Add(d).UnixMilli() }
	var got int64
	to := DeadlineTo(&got)
	for _, step := range []struct {
		name string
		do   func() error
		want int64
		err  error
	}{
		{"put", func() error { return db.Put(key, nil, to) }, 0, nil},
		{"put with a TTL", func() error { return db.Put(key, []byte("1"), TTL(time.Hour), to) }, after(time.Hour), nil},
		{"put with a deadline", func() error { return db.Put(key, []byte("1"), ExpireAt(start.Add(time.Minute)), to) }, after(time.Minute), nil},
		{"put that keeps it", func() error { return db.Put(key, []byte("2"), KeepTTL, to) }, after(time.Minute), nil},
		{"put in its turn", func() error { return db.Put(key, []byte("2"), IfPresent, TTL(time.Hour), to) }, after(time.Hour), nil},
		{"swap", func() error { return second(db.CompareAndSwap(key, []byte("2"), []byte("3"), KeepTTL, to)) }, after(time.Hour), nil},
		{"swap of another", func() error { return second(db.CompareAndSwap(key, []byte("2"), []byte("3"), to)) }, -1, nil},
		{"add", func() error { return second(db.Add(key, 1, TTL(time.Minute), to)) }, after(time.Hour), nil},
		{"add to none", func() error { return second(db.Add([]byte("l"), 1, TTL(time.Minute), to)) }, after(time.Minute), nil},
		{"expire", func() error { return db.Expire(key, 2*time.Hour, to) }, after(2 * time.Hour), nil},
		{"expire that is refused", func() error { return db.Expire(key, time.Hour, IfLater, to) }, -1, ErrConditionFailed},
		{"touch", func() error { return second(db.GetTouch(key, 3*time.Hour, to)) }, after(3 * time.Hour), nil},
		{"expire of none", func() error { return db.Expire([]byte("m"), time.Hour, to) }, -1, ErrNotFound},
		{"expire for good", func() error { return db.Expire(key, 0, to) }, 0, nil},
		{"put that has expired", func() error { return db.Put(key, nil, ExpireAt(start), to) }, 0, nil},
		{"add that has expired", func() error { return second(db.Add(key, 1, TTL(-1), to)) }, 0, nil},
	} {
		got = -1
		if err := step.do(); !errors.Is(err, step.err) || got != step.want {
			t.Errorf("%s: %v, deadline %d, want %v, %d", step.name, err, got, step.err, step.want)
		}
	}
}
