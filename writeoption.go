package ebb

import (
	"fmt"
	"time"

	"github.com/ebbdb/ebb/internal/draft"
	"github.com/ebbdb/ebb/ttl"
)

// WriteOption changes how one write is made, or sets a condition for it. It is a small value: making one allocates nothing.
//
// An option that the call does not take is ErrInvalidOption, and so are an option that is given twice, and two that exclude
// each other: TTL and ExpireAt, Sync and NoSync, two conditions. Then nothing is written.
type WriteOption struct {
	kind  optionKind
	value int64
	to    *uint64
	found *bool
	until *int64
}

type optionKind uint8

const (
	optionTTL      = optionKind(draft.TTL)
	optionExpireAt = optionKind(draft.At)
	optionKeepTTL  = optionKind(draft.KeepTTL)
)

const (
	optionIfAbsent optionKind = iota + optionKeepTTL + 1
	optionIfPresent
	optionIfVersion
	optionIfNoDeadline
	optionIfDeadline
	optionIfLater
	optionIfEarlier
	optionVersionTo
	optionSync
	optionNoSync
	optionFoundTo
	optionDeadlineTo
)

// optionSet is a set of option kinds, a bit each.
type optionSet uint16

func (s optionSet) has(k optionKind) bool { return s&(1<<k) != 0 }

const (
	commonOptions    = versionOption | syncOptions
	versionOption    = optionSet(1 << optionVersionTo)
	syncOptions      = optionSet(1<<optionSync | 1<<optionNoSync)
	deadlineOptions  = optionSet(1<<optionTTL | 1<<optionExpireAt)
	keepOption       = optionSet(1 << optionKeepTTL)
	foundOption      = optionSet(1 << optionFoundTo)
	untilOption      = optionSet(1 << optionDeadlineTo)
	presentOptions   = optionSet(1<<optionIfPresent | 1<<optionIfVersion)
	conditionOptions = presentOptions | 1<<optionIfAbsent
	touchConditions  = optionSet(1<<optionIfNoDeadline | 1<<optionIfDeadline | 1<<optionIfLater | 1<<optionIfEarlier)
	expireOptions    = touchConditions | 1<<optionIfVersion | untilOption
)

// choices are sets of options that exclude each other: a write takes at most one of each set.
var choices = [...]optionSet{deadlineOptions | keepOption, conditionOptions | touchConditions, syncOptions, versionOption,
	foundOption, untilOption}

// Options of writes.
var (
	// KeepTTL lets a Put keep the deadline of the value that it replaces, if that has one.
	KeepTTL = WriteOption{kind: optionKeepTTL}
	// IfAbsent writes only if the key is absent: never written, deleted, or expired.
	IfAbsent = WriteOption{kind: optionIfAbsent}
	// IfPresent writes only if the key is present.
	IfPresent = WriteOption{kind: optionIfPresent}
	// IfNoDeadline lets Expire set a deadline only where there is none (NX in Redis).
	IfNoDeadline = WriteOption{kind: optionIfNoDeadline}
	// IfDeadline lets Expire change a deadline only where there is one (XX in Redis).
	IfDeadline = WriteOption{kind: optionIfDeadline}
	// IfLater lets Expire only lengthen a life. A key without a deadline lives longest (GT in Redis).
	IfLater = WriteOption{kind: optionIfLater}
	// IfEarlier lets Expire only shorten a life. A key without a deadline lives longest (LT in Redis).
	IfEarlier = WriteOption{kind: optionIfEarlier}
	// Sync makes this write durable before it returns, whatever the policy.
	Sync = WriteOption{kind: optionSync}
	// NoSync lets this write return as soon as it survives the death of the process, whatever the policy. It becomes durable
	// with the next write that is synced. It is visible at once, and with it the writes before it that still wait for the
	// disk.
	NoSync = WriteOption{kind: optionNoSync}
)

// TTL makes the key expire after d: at the millisecond, rounded up. A d of 0 is no deadline, a negative d deletes the key.
func TTL(d time.Duration) WriteOption { return WriteOption{kind: optionTTL, value: int64(d)} }

// ExpireAt makes the key expire at t, rounded up to the millisecond. The zero time is no deadline, a past time deletes the
// key.
func ExpireAt(t time.Time) WriteOption {
	return WriteOption{kind: optionExpireAt, value: ttl.DeadlineAt(t)}
}

// IfVersion writes only if the key is present with this version, as GetEntry or VersionTo has told it. With version 0 it
// writes only if the key is absent.
func IfVersion(version uint64) WriteOption {
	return WriteOption{kind: optionIfVersion, value: int64(version)}
}

// VersionTo stores the version of the write in *version, once the write has succeeded. That of a batch is the version of its
// last operation. Versions grow with every write to the database, so they serve as fencing tokens.
func VersionTo(version *uint64) WriteOption { return WriteOption{kind: optionVersionTo, to: version} }

// FoundTo stores in *found whether the key was present when the write was made, once the write has succeeded: whether a Delete
// has deleted something, or a Put replaced something. The write looks the key up for that. It is for Put, Delete and Add; other
// calls tell it by their error.
func FoundTo(found *bool) WriteOption { return WriteOption{kind: optionFoundTo, found: found} }

