package measure

import "time"

// Sampler looks at a directory and the process while a phase runs.
type Sampler struct {
	stop, stopped chan struct{}
	samples       []Sample
}

// StartSampler begins to look, once a period.
func StartSampler(dir string, every time.Duration) *Sampler {
	s := &Sampler{stop: make(chan struct{}), stopped: make(chan struct{})}
	go s.run(dir, every)
	return s
}

func (s *Sampler) run(dir string, every time.Duration) {
	defer close(s.stopped)
	start := time.Now()
	tick := time.NewTicker(every)
	defer tick.Stop()
	look := func() {
		s.samples = append(s.samples, Sample{time.Since(start).Seconds(), Disk(dir), RSS()})
	}
	look()
	for {
		select {
		case <-s.stop:
			look()
			return
		case <-tick.C:
			look()
		}
	}
}

// Stop returns what was seen, a look at the end included.
func (s *Sampler) Stop() []Sample {
	close(s.stop)
	<-s.stopped
	return s.samples
}
