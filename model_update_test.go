package ebb

import (
	"errors"
	"fmt"
	"math"
	"strconv"

	"pgregory.net/rapid"
)

// The operations of the machine that depend on what is there.

// condition draws a condition and says whether it holds for the key.
func (m *machine) condition(t *rapid.T, key string) (o WriteOption, holds bool) {
	_, present := m.model.live(key, m.now())
	switch rapid.IntRange(0, 3).Draw(t, "condition") {
	case 0:
		return IfAbsent, !present
	case 1:
		return IfPresent, present
	}
	var version uint64
	if present {
		version = m.version(t, key)
	}
	wrong := rapid.SampledFrom([]uint64{0, 0, 1, math.MaxUint64}).Draw(t, "wrong")
	return IfVersion(version + wrong), wrong == 0
}

// version returns the version of a present key.
func (m *machine) version(t *rapid.T, key string) uint64 {
	e, err := m.db.GetEntry([]byte(key))
	m.must(t, err)
	return e.Version
}

// wantFailed holds an error against what is known of the condition, and reports whether the write was made.
func wantFailed(t *rapid.T, err error, holds bool) bool {
	t.Helper()
	if holds && err != nil || !holds && !errors.Is(err, ErrConditionFailed) {
		t.Fatalf("the condition holds: %t, error %v", holds, err)
	}
	return holds
}

func (m *machine) PutIf(t *rapid.T) {
	k, v := m.key(t), m.value(t)
	opts, deadline := m.deadline(t)
	condition, holds := m.condition(t, k)
	var version uint64
	err := m.db.Put([]byte(k), []byte(v), append(opts, condition, VersionTo(&version))...)
	if !wantFailed(t, err, holds) {
		return
	}
	m.model.entries[k] = modelEntry{v, deadline}
	if _, present := m.model.live(k, m.now()); present && version != m.version(t, k) {
		t.Fatalf("VersionTo says %d, GetEntry %d", version, m.version(t, k))
	}
}

func (m *machine) DeleteIf(t *rapid.T) {
	k := m.key(t)
	condition, holds := m.condition(t, k)
	err := m.db.Delete([]byte(k), condition)
	if condition == IfAbsent {
		if !errors.Is(err, ErrInvalidOption) {
			t.Fatalf("delete if absent: %v", err)
		}
		return
	}
	if wantFailed(t, err, holds) {
		delete(m.model.entries, k)
	}
}

// Take takes a key.
func (m *machine) Take(t *rapid.T) {
	k := m.key(t)
	got, err := m.db.Take([]byte(k))
	wantTaken(t, m.model, m.now(), k, got, err)
}

// wantTaken holds what a Take returns against the model, and takes the key there.
func wantTaken(t *rapid.T, model *model, now int64, key string, got []byte, err error) {
	t.Helper()
	old, ok := model.live(key, now)
	if !ok && !errors.Is(err, ErrNotFound) || ok && (err != nil || string(got) != old.value) {
		t.Fatalf("take %q: %q, %v, want %q, present: %v", key, got, err, old.value, ok)
	}
	if ok {
		delete(model.entries, key)
	}
}

// Found deletes or replaces a key, and asks whether it was there.
func (m *machine) Found(t *rapid.T) {
	k := m.key(t)
	_, want := m.model.live(k, m.now())
	found := !want
	if rapid.Bool().Draw(t, "delete") {
		m.must(t, m.db.Delete([]byte(k), FoundTo(&found)))
		m.wrote(Change{Kind: ChangeDelete, Key: []byte(k)})
	} else {
		v := m.value(t)
		m.must(t, m.db.Put([]byte(k), []byte(v), FoundTo(&found)))
		m.wrote(m.put(k, v, 0))
	}
	if found != want {
		t.Fatalf("%q: found is %v, want %v", k, found, want)
	}
}

func (m *machine) CompareAndSwap(t *rapid.T) {
	k, old, v := m.key(t), m.value(t), m.value(t)
	present, ok := m.model.live(k, m.now())
	if ok && rapid.Bool().Draw(t, "right") {
		old = present.value
	}
	opts, deadline := m.deadline(t)
	swapped, err := m.db.CompareAndSwap([]byte(k), []byte(old), []byte(v), opts...)
	m.must(t, err)
	if want := ok && old == present.value; swapped != want {
		t.Fatalf("swapped: %t, want %t", swapped, want)
	}
	if swapped {
		m.model.entries[k] = modelEntry{v, deadline}
	}
}

