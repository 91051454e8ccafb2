package page

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ebbdb/ebb"
	"github.com/ebbdb/ebb/server/resp"
)

// fakeServer has fixed figures.
type fakeServer struct{}

func (fakeServer) Stats() resp.Stats {
	s := resp.Stats{Started: time.UnixMilli(1_000), Clients: 3, Accepted: 4, Rejected: 1, Commands: 10, Errors: 2, LargeReplies: 5,
		SlowSubscribers: 6, BytesIn: 100, BytesOut: 200, Hits: 7, Misses: 8}
	c := resp.CommandStats{Name: "get", Calls: 9, Failed: 1, Total: 90 * time.Microsecond}
	c.Latency[0] = 9
	s.PerCommand = []resp.CommandStats{c}
	return s
}

func (fakeServer) SlowLog(int) []resp.SlowEntry {
	return []resp.SlowEntry{{ID: 1, At: time.UnixMilli(5_000), Took: 20 * time.Millisecond, Args: []string{"GET", "a\xff<b>"}, Client: "1.2.3.4:5"}}
}

// fakeDB has fixed figures, and counts how often it is asked.
type fakeDB struct {
	failure error
	asked   *int
}

func (d fakeDB) Stats() ebb.Stats {
	return ebb.Stats{MemtableBytes: 1, ReplacedMemtableBytes: 2, IndexBytes: 4, UpcomingBytes: 8, DiskBytes: 16, TableBytes: 32, LiveBytes: 64,
		Levels: []ebb.LevelStats{{Tables: 1, Bytes: 2, Entries: 3}}, DeadlineEntries: 5, MemtableDeadlineEntries: 6, ExpiredBytes: 7,
		ExpiryLag: time.Second, ExpiredEntries: 9, DroppedTables: 10, DroppedBytes: 11, UserBytes: 12, Flushes: 13, Compactions: 14,
		FlushedBytes: 24, SlowedFor: time.Second, StoppedFor: time.Minute, Pins: 15, OldestPin: time.Second, Failure: d.failure}
}
func (d fakeDB) EstimateCount(*ebb.IterOptions) (int, error)  { return 42, nil }
func (d fakeDB) EstimateSize(*ebb.IterOptions) (int64, error) { return 1000, nil }
func (d fakeDB) EstimateExpiring(within ...time.Duration) ([]ebb.Expiring, error) {
	*d.asked++
	var list []ebb.Expiring
	for _, w := range within { // one entry of ten bytes a second
		list = append(list, ebb.Expiring{Within: w, Entries: int64(w / time.Second), Bytes: 10 * int64(w/time.Second)})
	}
	return list, nil
}
func (d fakeDB) SplitKeys(*ebb.IterOptions, int) ([][]byte, error) {
	*d.asked++
	return [][]byte{[]byte("a:1"), []byte("a:2"), []byte("b:1")}, nil
}

func newPage(db Database, srv Server, now *time.Time) *Page {
	return New(About{Version: "v1", Dir: "/d", Listen: "127.0.0.1:1", Sync: "always", Memory: 1 << 20, MaxClients: 9},
		func() time.Time { return *now }, func() (string, Database, Server) { return "serving", db, srv })
}

func get(t *testing.T, p *Page, path string, into any) int {
	t.Helper()
	w := httptest.NewRecorder()
	p.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	if err := json.Unmarshal(w.Body.Bytes(), into); err != nil {
		t.Fatalf("%s: %d %s: %v", path, w.Code, w.Body, err)
	}
	for name, want := range map[string]string{"Content-Type": "application/json; charset=utf-8", "Cache-Control": "no-store",
		"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff"} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("%s: %s is %q", path, name, got)
		}
	}
	return w.Code
}

