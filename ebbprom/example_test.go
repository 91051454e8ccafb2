package ebbprom_test

import (
	"fmt"
	"log"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/ebbdb/ebb"
	"github.com/ebbdb/ebb/ebbprom"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

func ExampleNewCollector() {
	dir, err := os.MkdirTemp("", "ebb")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	db, err := ebb.Open(dir, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	if err := db.Put([]byte("key"), []byte("value")); err != nil {
		log.Fatal(err)
	}

	registry := prometheus.NewRegistry()
	registry.MustRegister(ebbprom.NewCollector(db, prometheus.Labels{"db": "sessions"}))
	handler := promhttp.HandlerFor(registry, promhttp.HandlerOpts{}) // for /metrics

	scrape := httptest.NewRecorder()
	handler.ServeHTTP(scrape, httptest.NewRequest("GET", "/metrics", nil))
	for line := range strings.Lines(scrape.Body.String()) {
		if strings.HasPrefix(line, "ebb_user_bytes_total") {
			fmt.Print(line)
		}
	}
	// Output: ebb_user_bytes_total{db="sessions"} 8
}
