// Package ebbprom shows the figures of an ebb database to Prometheus. It is a module of its own, so that who does not need
// it does not download Prometheus.
//
//	registry.MustRegister(ebbprom.NewCollector(db, prometheus.Labels{"db": "sessions"}))
//
// Every scrape is one call of DB.Stats, whose fields the metrics follow and which says what they mean. What events tell
// belongs into counters and logs of the application's own: see Options.OnEvent.
package ebbprom
