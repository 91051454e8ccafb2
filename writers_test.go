package ebb

import (
	"errors"
	"maps"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// applyAs applies a batch of a writer that puts one key.
func applyAs(db *DB, writer int64, sequence int32, key, value string, opts ...WriteOption) error {
	var b Batch
	return errors.Join(b.SetWriter(writer, sequence), b.Put([]byte(key), []byte(value)), db.Apply(&b, opts...))
}

// wantExpected holds that a batch was refused and that the error tells what was expected.
func wantExpected(t *testing.T, err error, writer int64, sequence, expected int32) {
	t.Helper()
	var e *WriterSequenceError
	if !errors.Is(err, ErrWriterSequence) || !errors.As(err, &e) || *e != (WriterSequenceError{writer, sequence, expected}) {
		t.Errorf("batch %d of writer %d: %v, want %d expected", sequence, writer, err, expected)
	}
}

// TestWriter holds the rules of sequences, wherever the writer's last batch is: in a memtable, a log that is replayed, or
// the manifest.
func TestWriter(t *testing.T) {
	fs, clock := vfstest.NewMem(), newFakeClock()
	o := manualOptions(fs, clock, SyncNever)
	db := openTest(t, o)
	reopen := func() {
		t.Helper()
		must(t, db.Close())
		db = openTest(t, o)
	}
	sequence := int32(0)
	for _, c := range []struct {
		name string
		move func()
	}{
		{"stay", func() {}}, {"reopen", reopen},
		{"flush", func() { must(t, db.Flush()) }},
		{"flush and reopen", func() { must(t, db.Flush()); reopen() }},
		{"compact", func() { must(t, compactStep.run(db)) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			var version, repeated uint64
			must(t, applyAs(db, 7, sequence, "k", c.name, VersionTo(&version)))
			c.move()
			must(t, applyAs(db, 7, sequence, "k", "again", VersionTo(&repeated)))
			if version != repeated {
				t.Errorf("version %d, of the repetition %d", version, repeated)
			}
			content{db}.has(t, "k", c.name)
			wantExpected(t, applyAs(db, 7, sequence+2, "k", "gap"), 7, sequence+2, sequence+1)
			if sequence > 0 {
				wantExpected(t, applyAs(db, 7, sequence-1, "k", "old"), 7, sequence-1, sequence+1)
			}
			wantExpected(t, applyAs(db, 8, 1, "k", "new"), 8, 1, 0)
			content{db}.has(t, "k", c.name)
			if last, err := db.WriterSequence(7); last != sequence || err != nil {
				t.Errorf("the last batch is %d, %v", last, err)
			}
			sequence++
		})
	}
	if _, err := db.WriterSequence(8); !errors.Is(err, ErrNotFound) {
		t.Errorf("writer 8: %v", err)
	}
}

func TestWriterSequenceStartsOver(t *testing.T) {
	db := openTest(t, manualOptions(vfstest.NewMem(), newFakeClock(), SyncNever))
	db.pipeline.mu.writers.set(1, writerState{sequence: math.MaxInt32 - 1, used: db.clock.Now()})
	must(t, applyAs(db, 1, math.MaxInt32, "k", "last"))
	wantExpected(t, applyAs(db, 1, 1, "k", "gap"), 1, 1, 0)
	must(t, applyAs(db, 1, 0, "k", "first"))
	content{db}.has(t, "k", "first")
}

// TestIdleWriter holds that a writer is remembered for the stated time and then forgotten, in memory and on disk.
func TestIdleWriter(t *testing.T) {
	fs, clock := vfstest.NewMem(), newFakeClock()
	o := manualOptions(fs, clock, SyncNever)
	o.WriterIdle = time.Minute
	db := openTest(t, o)
	must(t, applyAs(db, 1, 0, "k", "first"))
	must(t, db.Flush())
	clock.add(time.Minute)
	must(t, applyAs(db, 1, 0, "k", "repeated"))
	content{db}.has(t, "k", "first")
	clock.add(time.Millisecond)
	wantExpected(t, applyAs(db, 1, 1, "k", "next"), 1, 1, 0)
	must(t, applyAs(db, 1, 0, "k", "new"))
	content{db}.has(t, "k", "new")
	for i := range 10 {
		clock.add(2 * time.Minute)
		must(t, applyAs(db, int64(10+i), 0, "k", "others"))
		must(t, db.Flush())
	}
	if w := &db.pipeline.mu.writers; len(w.index) > 2 || len(w.known) > 4 || len(db.live.Manifest().Writers) > 1 {
		t.Errorf("%d writers in memory, with room for %d, %d on disk", len(w.index), len(w.known), len(db.live.Manifest().Writers))
	}
}

func TestWriterBadInput(t *testing.T) {
	clock := newFakeClock()
	db := openTest(t, manualOptions(vfstest.NewMem(), clock, SyncNever))
	var b Batch
	if b.SetWriter(-1, 0) == nil || b.SetWriter(0, -1) == nil {
		t.Error("negative ids are taken")
	}
	must(t, b.SetWriter(0, 0))
	if err := db.Apply(&b); !errors.Is(err, ErrBatchEmpty) {
		t.Errorf("an empty batch: %v", err)
	}
	now, day := db.clock.Now(), 24*time.Hour.Milliseconds()
	for i := range int64(MaxWriters) {
		db.pipeline.mu.writers.set(i, writerState{used: now - day*(MaxWriters-i)/MaxWriters})
	}
	for range 10_000 { // each looks at one of the others
		if err := applyAs(db, MaxWriters, 0, "k", "v"); !errors.Is(err, ErrTooManyWriters) {
			t.Fatalf("a writer too many: %v", err)
		}
	}
	clock.add(time.Millisecond)
	must(t, applyAs(db, MaxWriters, 0, "k", "in the place of an idle one"))
	must(t, applyAs(db, 5, 1, "k", "known"))
	b.Reset()
	must(t, b.Put([]byte("k"), []byte("nobody's")))
	must(t, db.Apply(&b))
	content{db}.has(t, "k", "nobody's")
}

// The list of writers is that of a map and a search through it.
func TestWritersModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, now := writers{idle: 50}, int64(0)
		all := map[int64]writerState{}
		t.Repeat(map[string]func(*rapid.T){
			"use": func(t *rapid.T) {
				id := rapid.Int64Range(0, 20).Draw(t, "id")
				all[id] = writerState{rapid.Int32().Draw(t, "sequence"), uint64(now), now}
				w.set(id, all[id])
			},
			"pass": func(t *rapid.T) { now += rapid.Int64Range(1, 20).Draw(t, "ms") },
			"": func(t *rapid.T) {
				known := 0
				for id := range int64(21) {
					want, ok := all[id]
					ok = ok && now-want.used <= w.idle
					if got, gotOK := w.get(id, now); gotOK != ok || ok && got != want {
						t.Fatalf("writer %d: %v, %v, want %v, %v", id, got, gotOK, want, ok)
					}
					if ok {
						known++
					}
				}
				list := w.list(now)
				if len(list) != known || len(w.known) > 22 {
					t.Fatalf("%d writers of %d are listed, with room for %d", len(list), known, len(w.known))
				}
				for i, k := range list {
					if all[k.id] != k.writerState || i > 0 && k.used > list[i-1].used {
						t.Fatalf("%v is listed, want %v", k, all[k.id])
					}
				}
			},
		})
	})
}

