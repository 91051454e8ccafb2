package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/ebbdb/ebb"
	"github.com/ebbdb/ebb/ebbprom"
	"github.com/ebbdb/ebb/server/internal/config"
	"github.com/ebbdb/ebb/server/internal/ops"
	"github.com/ebbdb/ebb/server/internal/page"
	"github.com/ebbdb/ebb/server/resp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// daemon is one run of ebbd.
type daemon struct {
	config *config.Config
	log    *slog.Logger
	tls    *config.TLS // nil: none
	notify func(state string)

	clients, figures net.Listener // figures is nil without -metrics
	http             *http.Server
	registry         *prometheus.Registry
	draining         atomic.Bool

	mu      sync.Mutex
	serving *serving // nil before the database is open and when it was closed; guarded by mu
}

// serving is what there is while the database is open.
type serving struct {
	db  *ebb.DB
	srv *resp.Server
}

// serve serves until a signal, or until it fails.
//
//  1. Certificates are read and both addresses taken: what is wrong with these changes nothing.
//  2. HTTP answers from here on, /readyz with why not yet.
//  3. The database is opened: that may take as long as the log is to read.
//  4. Clients are served, those first that have waited, and systemd is told.
//  5. A signal ends that: see stop.
func serve(p process, c *config.Config) error {
	d := &daemon{config: c, log: newLogger(p, c), registry: prometheus.NewRegistry()}
	socket := lookup(p.environ, "NOTIFY_SOCKET")
	d.notify = func(state string) {
		if err := notify(socket, state); err != nil {
			d.log.Warn("systemd was not told", "state", state, "err", err)
		}
	}
	for _, w := range c.Warnings() {
		d.log.Warn(w)
	}
	if err := d.listen(); err != nil {
		return err
	}
	stopHTTP := d.serveHTTP()
	of, err := d.open(p.signals)
	if of == nil {
		err = errors.Join(err, d.clients.Close())
	} else {
		err = d.serveClients(of, p.signals)
	}
	if errors.Is(err, errSecondSignal) {
		return err
	}
	stopHTTP()
	if err == nil {
		d.log.Info("ended")
	}
	return err
}

func lookup(environ []string, name string) string {
	for _, line := range environ {
		if value, ok := strings.CutPrefix(line, name+"="); ok {
			return value
		}
	}
	return ""
}

// listen reads the certificates and takes the addresses.
func (d *daemon) listen() (err error) {
	if err := checkDir(d.config); err != nil {
		return err
	}
	if d.tls, err = d.config.TLS(); err != nil {
		return err
	}
	if d.clients, err = net.Listen("tcp", d.config.Listen); err != nil {
		return fmt.Errorf("address for clients: %w", err)
	}
	if d.config.Metrics == "" {
		return nil
	}
	if d.figures, err = net.Listen("tcp", d.config.Metrics); err != nil {
		return errors.Join(fmt.Errorf("address for metrics: %w", err), d.clients.Close())
	}
	return nil
}

// open opens the database and makes a server for it. A signal meanwhile is heeded when that is done, the next one at once; then
// there is neither a server nor an error.
func (d *daemon) open(signals <-chan os.Signal) (*serving, error) {
	type opened struct {
		of  *serving
		err error
	}
	began, done := time.Now(), make(chan opened, 1)
	go func() {
		of, err := d.makeServer()
		done <- opened{of, err}
	}()
	ending := false
	for {
		select {
		case s := <-signals:
			if s == syscall.SIGHUP {
				continue
			}
			if ending {
				return nil, errSecondSignal
			}
			ending = true
			d.draining.Store(true)
			d.log.Info("ending when the database is open", "signal", s.String())
		case o := <-done:
			if o.err == nil {
				d.log.Info("database is open", "dir", d.config.Dir, "took", time.Since(began).Round(time.Millisecond))
			}
			if o.err != nil || !ending {
				return o.of, o.err
			}
			return nil, d.closeDB(o.of)
		}
	}
}

