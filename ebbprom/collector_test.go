package ebbprom

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ebbdb/ebb"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func open(t *testing.T) *ebb.DB {
	t.Helper()
	db, err := ebb.Open(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// metricCount is how many metrics one database has: the levels are seven.
var metricCount = len(metrics) + 7*len(levelMetrics) + 2*len(placeMetrics)

func TestNamesAndHelp(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(NewCollector(open(t), nil))
	problems, err := testutil.GatherAndLint(registry)
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, %+v", err, problems)
	}
	if n, err := testutil.GatherAndCount(registry); n != metricCount || err != nil {
		t.Errorf("%d metrics, %v, want %d", n, err, metricCount)
	}
}

func TestValues(t *testing.T) {
	db := open(t)
	for i := range 10 {
		if err := db.Put(fmt.Appendf(nil, "key%d", i), make([]byte, 96), ebb.TTL(time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := db.Put([]byte("k"), []byte("v"), ebb.TTL(time.Hour)); err != nil {
		t.Fatal(err)
	}
	c := NewCollector(db, prometheus.Labels{"db": "x"})
	err := testutil.CollectAndCompare(c, strings.NewReader(`
# HELP ebb_deadline_entries Entries with a deadline.
# TYPE ebb_deadline_entries gauge
ebb_deadline_entries{db="x",place="memtables"} 1
ebb_deadline_entries{db="x",place="tables"} 10
# HELP ebb_flushes_total Memtables that have become tables.
# TYPE ebb_flushes_total counter
ebb_flushes_total{db="x"} 1
# HELP ebb_user_bytes_total Bytes of the keys and values of puts.
# TYPE ebb_user_bytes_total counter
ebb_user_bytes_total{db="x"} 1002
# HELP ebb_failed 1 when no write is taken any more.
# TYPE ebb_failed gauge
ebb_failed{db="x"} 0
`), "ebb_deadline_entries", "ebb_flushes_total", "ebb_user_bytes_total", "ebb_failed")
	if err != nil {
		t.Error(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if n := testutil.CollectAndCount(c); n != metricCount {
		t.Errorf("%d metrics of a closed database, want %d", n, metricCount)
	}
}

// Every field of Stats is shown: each gets a value of its own, and there is a metric with that value.
func TestEveryFieldIsShown(t *testing.T) {
	var s ebb.Stats
	want := make(map[float64]string)
	next := int64(1000)
	var fill func(v reflect.Value, name string)
	fill = func(v reflect.Value, name string) {
		next++
		switch {
		case v.Type() == reflect.TypeFor[time.Duration]():
			v.SetInt(next * int64(time.Second))
		case v.Type() == reflect.TypeFor[error]():
			v.Set(reflect.ValueOf(errors.New(name))) // shown as 1, see below
			return
		case v.CanInt():
			v.SetInt(next)
		case v.CanUint():
			v.SetUint(uint64(next))
		case v.Kind() == reflect.Struct:
			for i := range v.NumField() {
				fill(v.Field(i), name+"."+v.Type().Field(i).Name)
			}
			return
		case v.Kind() == reflect.Slice:
			v.Set(reflect.MakeSlice(v.Type(), 2, 2))
			for i := range 2 {
				fill(v.Index(i), fmt.Sprintf("%s[%d]", name, i))
			}
			return
		default:
			t.Fatalf("%s is a %v", name, v.Type())
		}
		want[float64(next)] = name
	}
	fill(reflect.ValueOf(&s).Elem(), "Stats")

	c := NewCollector(open(t), nil).(*collector)
	c.stats = func() ebb.Stats { return s }
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(c)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.Metric {
			delete(want, m.GetGauge().GetValue()+m.GetCounter().GetValue()) // one of them is nil
			switch f.GetName() {
			case "ebb_failed", "ebb_background_failing":
				if m.GetGauge().GetValue() != 1 {
					t.Errorf("%s is %v", f.GetName(), m)
				}
			}
		}
	}
	for _, name := range want {
		t.Errorf("no metric shows %s", name)
	}
}

// Two databases in one registry, scraped while they are written.
func TestTwoDatabases(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	var wg sync.WaitGroup
	for _, name := range []string{"a", "b"} {
		db := open(t)
		registry.MustRegister(NewCollector(db, prometheus.Labels{"db": name}))
		wg.Go(func() {
			for i := range 500 {
				if err := db.Put(fmt.Appendf(nil, "key%d", i), nil, ebb.NoSync); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 20 {
		if n, err := testutil.GatherAndCount(registry); n != 2*metricCount || err != nil {
			t.Errorf("%d metrics, %v", n, err)
		}
	}
	wg.Wait()
}
