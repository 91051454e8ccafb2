// Package profile writes the profiles of a phase.
package profile

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"runtime/trace"
	"sync"
	"time"
)

const (
	// traceFor bounds the execution trace, which grows by tens of megabytes a second.
	traceFor = 2 * time.Second
	// mutexFraction is one in how many contended locks is looked at.
	mutexFraction = 100
)

// Profiles are being taken. Stop them.
type Profiles struct {
	dir, name  string
	cpu, trace *os.File
	timer      *time.Timer
	stopTrace  func() error
}

// Start begins to profile a phase into files dir/name.{cpu,heap,mutex,trace}: the processor and contended locks for all of it,
// allocation up to its end, and an execution trace of its first two seconds.
func Start(dir, name string) (*Profiles, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	p := &Profiles{dir: dir, name: name}
	var err error
	if p.cpu, err = p.create("cpu"); err != nil {
		return nil, err
	}
	if p.trace, err = p.create("trace"); err != nil {
		return nil, errors.Join(err, p.cpu.Close())
	}
	if err := pprof.StartCPUProfile(p.cpu); err != nil {
		return nil, errors.Join(err, p.cpu.Close(), p.trace.Close())
	}
	if err := trace.Start(p.trace); err != nil {
		pprof.StopCPUProfile()
		return nil, errors.Join(err, p.cpu.Close(), p.trace.Close())
	}
	p.stopTrace = sync.OnceValue(func() error {
		trace.Stop()
		return p.trace.Close()
	})
	p.timer = time.AfterFunc(traceFor, func() { _ = p.stopTrace() }) // Stop returns its error
	runtime.SetMutexProfileFraction(mutexFraction)
	return p, nil
}

// Stop ends the profiles and writes what is left of them.
func (p *Profiles) Stop() error {
	p.timer.Stop()
	pprof.StopCPUProfile()
	err := errors.Join(p.stopTrace(), p.cpu.Close(), p.write("heap"), p.write("mutex"))
	runtime.SetMutexProfileFraction(0)
	return err
}

func (p *Profiles) write(kind string) error {
	f, err := p.create(kind)
	if err != nil {
		return err
	}
	return errors.Join(pprof.Lookup(kind).WriteTo(f, 0), f.Close())
}

func (p *Profiles) create(kind string) (*os.File, error) {
	return os.Create(filepath.Join(p.dir, p.name+"."+kind))
}