func (d *daemon) makeServer() (*serving, error) {
	db, err := ebb.Open(d.config.Dir, d.config.Database(d.log))
	if err != nil {
		return nil, err
	}
	o := d.config.Server(d.log, d.clients.Addr())
	if d.tls != nil {
		o.TLSConfig = d.tls.Strict()
	}
	srv, err := resp.NewServer(resp.NewStore(db), o)
	if err == nil {
		err = errors.Join(d.registry.Register(ebbprom.NewCollector(db, nil)), d.registry.Register(ops.NewCollector(srv)))
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	of := &serving{db, srv}
	d.mu.Lock()
	d.serving = of
	d.mu.Unlock()
	return of, nil
}

// serveClients serves clients until a signal, or until accepting fails, and closes the database.
func (d *daemon) serveClients(of *serving, signals <-chan os.Signal) error {
	ended := make(chan error, 1)
	go func() { ended <- of.srv.Serve(d.clients) }()
	d.log.Info("serving", "listen", d.clients.Addr().String(), "tls", d.tls != nil, "password", d.config.Password != "")
	d.notify("READY=1")
	for {
		select {
		case err := <-ended:
			return errors.Join(err, d.stop(of, signals))
		case s := <-signals:
			if s == syscall.SIGHUP {
				d.reload()
				continue
			}
			d.draining.Store(true) // before the message: who reads that finds it so
			d.log.Info("ending", "signal", s.String())
			return d.stop(of, signals)
		}
	}
}

// reload reads the certificate again.
func (d *daemon) reload() {
	if d.tls == nil {
		d.log.Info("nothing to read again: there is no certificate")
	} else if err := d.tls.Reload(); err != nil {
		d.log.Error("the certificate stays as it was", "err", err)
	} else {
		d.log.Info("the certificate was read again")
	}
}

var errSecondSignal = errors.New("ended at once by a second signal: the next start reads the log")

// stop ends in order.
//
//  1. /readyz says no, and systemd knows.
//  2. No connection is taken any more; clients get the replies to what they have sent, those that do not take them in time are
//     closed.
//  3. The database is closed: what was not synced is. A crash before that leaves what sync promises.
//
// A second signal meanwhile ends the process where it is, which is such a crash.
func (d *daemon) stop(of *serving, signals <-chan os.Signal) error {
	d.draining.Store(true)
	d.notify("STOPPING=1")
	done := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), d.config.Drain)
		defer cancel()
		if err := of.srv.Shutdown(ctx); err != nil {
			d.log.Warn("clients were closed that had not ended", "after", d.config.Drain)
		}
		done <- d.closeDB(of)
	}()
	for {
		select {
		case err := <-done:
			return err
		case s := <-signals:
			if s != syscall.SIGHUP {
				return errSecondSignal
			}
		}
	}
}

// closeDB closes the database, which HTTP does not see any more.
func (d *daemon) closeDB(of *serving) error {
	d.mu.Lock()
	d.serving = nil
	d.mu.Unlock()
	return of.db.Close()
}

// current returns what HTTP shows.
func (d *daemon) current() (state string, db page.Database, srv page.Server) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.draining.Load():
		state = "draining"
	case d.serving == nil:
		return "opening", nil, nil
	default:
		state = "serving"
	}
	if d.serving == nil {
		return state, nil, nil
	}
	return state, d.serving.db, d.serving.srv
}

// password is what HTTP asks for: the password of AUTH, also after CONFIG SET. Where that took it away, the one of the start is
// still asked for: the address may have been allowed because of it.
func (d *daemon) password() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.serving != nil {
		return cmp.Or(d.serving.srv.Password(), d.config.Password)
	}
	return d.config.Password
}

// ready says why clients are not served.
func (d *daemon) ready() error {
	state, db, _ := d.current()
	if state != "serving" {
		return errors.New(state)
	}
	return failure(db)
}

// healthy says why the process should be started again.
func (d *daemon) healthy() error {
	_, db, _ := d.current()
	if db == nil {
		return nil
	}
	return failure(db)
}

func failure(db page.Database) error {
	if err := db.Stats().Failure; err != nil {
		return fmt.Errorf("no write is taken any more: %w", err)
	}
	return nil
}

const (
	headerTime = 5 * time.Second  // for the head of a request
	httpIdle   = 2 * time.Minute  // for the next one of a connection
	httpEnd    = 2 * time.Second  // for requests that are under way when the process ends
	headerSize = 16 << 10         // bytes
	writeTime  = 90 * time.Second // for a reply: a profile takes 30 s unless it is told otherwise
)

// serveHTTP serves figures, if there is an address for them, and returns what ends that.
func (d *daemon) serveHTTP() (stop func()) {
	if d.figures == nil {
		return func() {}
	}
	d.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	c := d.config
	about := page.About{Version: version(), Dir: c.Dir, Listen: d.clients.Addr().String(), Sync: c.SyncName(), Memory: c.Memory,
		MaxClients: c.MaxClients}
	d.http = &http.Server{
		Handler: ops.NewHandler(ops.Options{Password: d.password, Certificates: d.tls.AsksClients(), AnyHost: c.Insecure, Health: d.healthy, Ready: d.ready,
			Registry: d.registry, Page: page.New(about, time.Now, d.current), Pprof: c.Pprof}),
		ReadHeaderTimeout: headerTime, ReadTimeout: headerTime, WriteTimeout: writeTime, IdleTimeout: httpIdle, MaxHeaderBytes: headerSize,
		ErrorLog: slog.NewLogLogger(d.log.Handler(), slog.LevelDebug),
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		var err error
		if d.tls != nil {
			d.http.TLSConfig = d.tls.Lenient()
			err = d.http.ServeTLS(d.figures, "", "")
		} else {
			err = d.http.Serve(d.figures)
		}
		if !errors.Is(err, http.ErrServerClosed) {
			d.log.Error("metrics are not served any more", "err", err)
		}
	}()
	d.log.Info("metrics", "address", d.figures.Addr().String())
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), httpEnd)
		defer cancel()
		if d.http.Shutdown(ctx) != nil {
			_ = d.http.Close()
		}
		<-ended
	}
}
