package ebb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ebbdb/ebb/codec"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// What is as small or as large as is allowed works.
func TestOptionsAtTheirLimits(t *testing.T) {
	for _, c := range []struct {
		name string
		o    Options
	}{
		{"smallest Memory", Options{Memory: minMemory}},
		{"smallest Memory with ExpiryEvents", Options{Memory: minMemory, ExpiryEvents: true}},
		{"largest Memory", Options{Memory: maxMemory}},
		{"largest Memory with ExpiryEvents", Options{Memory: maxMemory, ExpiryEvents: true}},
		{"no RetainLog", Options{RetainLog: 0}},
		{"smallest RetainLog", Options{RetainLog: 1}},
		{"largest RetainLog", Options{RetainLog: math.MaxInt64}},
		{"shortest SyncEvery", Options{SyncEvery: 1, Sync: SyncInterval}},
		{"longest SyncEvery", Options{SyncEvery: math.MaxInt64, Sync: SyncInterval}},
		{"shortest WriterIdle", Options{WriterIdle: 1}},
		{"longest WriterIdle", Options{WriterIdle: math.MaxInt64}},
		{"CompressionZstd", Options{Compression: CompressionZstd, Sync: SyncNever}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.o.fs = vfstest.NewMem()
			for range 2 {
				db, err := Open("db", &c.o)
				must(t, err)
				must(t, applyAs(db, 1, 0, "a", "1"))
				must(t, db.Flush())
				must(t, db.Put([]byte("b"), []byte("2"), TTL(time.Hour)))
				must(t, db.Compact(t.Context()))
				content{db}.has(t, "a", "1")
				content{db}.has(t, "b", "2")
				db.Stats()
				must(t, db.Close())
			}
		})
	}
	if o, err := (&Options{Memory: maxMemory}).withDefaults(); err != nil || o.memtableSize > maxMemtable {
		t.Errorf("a memtable of %d bytes, %v", o.memtableSize, err)
	}
}

// badValues are the values of an exported field of options that a call refuses, with what its error says of each.
type badValues map[any]string

// anyValue is for fields of which there is no wrong value.
var anyValue = badValues{}

// badOptions has every struct of options, with the values of every field that its call refuses.
var badOptions = []struct {
	options any // a pointer
	do      func(db *DB, options any) []error
	fields  map[string]badValues
}{
	{&Options{}, openWith, map[string]badValues{
		"Sync":        {SyncPolicy(3): "Sync is 3, allowed: SyncAlways", SyncPolicy(255): "Sync is 255"},
		"SyncEvery":   {time.Duration(-1): "SyncEvery is -1ns, allowed: 0, which is 100ms", -time.Hour: "SyncEvery is -1h0m0s"},
		"Compression": {Compression(3): "Compression is compression(3), allowed: CompressionNone", Compression(9): "Compression is compression(9)"},
		"WriterIdle":  {time.Duration(-1): "WriterIdle is -1ns, allowed: 0, which is 24h"},
		"RetainLog":   {int64(-1): "RetainLog is -1, allowed: 0 and more"},
		"MaxDisk":     {int64(-1): "MaxDisk is -1, allowed: 0, which is no bound, and 8388608 and more", int64(8<<20 - 1): "MaxDisk is 8388607"},
		"Memory": {int64(-1): "Memory is -1", int64(1): "Memory is 1, allowed: 0, which is 268435456, and 8388608 to",
			int64(minMemory - 1): "Memory is 8388607", int64(math.MaxInt64): "Memory is 9223372036854775807"},
		"ReadOnly": anyValue, "ExpiryEvents": anyValue, "Clock": anyValue, "OnEvent": anyValue, "Logger": anyValue,
	}},
	{&Options{ReadOnly: true}, openWith, map[string]badValues{
		"Sync":         {SyncPolicy(3): "Sync is 3"}, // others mean nothing here, and are not refused: options may be shared
		"SyncEvery":    {time.Duration(-1): "SyncEvery is -1ns"},
		"Compression":  {Compression(3): "Compression is compression(3)"},
		"RetainLog":    {int64(-1): "RetainLog is -1"},
		"ExpiryEvents": anyValue, "MaxDisk": anyValue,
		"WriterIdle": {time.Duration(-1): "WriterIdle is -1ns"}, // a reader is told of writers
		"Memory":     {int64(1): "Memory is 1"},                 // and has a cache
		"ReadOnly":   anyValue, "Clock": anyValue, "OnEvent": anyValue, "Logger": anyValue,
	}},
	{&BackupOptions{}, func(db *DB, o any) []error {
		_, err := db.Backup(context.Background(), io.Discard, o.(*BackupOptions))
		return []error{err}
	}, map[string]badValues{
		"Compression": {Compression(9): "Compression is compression(9), allowed: CompressionNone"},
		"Since":       anyValue, // one that the database has not come to is ErrSequenceAhead
		"Progress":    anyValue,
	}},
	{&RestoreOptions{}, func(_ *DB, o any) []error {
		return []error{Restore(context.Background(), "new", o.(*RestoreOptions))}
	}, map[string]badValues{
		"Options":  {&Options{Compression: 9}: "Compression is compression(9)", &Options{Memory: -1}: "Memory is -1"},
		"Progress": anyValue,
	}},
	{&IterOptions{}, rangeWith, map[string]badValues{
		"Limit": {-1: "Limit is -1, allowed: 0, which is none, and more", math.MinInt: "Limit is -"},
		"Start": anyValue, "End": anyValue, "Prefix": anyValue, "Reverse": anyValue, "KeysOnly": anyValue,
	}},
	{&IterOptions{}, iterateWith, map[string]badValues{
		"Limit":   {-1: "Limit is -1", 1: "Limit is 1, allowed: 0 for an iterator"},
		"Reverse": {true: "Reverse is true, allowed: false for an iterator"},
		"Start":   anyValue, "End": anyValue, "Prefix": anyValue, "KeysOnly": anyValue,
	}},
	{&TypedRange[string]{}, func(db *DB, o any) []error {
		space := NewTyped(db, nil, codec.String(), codec.String())
		return []error{lastError(space.Range(o.(*TypedRange[string])))}
	}, map[string]badValues{
		"Limit":   {-1: "Limit is -1, allowed: 0, which is none, and more"},
		"Reverse": anyValue, "KeysOnly": anyValue,
	}},
	{&TypedRange[string]{}, func(db *DB, o any) []error {
		return []error{NewTyped(db, nil, codec.String(), codec.String()).DeleteRange(o.(*TypedRange[string]))}
	}, map[string]badValues{
		"Limit":    {-1: "Limit is -1, allowed: 0", 1: "Limit is 1, allowed: 0"},
		"Reverse":  {true: "Reverse is true, allowed: false"},
		"KeysOnly": {true: "KeysOnly is true, allowed: false"},
	}},
	{&WatchOptions{}, func(db *DB, o any) []error {
		space := NewTyped(db, nil, codec.String(), codec.String())
		return []error{lastError(space.Watch(context.Background(), o.(*WatchOptions)))}
	}, map[string]badValues{
		"From":   anyValue,
		"Prefix": {&[]byte{'x'}: `Prefix is "x", allowed: none`}, // of a Typed, which has its own
	}},
	{&WatchOptions{}, nil, map[string]badValues{
		"From":   anyValue, // one that the database has not come to is ErrSequenceAhead
		"Prefix": anyValue,
	}},
	{&ResetClockOptions{}, func(_ *DB, o any) []error {
		return []error{second(ResetClock("none", time.Time{}, o.(*ResetClockOptions)))}
	}, map[string]badValues{
		"Options": {&Options{Compression: 9}: "Compression is compression(9)", &Options{Memory: -1}: "Memory is -1"},
		"DryRun":  anyValue,
	}},
	{&CheckpointOptions{}, nil, map[string]badValues{"Progress": anyValue}},
	{&IngestOptions{}, nil, map[string]badValues{"Progress": anyValue}},
}

