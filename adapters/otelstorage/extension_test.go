package otelstorage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/ebbdb/ebb"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/extension/extensiontest"
	"go.opentelemetry.io/collector/extension/xextension/storage"
)

func Example() {
	factory := NewFactory()
	config := factory.CreateDefaultConfig()
	fmt.Println(factory.Type(), config.(*Config).MemoryMiB)
	// Output: ebb_storage 64
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// start makes an extension as the collector does, and starts it.
func start(t *testing.T, dir string) storage.Extension {
	t.Helper()
	factory := NewFactory()
	config := factory.CreateDefaultConfig().(*Config)
	config.Directory = dir
	must(t, config.Validate())
	made, err := factory.Create(t.Context(), extensiontest.NewNopSettings(factory.Type()), config)
	must(t, err)
	must(t, made.Start(t.Context(), componenttest.NewNopHost()))
	t.Cleanup(func() { made.Shutdown(context.Background()) })
	return made.(storage.Extension)
}

var exporter = component.MustNewIDWithName("otlp", "name")

func clientOf(t *testing.T, e storage.Extension, kind component.Kind, id component.ID, name string) storage.Client {
	t.Helper()
	c, err := e.GetClient(t.Context(), kind, id, name)
	must(t, err)
	return c
}

func check(t *testing.T, c storage.Client, key, want string) {
	t.Helper()
	got, err := c.Get(t.Context(), key)
	if err != nil || string(got) != want || (got == nil) != (want == "") {
		t.Errorf("key %q: %q, %v, want %q", key, got, err, want)
	}
}

func TestConfig(t *testing.T) {
	must(t, componenttest.CheckConfigStruct(NewFactory().CreateDefaultConfig()))
	config := NewFactory().CreateDefaultConfig().(*Config)
	if err := config.Validate(); err == nil {
		t.Error("no directory is valid")
	}
	must(t, confmap.NewFromStringMap(map[string]any{"directory": "d", "fsync": true, "memory_mib": 7}).Unmarshal(config))
	if *config != (Config{"d", true, 7}) {
		t.Errorf("%+v", config)
	}
	if err := config.Validate(); err == nil {
		t.Error("7 MiB are valid")
	}
}

func TestClients(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "directory")
	e := start(t, dir)
	clients := []storage.Client{
		clientOf(t, e, component.KindExporter, exporter, ""), clientOf(t, e, component.KindReceiver, exporter, ""),
		clientOf(t, e, component.KindExporter, exporter, "traces"), clientOf(t, e, component.KindExporter, component.MustNewID("otlp"), ""),
		clientOf(t, e, component.KindExporter, component.MustNewIDWithName("otlp", "nametraces"), ""),
	}
	ctx := t.Context()
	for i, c := range clients {
		check(t, c, "k", "")
		must(t, c.Delete(ctx, "k"))
		must(t, c.Set(ctx, "k", fmt.Append(nil, i)))
		must(t, c.Set(ctx, "", fmt.Append(nil, "empty ", i)))
	}
	again := clientOf(t, e, component.KindExporter, exporter, "")
	must(t, clients[0].Close(ctx))
	for i, c := range append([]storage.Client{again}, clients[1:]...) {
		check(t, c, "k", fmt.Sprint(i))
		check(t, c, "", fmt.Sprint("empty ", i))
	}
	must(t, e.Shutdown(ctx))
	must(t, e.Shutdown(ctx))
	for _, c := range []storage.Client{clients[0], again} {
		_, get := c.Get(ctx, "k")
		for name, err := range map[string]error{"get": get, "set": c.Set(ctx, "k", nil), "delete": c.Delete(ctx, "k"), "batch": c.Batch(ctx),
			"gets": c.Batch(ctx, storage.GetOperation("k")),
			"walk": c.(storage.Walker).Walk(ctx, nil)} {
			if !errors.Is(err, ebb.ErrClosed) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	e = start(t, dir)
	check(t, clientOf(t, e, component.KindExporter, exporter, "traces"), "k", "2")
}

func TestBatch(t *testing.T) {
	c, ctx := clientOf(t, start(t, t.TempDir()), component.KindExporter, exporter, ""), t.Context()
	must(t, c.Batch(ctx))
	must(t, c.Batch(ctx, storage.SetOperation("a", []byte("1")), storage.SetOperation("b", []byte("2")), storage.DeleteOperation("a")))
	check(t, c, "a", "")
	check(t, c, "b", "2")
	before, none, own := storage.GetOperation("b"), storage.GetOperation("c"), storage.GetOperation("a")
	none.Value = []byte("left over")
	must(t, c.Batch(ctx, before, none, storage.SetOperation("a", []byte("3")), own, storage.DeleteOperation("b")))
	if string(before.Value) != "2" || none.Value != nil || string(own.Value) != "3" {
		t.Errorf("%q, %q, %q", before.Value, none.Value, own.Value)
	}
	check(t, c, "b", "")
	for _, gets := range [][]*storage.Operation{nil, {storage.GetOperation("a")}} {
		bad := append(gets, storage.SetOperation("z", []byte("1")), &storage.Operation{Key: "a", Type: 7})
		if err := c.Batch(ctx, bad...); err == nil {
			t.Error("an operation of type 7 was done")
		}
	}
	check(t, c, "z", "")
}

func TestWalk(t *testing.T) {
	e, ctx := start(t, t.TempDir()), t.Context()
	c := clientOf(t, e, component.KindExporter, exporter, "")
	must(t, clientOf(t, e, component.KindReceiver, exporter, "").Set(ctx, "other", nil))
	for i := range 10 {
		must(t, c.Set(ctx, fmt.Sprint(i), fmt.Append(nil, i)))
	}
	var all sync.WaitGroup
	all.Go(func() { // writers wait for a walk
		for i := range 100 {
			if err := c.Batch(ctx, storage.GetOperation("x"), storage.SetOperation("x", fmt.Append(nil, i))); err != nil {
				t.Error(err)
			}
		}
	})
	walk := c.(storage.Walker).Walk
	for range 20 {
		got := ""
		must(t, walk(ctx, func(key string, value []byte) ([]*storage.Operation, error) {
			if key == "x" {
				return nil, nil
			}
			if got += key; key != string(value) {
				t.Errorf("key %q has %q", key, value)
			}
			return []*storage.Operation{storage.DeleteOperation("y" + key), storage.SetOperation("x", []byte("walked"))}, nil
		}))
		if got != "0123456789" {
			t.Errorf("the walk was over %q", got)
		}
	}
	all.Wait()
	failed := errors.New("failed")
	if err := walk(ctx, func(key string, _ []byte) ([]*storage.Operation, error) {
		if key == "5" {
			return nil, failed
		}
		return []*storage.Operation{storage.DeleteOperation(key)}, nil
	}); err != failed {
		t.Error(err)
	}
	check(t, c, "0", "0")
	get := storage.GetOperation("1")
	must(t, walk(ctx, func(key string, _ []byte) ([]*storage.Operation, error) {
		if key == "1" {
			return []*storage.Operation{get, storage.DeleteOperation(key)}, storage.SkipAll
		}
		return []*storage.Operation{storage.DeleteOperation(key)}, nil
	}))
	check(t, c, "0", "")
	check(t, c, "1", "")
	check(t, c, "2", "2")
	if string(get.Value) != "1" {
		t.Errorf("%q", get.Value)
	}
}

func TestBadInput(t *testing.T) {
	e := start(t, t.TempDir())
	c, ctx := clientOf(t, e, component.KindExporter, exporter, ""), t.Context()
	long := strings.Repeat("k", 64<<10)
	if err := c.Set(ctx, long, nil); !errors.Is(err, ebb.ErrKeyTooLarge) {
		t.Errorf("a long key: %v", err)
	}
	check(t, c, long, "")
	must(t, c.Delete(ctx, long))
	must(t, c.Batch(ctx, storage.DeleteOperation(long), storage.GetOperation(long)))
	large := bytes.Repeat([]byte("v"), 20<<20)
	must(t, c.Set(ctx, "large", large))
	check(t, c, "large", string(large))
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := c.Get(ended, "k"); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that has ended: %v", err)
	}
	if err := translated(fmt.Errorf("%w", ebb.ErrNoSpace)); !errors.Is(err, storage.ErrStorageFull) || !errors.Is(err, ebb.ErrNoSpace) {
		t.Errorf("a full disk: %v", err)
	}
	other, err := NewFactory().Create(ctx, extensiontest.NewNopSettings(componentType), NewFactory().CreateDefaultConfig())
	must(t, err)
	if _, err := other.(storage.Extension).GetClient(ctx, component.KindExporter, exporter, ""); err == nil {
		t.Error("a client of an extension that was not started")
	}
	must(t, other.Shutdown(ctx))
	twice := NewFactory().CreateDefaultConfig().(*Config)
	twice.Directory = e.(*Extension).config.Directory
	other, err = NewFactory().Create(ctx, extensiontest.NewNopSettings(componentType), twice)
	must(t, err)
	if err := other.Start(ctx, componenttest.NewNopHost()); !errors.Is(err, ebb.ErrLocked) {
		t.Errorf("a directory that another has: %v", err)
	}
}
