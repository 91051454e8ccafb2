package ops

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/ebbdb/ebb/server/resp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// fake is a server with fixed figures.
type fake struct{ stats resp.Stats }

func (f fake) Stats() resp.Stats { return f.stats }

func (f fake) SlowLog(int) []resp.SlowEntry { return []resp.SlowEntry{{ID: 6}} }

func handler(o Options) http.Handler {
	o.Registry = prometheus.NewRegistry()
	o.Registry.MustRegister(NewCollector(fake{resp.Stats{Commands: 7}}))
	o.Page = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "the page") })
	well := func() error { return nil }
	if o.Health == nil {
		o.Health = well
	}
	if o.Ready == nil {
		o.Ready = well
	}
	return NewHandler(o)
}

func secret() string { return "secret" }

// Who may see what.
func TestAuthentication(t *testing.T) {
	certified := &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{nil}}}
	for _, row := range []struct {
		name     string
		o        Options
		path     string
		host     string
		password string
		tls      *tls.ConnectionState
		want     int
	}{
		{"open", Options{}, "/", "127.0.0.1:9379", "", nil, 200},
		{"open, by name", Options{}, "/", "localhost", "", nil, 200},
		{"open, IPv6", Options{}, "/metrics", "[::1]:9379", "", nil, 200},
		{"open, another's name", Options{}, "/metrics", "evil.example:9379", "", nil, 403},
		{"open to all, another's name", Options{AnyHost: true}, "/metrics", "db.example:9379", "", nil, 200},
		{"open, a probe by any name", Options{}, "/readyz", "evil.example", "", nil, 200},
		{"no password", Options{Password: secret}, "/", "db.example", "", nil, 401},
		{"wrong password", Options{Password: secret}, "/metrics", "db.example", "secret2", nil, 401},
		{"password", Options{Password: secret}, "/metrics", "db.example", "secret", nil, 200},
		{"password on the page", Options{Password: secret}, "/live.json", "db.example", "secret", nil, 200},
		{"a probe without", Options{Password: secret}, "/healthz", "db.example", "", nil, 200},
		{"profiles without", Options{Password: secret, Pprof: true}, "/debug/pprof/", "x", "", nil, 401},
		{"profiles", Options{Password: secret, Pprof: true}, "/debug/pprof/", "x", "secret", nil, 200},
		{"no certificate", Options{Certificates: true}, "/", "db.example", "", &tls.ConnectionState{}, 403},
		{"a certificate", Options{Certificates: true}, "/", "db.example", "", certified, 200},
		{"a certificate in place of a password", Options{Certificates: true, Password: secret}, "/", "x", "", certified, 200},
		{"a certificate that nobody asked for", Options{Password: secret}, "/", "x", "", certified, 401},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := httptest.NewRequest("GET", row.path, nil)
			r.Host, r.TLS = row.host, row.tls
			if row.password != "" {
				r.SetBasicAuth("anyone", row.password)
			}
			w := httptest.NewRecorder()
			handler(row.o).ServeHTTP(w, r)
			if w.Code != row.want || strings.Contains(w.Body.String(), "secret") {
				t.Errorf("%d %s, want %d", w.Code, w.Body, row.want)
			}
			if (w.Code == 401) != (w.Header().Get("WWW-Authenticate") != "") {
				t.Errorf("WWW-Authenticate: %q", w.Header().Get("WWW-Authenticate"))
			}
		})
	}
	w := httptest.NewRecorder()
	handler(Options{}).ServeHTTP(w, httptest.NewRequest("GET", "http://localhost/debug/pprof/heap", nil))
	if !strings.Contains(w.Body.String(), "the page") {
		t.Errorf("profiles that nobody asked for: %s", w.Body)
	}
	w = httptest.NewRecorder()
	handler(Options{}).ServeHTTP(w, httptest.NewRequest("POST", "http://localhost/metrics", nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", w.Code)
	}
}

func TestProbes(t *testing.T) {
	h := handler(Options{Health: func() error { return errors.New("ill") }, Ready: func() error { return errors.New("opening") }})
	for path, want := range map[string]string{"/healthz": "ill\n", "/readyz": "opening\n"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != 503 || w.Body.String() != want {
			t.Errorf("%s: %d %q", path, w.Code, w.Body)
		}
	}
}

// Every figure of Stats is shown, under a name that Prometheus likes: each gets a value of its own.
func TestEveryFigureIsShown(t *testing.T) {
	var s resp.Stats
	want := make(map[float64]string)
	v := reflect.ValueOf(&s).Elem()
	for i := range v.NumField() {
		f, n := v.Field(i), int64(1000+i)
		switch {
		case f.CanInt():
			f.SetInt(n)
		case f.CanUint():
			f.SetUint(uint64(n))
		default:
			continue // Started and PerCommand, below
		}
		if name := v.Type().Field(i).Name; name != "SlowLog" { // its length; what was slow is counted
			want[float64(n)] = name
		}
	}
	s.Started = time.Unix(77, 0)
	c := resp.CommandStats{Name: "get", Calls: 6, Failed: 2, Rejected: 3, Total: 5 * time.Second}
	c.Latency[0], c.Latency[1], c.Latency[len(c.Latency)-1] = 1, 2, 3
	s.PerCommand = []resp.CommandStats{c}

	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(NewCollector(fake{s}))
	if problems, err := testutil.GatherAndLint(registry); err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.Metric {
			delete(want, m.GetGauge().GetValue()+m.GetCounter().GetValue())
			if h := m.GetHistogram(); h != nil && (h.GetSampleCount() != 6 || h.GetSampleSum() != 5 || h.Bucket[1].GetCumulativeCount() != 3) {
				t.Errorf("%v", h)
			}
		}
	}
	for _, name := range want {
		t.Errorf("no metric shows %s", name)
	}
	err = testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP ebbd_slow_commands_total Commands that took longer than slowlog-slower-than.
# TYPE ebbd_slow_commands_total counter
ebbd_slow_commands_total 7
# HELP ebbd_start_time_seconds When the server was started, Unix time.
# TYPE ebbd_start_time_seconds gauge
ebbd_start_time_seconds 77
# HELP ebbd_command_rejections_total Commands that were not run: wrong arguments, or not authenticated.
# TYPE ebbd_command_rejections_total counter
ebbd_command_rejections_total{command="get"} 3
`), "ebbd_slow_commands_total", "ebbd_start_time_seconds", "ebbd_command_rejections_total")
	if err != nil {
		t.Error(err)
	}
}