func (m *machine) Add(t *rapid.T) {
	k := m.key(t)
	delta := rapid.SampledFrom([]int64{1, -3, 0, math.MaxInt64, math.MinInt64}).Draw(t, "delta")
	opts, deadline := m.deadline(t)
	sum, err := m.db.Add([]byte(k), delta, opts...)
	want, wantErr := delta, error(nil)
	if old, ok := m.model.live(k, m.now()); ok {
		deadline = old.deadline
		n, parseErr := strconv.ParseInt(old.value, 10, 64)
		want = n + delta
		switch {
		case parseErr != nil:
			wantErr = ErrNotCounter
		case delta > 0 && want < n, delta < 0 && want > n:
			wantErr = ErrOverflow
		}
	}
	if !errors.Is(err, wantErr) || err == nil && sum != want {
		t.Fatalf("add %d: %d, %v, want %d, %v", delta, sum, err, want, wantErr)
	}
	if err == nil {
		m.model.entries[k] = modelEntry{strconv.FormatInt(sum, 10), deadline}
	}
}

func (m *machine) ExpireIf(t *rapid.T) {
	k := m.key(t)
	d := m.duration(t)
	deadline := m.after(d)
	endless := func(d int64) int64 {
		if d == 0 {
			return math.MaxInt64
		}
		return d
	}
	old, ok := m.model.live(k, m.now())
	var option WriteOption
	var holds bool
	switch rapid.IntRange(0, 3).Draw(t, "condition") {
	case 0:
		option, holds = IfNoDeadline, old.deadline == 0
	case 1:
		option, holds = IfDeadline, old.deadline != 0
	case 2:
		option, holds = IfLater, endless(deadline) > endless(old.deadline)
	case 3:
		option, holds = IfEarlier, endless(deadline) < endless(old.deadline)
	}
	got, err := m.db.GetTouch([]byte(k), d, option)
	if !ok {
		if !errors.Is(err, ErrNotFound) {
			t.Fatalf("touch of an absent key: %v", err)
		}
		return
	}
	if wantFailed(t, err, holds) {
		if string(got) != old.value {
			t.Fatal(fmt.Errorf("touch returns %q, want %q", got, old.value))
		}
		m.model.entries[k] = modelEntry{old.value, deadline}
	}
}

// BatchIf applies a batch whose operations depend on what is there: it is made as a whole, or nothing of it.
func (m *machine) BatchIf(t *rapid.T) {
	var b Batch
	after, holds := m.model.clone(), true
	for range rapid.IntRange(1, maxBatch/2).Draw(t, "operations") {
		k := m.key(t)
		var opts []WriteOption
		if rapid.IntRange(0, 3).Draw(t, "conditional") == 0 {
			condition, held := m.condition(t, k)
			opts, holds = append(opts, condition), holds && held
		}
		after.change(m.operationOn(t, &b, after, k, opts)...)
	}
	if wantFailed(t, m.db.Apply(&b), holds) {
		m.model.entries = after.entries
	}
}

// operationOn adds an operation on a key to a batch, and returns what it does to the model.
func (m *machine) operationOn(t *rapid.T, b *Batch, now *model, k string, opts []WriteOption) []Change {
	old, present := now.live(k, m.now())
	kind := rapid.IntRange(0, 4).Draw(t, "kind")
	if kind > 1 && len(opts) > 0 && opts[0] == IfAbsent {
		kind = 0 // a put alone takes it
	}
	switch kind {
	case 0:
		v := m.value(t)
		deadlines, deadline := m.deadline(t)
		m.must(t, b.Put([]byte(k), []byte(v), append(opts, deadlines...)...))
		return []Change{m.put(k, v, deadline)}
	case 1:
		v := m.value(t)
		m.must(t, b.Put([]byte(k), []byte(v), append(opts, KeepTTL)...))
		if !present {
			old.deadline = 0
		}
		return []Change{m.put(k, v, old.deadline)}
	case 2:
		m.must(t, b.Delete([]byte(k), opts...))
		return []Change{{Kind: ChangeDelete, Key: []byte(k)}}
	case 3:
		if len(opts) == 0 {
			return m.operation(t, b)
		}
	}
	d := m.duration(t)
	if d == 0 {
		m.must(t, b.Persist([]byte(k), opts...))
	} else {
		m.must(t, b.Expire([]byte(k), d, opts...))
	}
	if !present {
		return nil
	}
	return []Change{m.put(k, old.value, m.after(d))}
}