// DeadlineTo stores in *deadline the deadline that the key has by the write, in Unix ms, once the write has succeeded; 0 if it
// has none, or is absent because the deadline had passed. It tells what KeepTTL and Add have kept, and what a TTL has become. It
// is for Put, Add, CompareAndSwap, Expire and GetTouch.
func DeadlineTo(deadline *int64) WriteOption {
	return WriteOption{kind: optionDeadlineTo, until: deadline}
}

// drafted returns the option, one of a deadline or a condition, or none, as a draft has it.
func (o WriteOption) drafted() draft.Option { return draft.Option{Kind: uint8(o.kind), Value: o.value} }

// deadline returns the deadline that the option asks for, as of now, and whether it has passed.
func (o WriteOption) deadline(now int64) (deadline int64, past bool) {
	return o.drafted().Deadline(now)
}

// given are the options of one write as the caller has given them, at most one of each choice.
type given struct {
	ttl       WriteOption // TTL, ExpireAt or KeepTTL; the zero option: none of them
	condition WriteOption // the zero option: no condition
	sync      optionKind  // optionSync or optionNoSync; 0: as the policy says
	versionTo *uint64     // nil: no VersionTo
	foundTo   *bool       // nil: no FoundTo
	untilTo   *int64      // nil: no DeadlineTo
}

// parseOptions is the one reader of write options. It refuses options that are not in allowed, that are given twice, or that
// exclude each other.
func parseOptions(opts []WriteOption, allowed optionSet) (g given, err error) {
	for i, o := range opts {
		if !allowed.has(o.kind) {
			return given{}, fmt.Errorf("%w: %v is not for this call", ErrInvalidOption, o.kind)
		}
		switch {
		case (deadlineOptions | keepOption).has(o.kind):
			g.ttl = o
		case syncOptions.has(o.kind):
			g.sync = o.kind
		case versionOption.has(o.kind):
			g.versionTo = o.to
		case foundOption.has(o.kind):
			g.foundTo = o.found
		case untilOption.has(o.kind):
			g.untilTo = o.until
		default:
			g.condition = o
		}
		if i > 0 {
			if err := checkTogether(opts[:i], o.kind); err != nil {
				return given{}, err
			}
		}
	}
	return g, nil
}

// checkTogether refuses an option of kind k if one of those before it is of the same kind or excludes it.
func checkTogether(before []WriteOption, k optionKind) error {
	for _, choice := range choices {
		if !choice.has(k) {
			continue
		}
		for _, o := range before {
			if o.kind == k {
				return fmt.Errorf("%w: %v twice", ErrInvalidOption, k)
			}
			if choice.has(o.kind) {
				return fmt.Errorf("%w: %v beside %v", ErrInvalidOption, k, o.kind)
			}
		}
	}
	return nil
}

// params are the options of one write, evaluated.
type params struct {
	deadline  int64 // Unix ms; 0: no deadline
	past      bool  // the deadline has passed already: the write deletes the key
	keepTTL   bool
	sync      bool
	condition optionKind // 0: no condition
	version   uint64     // of IfVersion
	versionTo *uint64    // nil: no VersionTo
	foundTo   *bool      // nil: no FoundTo
	untilTo   *int64     // nil: no DeadlineTo
	found     bool       // the key was present; set by beginUpdate
	changed   []byte     // of a transaction: the key for which the last attempt conflicted, if it was a key
}

// looks reports whether the write needs to know what the key has.
func (p *params) looks() bool { return p.condition != 0 || p.keepTTL || p.foundTo != nil }

// left returns the deadline that the key has by the write.
func (p *params) left() int64 {
	if p.past {
		return 0
	}
	return p.deadline
}

// evaluate returns the params of options under a policy. The call takes the common options and those in allowed. evaluate
// reads the clock at most once.
func evaluate(opts []WriteOption, allowed optionSet, clock *ttl.Clock, policy SyncPolicy) (params, error) {
	g, err := parseOptions(opts, allowed|commonOptions)
	if err != nil {
		return params{}, err
	}
	p := params{
		keepTTL:   g.ttl.kind == optionKeepTTL,
		sync:      g.sync == optionSync || g.sync == 0 && policy == SyncAlways,
		condition: g.condition.kind,
		version:   uint64(g.condition.value),
		versionTo: g.versionTo,
		foundTo:   g.foundTo,
		untilTo:   g.untilTo,
	}
	if deadlineOptions.has(g.ttl.kind) {
		p.deadline, p.past = g.ttl.deadline(clock.Now())
	}
	return p, nil
}

var optionNames = [...]string{"the zero WriteOption", "TTL", "ExpireAt", "KeepTTL", "IfAbsent", "IfPresent", "IfVersion",
	"IfNoDeadline", "IfDeadline", "IfLater", "IfEarlier", "VersionTo", "Sync", "NoSync", "FoundTo", "DeadlineTo"}

func (k optionKind) String() string { return optionNames[k] }

// String returns the option as it is written in a program.
func (o WriteOption) String() string {
	switch o.kind {
	case optionTTL:
		return fmt.Sprintf("TTL(%v)", time.Duration(o.value))
	case optionExpireAt:
		if o.value == 0 {
			return "ExpireAt(no deadline)"
		}
		return "ExpireAt(" + time.UnixMilli(o.value).UTC().Format("2006-01-02T15:04:05.000Z") + ")"
	case optionIfVersion:
		return fmt.Sprintf("IfVersion(%d)", uint64(o.value))
	}
	return o.kind.String()
}
