package ops

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Options are what a handler serves, and to whom.
type Options struct {
	// Password returns what Basic authentication has to say, with any name; empty: nobody is asked for one. Nil: nobody ever is.
	Password func() string
	// Certificates says that a verified certificate of the client is needed where there is no password, and does in its place.
	Certificates bool
	// AnyHost answers to requests by whatever name, also where nobody is asked who they are.
	AnyHost bool
	// Health returns nil while the process is worth keeping, Ready nil while it serves: else why not.
	Health, Ready func() error
	Registry      *prometheus.Registry
	Page          http.Handler
	Pprof         bool
}

// NewHandler returns a handler. /healthz and /readyz say no more than how the process is, and are open to all who reach it.
func NewHandler(o Options) http.Handler {
	inside := http.NewServeMux()
	inside.Handle("GET /metrics", promhttp.HandlerFor(o.Registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
	inside.Handle("GET /", o.Page)
	if o.Pprof {
		inside.HandleFunc("GET /debug/pprof/", pprof.Index)
		inside.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		inside.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
		inside.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	outside := http.NewServeMux()
	outside.Handle("GET /healthz", probe(o.Health))
	outside.Handle("GET /readyz", probe(o.Ready))
	outside.Handle("/", o.guard(inside))
	return outside
}

func probe(of func() error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		if err := of(); err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprintln(w, err)
			return
		}
		fmt.Fprintln(w, "ok")
	})
}

// guard lets through who may see figures.
func (o *Options) guard(next http.Handler) http.Handler {
	password := o.Password
	if password == nil {
		password = func() string { return "" }
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		want := password()
		certified := o.Certificates && r.TLS != nil && len(r.TLS.VerifiedChains) > 0
		switch {
		case certified:
		case want != "":
			if _, got, _ := r.BasicAuth(); !same(got, want) {
				w.Header().Set("WWW-Authenticate", `Basic realm="ebbd", charset="UTF-8"`)
				http.Error(w, "the password is that of AUTH, the name does not matter", http.StatusUnauthorized)
				return
			}
		case o.Certificates:
			http.Error(w, "a certificate of the client is needed", http.StatusForbidden)
			return
		case !o.AnyHost && !plainHost(r.Host):
			// Without authentication a page from elsewhere could give this address a name of its own, and read the figures in
			// its visitor's browser.
			http.Error(w, "ask by address or as localhost: without a password other names are refused", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// same compares in a time that tells nothing, not even the length.
func same(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// plainHost reports whether a request was sent to an address, or to localhost.
func plainHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if n := len(host); n > 2 && host[0] == '[' && host[n-1] == ']' {
		host = host[1 : n-1]
	}
	return host == "localhost" || net.ParseIP(host) != nil
}
