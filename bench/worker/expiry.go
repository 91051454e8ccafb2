package worker

import (
	"errors"
	"fmt"
	"time"

	"github.com/ebbdb/ebb/bench/measure"
	"github.com/ebbdb/ebb/bench/workload"
)

// ttl runs the churn: until as many records expire as are written, then for as long as is measured, and then it waits until
// everything has expired and looks at what is left.
func (r *runner) ttl() error {
	s, e, err := r.info.OpenExpiring(r.config.options())
	if err != nil {
		return err
	}
	r.store = s
	clients := make([]client, r.config.Threads)
	for i := range clients {
		clients[i] = newTTLClient(r, s, e, i)
	}
	live := func() (n int64) {
		for _, c := range clients {
			n += c.(*ttlClient).live()
		}
		return n * int64(workload.KeySize+r.values.Size())
	}
	err = r.measured("ttl-warm", clients, limits{duration: r.config.TTLMax}, live)
	if err == nil {
		err = r.measured("ttl", clients, r.limits(), live)
	}
	if err == nil {
		err = r.expire(clients)
	}
	for i := range r.run.Phases {
		if p := &r.run.Phases[i]; p.Name != "ttl" {
			p.Aside = true
		}
	}
	return errors.Join(err, r.close())
}

func (r *runner) expire(clients []client) error {
	var last time.Time
	for _, c := range clients {
		if d := c.(*ttlClient).lastDeadline(); d.After(last) {
			last = d
		}
	}
	before := measure.Used()
	sampler := measure.StartSampler(r.config.Dir, r.samplePeriod())
	time.Sleep(time.Until(last.Add(r.config.Linger)))
	samples := sampler.Stop()
	expiry := &measure.Expiry{
		Linger: r.config.Linger.Seconds(),
		Held:   samples[len(samples)-1].Disk,
		CPU:    measure.Used().Since(before).CPU,
	}
	err := r.store.Scan([]byte("a"), int(r.config.Records)+1, func(_, _ []byte) bool {
		expiry.Visible++
		return true
	})
	phase := measure.Phase{Name: "expiry", Samples: samples, Disk: expiry.Held, Seconds: samples[len(samples)-1].At}
	if expiry.Visible > 0 {
		phase.Wrong = expiry.Visible
		phase.FirstWrong = fmt.Sprintf("a scan shows %d keys %v after the last deadline", expiry.Visible, r.config.Linger)
	}
	r.run.Phases = append(r.run.Phases, phase)
	for _, p := range r.run.Phases {
		for _, s := range p.Samples {
			expiry.Peak = max(expiry.Peak, s.Disk)
		}
	}
	r.run.Expiry = expiry
	return err
}