// The shape of the figures, which the script relies on: names and values, but for the memory of the process.
func TestFigures(t *testing.T) {
	now, asked := time.UnixMilli(10_000), 0
	p := newPage(fakeDB{asked: &asked}, fakeServer{}, &now)
	var all []byte
	for _, path := range []string{"/live.json", "/expiring.json", "/prefixes.json"} {
		var v map[string]any
		if code := get(t, p, path, &v); code != 200 {
			t.Errorf("%s: %d", path, code)
		}
		if db, ok := v["db"].(map[string]any); ok {
			m := db["memory"].(map[string]any)
			if m["heap"].(float64) <= 0 || m["process"].(float64) < m["heap"].(float64) {
				t.Errorf("%v", m)
			}
			m["heap"], m["process"] = "some", "some"
		}
		text, err := json.MarshalIndent(v, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		all = append(append(append(all, path...), '\n'), append(text, '\n')...)
	}
	golden := filepath.Join("testdata", "figures.golden")
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(golden, all, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil || string(want) != string(all) {
		t.Errorf("%v: not as in %s, which UPDATE=1 writes anew:\n%s", err, golden, all)
	}
}

// Many browsers cost what one does.
func TestFiguresAreKept(t *testing.T) {
	now, asked := time.UnixMilli(10_000), 0
	p := newPage(fakeDB{asked: &asked}, fakeServer{}, &now)
	var v any
	for range 5 {
		get(t, p, "/prefixes.json", &v)
		get(t, p, "/expiring.json", &v)
	}
	if asked != 2 {
		t.Errorf("the database was asked %d times", asked)
	}
	now = now.Add(6 * time.Second)
	get(t, p, "/prefixes.json", &v)
	now = now.Add(-time.Hour) // a clock that is set back
	get(t, p, "/prefixes.json", &v)
	if asked != 4 {
		t.Errorf("the database was asked %d times later", asked)
	}
}

// Before the database is open, and when it has failed.
func TestStates(t *testing.T) {
	now, asked := time.UnixMilli(10_000), 0
	var l live
	if code := get(t, newPage(nil, nil, &now), "/live.json", &l); code != 200 || l.DB != nil || l.Server != nil || l.About.Dir != "/d" {
		t.Errorf("%d %+v", code, l)
	}
	var v map[string]string
	for _, path := range []string{"/expiring.json", "/prefixes.json"} {
		if code := get(t, newPage(nil, nil, &now), path, &v); code != 503 || v["error"] == "" {
			t.Errorf("%s: %d %v", path, code, v)
		}
	}
	failed := newPage(fakeDB{failure: errors.New("the disk has gone"), asked: &asked}, fakeServer{}, &now)
	if get(t, failed, "/live.json", &l); !strings.Contains(l.Trouble, "the disk has gone") {
		t.Errorf("%+v", l)
	}
}

// The document loads nothing from elsewhere, and nothing is minified or inline.
func TestAssets(t *testing.T) {
	now := time.UnixMilli(10_000)
	p := newPage(nil, nil, &now)
	types := map[string]string{"/": "text/html; charset=utf-8", "/page.js": "text/javascript; charset=utf-8",
		"/charts.js": "text/javascript; charset=utf-8", "/words.js": "text/javascript; charset=utf-8", "/page.css": "text/css; charset=utf-8",
		"/icon.svg": "image/svg+xml"}
	for path, want := range types {
		w := httptest.NewRecorder()
		p.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != 200 || w.Header().Get("Content-Type") != want || w.Header().Get("Content-Security-Policy") != policy {
			t.Errorf("%s: %d, %v", path, w.Code, w.Header())
		}
		text := strings.ReplaceAll(w.Body.String(), "http://www.w3.org/2000/svg", "")
		for _, never := range []string{"http://", "https://", "//cdn", "style=", "onclick", "innerHTML", "eval("} {
			if strings.Contains(text, never) {
				t.Errorf("%s has %s", path, never)
			}
		}
		for line := range strings.Lines(text) {
			if len(line) > 260 {
				t.Errorf("%s: a line of %d bytes", path, len(line))
			}
		}
	}
	files, err := assets.ReadDir("assets")
	if err != nil || len(files) != len(types) {
		t.Errorf("%d files, %v, of which %d are looked at", len(files), err, len(types))
	}
	w := httptest.NewRecorder()
	p.ServeHTTP(w, httptest.NewRequest("POST", "/live.json", nil))
	if w.Code != 405 {
		t.Errorf("POST: %d", w.Code)
	}
}

func TestGroups(t *testing.T) {
	keys := func(list ...string) (keys [][]byte) {
		for _, k := range list {
			keys = append(keys, []byte(k))
		}
		return keys
	}
	for _, row := range []struct {
		name string
		keys [][]byte
		want []string
	}{
		{"none", nil, nil},
		{"no separators", keys("a", "b"), nil},
		{"two", keys("a:1", "a:2", "b/1", "c"), []string{"a:", "b/"}},
		{"below what all have", keys("app:a:1", "app:a:2", "app:b:1", "app:b:2", "app:b:3"), []string{"app:b:", "app:a:"}},
		{"one and nothing below", keys("a:1", "a:2", "a:3"), []string{"a:"}},
		{"as deep as it goes", keys("a:b:c:d:e:f:g", "a:b:c:d:e:f:h"), []string{"a:b:c:d:"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			var got []string
			for _, g := range groups(row.keys) {
				got = append(got, string(g.prefix))
			}
			if !slices.Equal(got, row.want) {
				t.Errorf("%q, want %q", got, row.want)
			}
		})
	}
}

// Against a database: the prefixes come in the order of what they take, and estimates are near.
func TestLargestPrefixes(t *testing.T) {
	db, err := ebb.OpenMemory(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	sizes := map[string]int64{}
	var b ebb.Batch
	for i := range 30_000 {
		prefix := []string{"large:", "large:", "large:", "middle/", "middle/", "small|"}[i%6]
		key := fmt.Appendf(nil, "%s%08x", prefix, uint32(i)*2654435761)
		if err := b.Put(key, make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
		sizes[prefix] += int64(len(key)) + 100
	}
	if err := errors.Join(db.Apply(&b), db.Flush()); err != nil {
		t.Fatal(err)
	}
	r, err := largestPrefixes(db)
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, p := range r.Prefixes {
		order = append(order, p.Prefix)
		if off := float64(p.Bytes)/float64(sizes[p.Prefix]) - 1; off > 0.1 || off < -0.1 {
			t.Errorf("%+v, there are %d bytes", p, sizes[p.Prefix])
		}
	}
	if !reflect.DeepEqual(order, []string{"large:", "middle/", "small|"}) {
		t.Errorf("%v", order)
	}
}
