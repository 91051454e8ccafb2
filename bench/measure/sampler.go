package measure

import "time"

// Sampler looks at a directory and the process while a phase runs.
type Sampler struct {
	stop, stopped chan struct{}
	samples       []Sample
	anon, file    int64 // the most of each
}

// memoryEvery is how often the memory is looked at: the system keeps the peak of the whole only, not those of its parts.
const memoryEvery = 20 * time.Millisecond

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
	memory := time.NewTicker(memoryEvery)
	defer memory.Stop()
	lookAtMemory := func() {
		anon, file := Resident()
		s.anon, s.file = max(s.anon, anon), max(s.file, file)
	}
	look := func() {
		lookAtMemory()
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
		case <-memory.C:
			lookAtMemory()
		}
	}
}

// Stop returns what was seen, a look at the end included.
func (s *Sampler) Stop() []Sample {
	close(s.stop)
	<-s.stopped
	return s.samples
}

// Peaks returns the most of its own memory and of mapped files that the process had at any look, in bytes; 0 where the system
// does not tell. The sampler has been stopped.
func (s *Sampler) Peaks() (anon, file int64) { return s.anon, s.file }

// Most returns the largest disk of samples, in bytes.
func Most(samples []Sample) (disk int64) {
	for _, s := range samples {
		disk = max(disk, s.Disk)
	}
	return disk
}
