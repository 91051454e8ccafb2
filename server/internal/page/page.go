package page

import (
	"embed"
	"encoding/json"
	"io/fs"
	"net/http"
	"time"

	"github.com/ebbdb/ebb"
	"github.com/ebbdb/ebb/server/resp"
)

//go:embed assets
var assets embed.FS

// Database is what the page asks a database: an *ebb.DB, or what does as it does.
type Database interface {
	Stats() ebb.Stats
	EstimateCount(*ebb.IterOptions) (int, error)
	EstimateSize(*ebb.IterOptions) (int64, error)
	EstimateExpiring(within ...time.Duration) ([]ebb.Expiring, error)
	SplitKeys(o *ebb.IterOptions, n int) ([][]byte, error)
}

// Server is what the page asks a server: a *resp.Server.
type Server interface {
	Stats() resp.Stats
	SlowLog(n int) []resp.SlowEntry
}

// About is what does not change.
type About struct {
	Version    string `json:"version"`
	Dir        string `json:"dir"`
	Listen     string `json:"listen"`
	Sync       string `json:"sync"`
	Memory     int64  `json:"memory"`
	MaxClients int    `json:"max_clients"`
}

// Page serves the document and its figures. It is an http.Handler for GET and HEAD, and may be used from any goroutine.
type Page struct {
	about    About
	clock    func() time.Time
	current  func() (state string, db Database, srv Server)
	prefixes cached[prefixReport]
	expiring cached[expiringReport]
	entries  cached[int]
	mux      *http.ServeMux
}

// New returns a page. current returns what state the process is in, and what it serves: nil while the database is being opened,
// and after it was closed.
func New(about About, clock func() time.Time, current func() (state string, db Database, srv Server)) *Page {
	p := &Page{about: about, clock: clock, current: current, mux: http.NewServeMux()}
	p.prefixes.keep, p.expiring.keep, p.entries.keep = 5*time.Second, time.Second, 5*time.Second
	sub, err := fs.Sub(assets, "assets")
	if err != nil { // only if the name is not valid
		sub = assets
	}
	p.mux.Handle("GET /", headers(http.FileServerFS(sub)))
	p.mux.HandleFunc("GET /live.json", p.serveLive)
	p.mux.HandleFunc("GET /expiring.json", p.serveExpiring)
	p.mux.HandleFunc("GET /prefixes.json", p.servePrefixes)
	return p
}

func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) { p.mux.ServeHTTP(w, r) }

// policy lets the document load its own script, style and figures, and nothing else from anywhere.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; " +
	"form-action 'none'; frame-ancestors 'none'"

func setHeaders(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}

func headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		setHeaders(w)
		next.ServeHTTP(w, r)
	})
}

// reply writes figures, or why there are none.
func reply(w http.ResponseWriter, v any, err error) {
	setHeaders(w)
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	if err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		v = map[string]string{"error": err.Error()}
	}
	_ = json.NewEncoder(w).Encode(v) // it fails if the browser has gone
}