// TestWritersPast holds what writers were when snapshots began against all that they ever were.
func TestWritersPast(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var open openSnapshots
		visible, last := uint64(0), uint64(0)
		w := writers{idle: math.MaxInt64}
		w.past.snapshots, w.past.visible = &open, func() uint64 { return visible }
		var history []knownWriter
		var snapshots []uint64
		set := func(id int64) {
			last += 1 + uint64(len(history))%3
			s := writerState{version: last, sequence: int32(last)}
			w.set(id, s)
			history = append(history, knownWriter{id: id, writerState: s})
		}
		at := func(seq uint64) map[int64]uint64 {
			states := map[int64]uint64{}
			for _, k := range history {
				if k.version <= seq {
					states[k.id] = k.version
				}
			}
			return states
		}
		t.Repeat(map[string]func(*rapid.T){
			"batch": func(t *rapid.T) { set(rapid.Int64Range(0, 3).Draw(t, "writer")) },
			"show":  func(t *rapid.T) { visible = rapid.Uint64Range(visible, last).Draw(t, "visible") },
			"snapshot": func(t *rapid.T) {
				seq := visible
				_ = open.begin(func() (uint64, error) { return seq, nil })
				for range rapid.IntRange(0, 40).Draw(t, "batches meanwhile") {
					set(int64(last % 4))
					visible = last
				}
				snapshots = append(snapshots, seq)
			},
			"close": func(t *rapid.T) {
				if len(snapshots) > 0 {
					i := rapid.IntRange(0, len(snapshots)-1).Draw(t, "which")
					open.end(snapshots[i])
					snapshots = slices.Delete(snapshots, i, i+1)
				}
			},
			"": func(t *rapid.T) {
				for _, seq := range snapshots {
					got := map[int64]uint64{}
					for _, k := range w.listAt(seq, 0) {
						if got[k.id] != 0 {
							t.Fatalf("writer %d twice as of %d", k.id, seq)
						}
						got[k.id] = k.version
					}
					if want := at(seq); !maps.Equal(got, want) {
						t.Fatalf("as of %d: %v, want %v", seq, got, want)
					}
				}
			},
		})
		for _, seq := range snapshots {
			open.end(seq)
		}
		for i := range 2*len(w.past.states) + 40 {
			set(int64(i % 4))
			visible = last
		}
		if n := len(w.past.states); n > 16 {
			t.Fatalf("%d states are kept for nobody", n)
		}
	})
}

// TestWritersPastBesideSnapshots: what writers were is kept for the snapshots that are open, not for all between them, though
// there is always one.
func TestWritersPastBesideSnapshots(t *testing.T) {
	o := manualOptions(vfstest.NewMem(), newFakeClock(), SyncNever)
	db := openTest(t, o)
	must(t, applyAs(db, 7, 0, "k", "v"))
	aside, err := Open("db", readOnlyOptions(o))
	must(t, err)
	defer aside.Close()
	for _, each := range []*DB{db, aside} {
		first, err := each.Snapshot()
		must(t, err)
		defer first.Close()
		last, err := each.Snapshot()
		must(t, err)
		defer func() { last.Close() }()
		for range 200 {
			sequence, err := db.WriterSequence(7)
			must(t, err)
			must(t, errors.Join(applyAs(db, 7, sequence+1, "k", "v"), each.Refresh()))
			next, err := each.Snapshot()
			must(t, err)
			last.Close()
			last = next
		}
		if n := len(each.pipeline.mu.writers.past.states); n > 16 {
			t.Errorf("read-only %v: %d states are kept of one writer for two snapshots", each.opts.ReadOnly, n)
		}
	}
}
