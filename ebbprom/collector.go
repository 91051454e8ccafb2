package ebbprom

import (
	"strconv"
	"time"

	"github.com/ebbdb/ebb"
	"github.com/prometheus/client_golang/prometheus"
)

// NewCollector returns a collector for a database. Each of its metrics has the labels, which tell the databases of one
// registry apart; nil will do for a single one. Take the collector out of its registry when the database is closed. Its
// methods may be called from any goroutine.
func NewCollector(db *ebb.DB, labels prometheus.Labels) prometheus.Collector {
	c := &collector{stats: db.Stats}
	for _, m := range metrics {
		c.metrics = append(c.metrics, bound{m, prometheus.NewDesc("ebb_"+m.name, m.help, nil, labels)})
	}
	for _, m := range levelMetrics {
		c.levels = append(c.levels, boundLevel{m, prometheus.NewDesc("ebb_level_"+m.name, m.help, []string{"level"}, labels)})
	}
	for _, m := range placeMetrics {
		c.places = append(c.places, boundPlace{m, prometheus.NewDesc("ebb_"+m.name, m.help, []string{"place"}, labels)})
	}
	return c
}

type collector struct {
	stats   func() ebb.Stats
	metrics []bound
	levels  []boundLevel
	places  []boundPlace
}

type bound struct {
	metric
	desc *prometheus.Desc
}

type boundLevel struct {
	levelMetric
	desc *prometheus.Desc
}

type boundPlace struct {
	placeMetric
	desc *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(descs chan<- *prometheus.Desc) {
	for _, m := range c.metrics {
		descs <- m.desc
	}
	for _, m := range c.levels {
		descs <- m.desc
	}
	for _, m := range c.places {
		descs <- m.desc
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	s := c.stats()
	for _, m := range c.metrics {
		out <- prometheus.MustNewConstMetric(m.desc, m.kind, m.value(&s))
	}
	for _, m := range c.levels {
		for level := range s.Levels {
			out <- prometheus.MustNewConstMetric(m.desc, prometheus.GaugeValue, m.value(&s.Levels[level]), strconv.Itoa(level))
		}
	}
	for _, m := range c.places {
		tables, memtables := m.values(&s)
		out <- prometheus.MustNewConstMetric(m.desc, prometheus.GaugeValue, tables, "tables")
		out <- prometheus.MustNewConstMetric(m.desc, prometheus.GaugeValue, memtables, "memtables")
	}
}

func seconds(d time.Duration) float64 { return d.Seconds() }

func flag(err error) float64 {
	if err != nil {
		return 1
	}
	return 0
}