func openWith(_ *DB, o any) []error {
	opts := o.(*Options)
	opts.fs = vfstest.NewMem()
	db, err := Open("db", opts)
	if err == nil {
		err = db.Close()
	}
	return []error{err}
}

func rangeWith(db *DB, o any) []error {
	s, err := db.Snapshot()
	if err != nil {
		return []error{err}
	}
	defer s.Close()
	errs := []error{lastError(db.Range(o.(*IterOptions))), lastError(s.Range(o.(*IterOptions)))}
	return append(errs, db.View(func(tx *Txn) error { return lastError(tx.Range(o.(*IterOptions))) }))
}

func iterateWith(db *DB, o any) []error {
	s, err := db.Snapshot()
	if err != nil {
		return []error{err}
	}
	defer s.Close()
	errs := []error{second(db.NewIterator(o.(*IterOptions))), second(s.NewIterator(o.(*IterOptions)))}
	return append(errs, db.View(func(tx *Txn) error { return second(tx.NewIterator(o.(*IterOptions))) }))
}

func lastError[T any](seq iter.Seq2[T, error]) (last error) {
	for _, err := range seq {
		last = err
	}
	return last
}

// TestInvalidOptions gives every call with options each value that it refuses. A field of which nobody has said what is
// wrong with it fails the test.
func TestInvalidOptions(t *testing.T) {
	db := openTest(t, manualOptions(vfstest.NewMem(), newFakeClock(), SyncNever))
	must(t, db.Put([]byte("k"), nil))
	structs := optionStructs(t)
	for _, b := range badOptions {
		base := reflect.ValueOf(b.options).Elem()
		typ := base.Type()
		for i := range typ.NumField() {
			field := typ.Field(i)
			values, ok := b.fields[field.Name]
			if !ok && field.IsExported() {
				t.Errorf("%s.%s is not validated", typ, field.Name)
			}
			for value, says := range values {
				t.Run(fmt.Sprintf("%s %s %.40v", typ, field.Name, value), func(t *testing.T) {
					o := reflect.New(typ)
					o.Elem().Set(base)
					if v := reflect.ValueOf(value); v.Type() == field.Type {
						o.Elem().Field(i).Set(v)
					} else {
						o.Elem().Field(i).Set(v.Elem())
					}
					for _, err := range b.do(db, o.Interface()) {
						if !errors.Is(err, ErrInvalidOptions) || !strings.Contains(err.Error(), says) {
							t.Errorf("%v, want %q", err, says)
						}
					}
				})
			}
		}
		for name := range b.fields {
			if _, ok := typ.FieldByName(name); !ok {
				t.Errorf("%s has no field %s", typ, name)
			}
		}
		delete(structs, typ.Name())
	}
	delete(structs, "TypedRange") // its name has the type of its key
	for name := range structs {
		t.Errorf("%s is not validated", name)
	}
}

// optionStructs returns the names of the package's structs of options.
func optionStructs(t *testing.T) map[string]bool {
	t.Helper()
	names, err := filepath.Glob("*.go")
	must(t, err)
	structs := make(map[string]bool)
	for _, name := range names {
		src, err := os.ReadFile(name)
		must(t, err)
		for _, m := range regexp.MustCompile(`(?m)^type ([A-Z]\w*(?:Options|Range))\b.* struct`).FindAllSubmatch(src, -1) {
			structs[string(m[1])] = true
		}
	}
	return structs
}
