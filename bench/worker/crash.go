package worker

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/ebbdb/ebb/bench/measure"
	"github.com/ebbdb/ebb/bench/store"
	"github.com/ebbdb/ebb/bench/workload"
)

const (
	crashShift = 40 // a crash record's number is its thread's above the thread's own count
	ackShift   = 48

	// AckSize is the length of an acknowledgement, which is written to the pipe in one piece.
	AckSize = 8
)

// DecodeAck returns which thread has had how many writes acknowledged.
func DecodeAck(b []byte) (thread int, acked uint64) {
	n := binary.LittleEndian.Uint64(b)
	return int(n >> ackShift), n & (1<<ackShift - 1)
}

// RunCrash writes, and says so to acks when a write has returned, until it is killed or nobody listens.
func RunCrash(c Config, acks io.Writer) error {
	info, err := store.Lookup(c.Store)
	if err != nil {
		return err
	}
	values, err := workload.NewValues(c.ValueSize, c.Random, c.Seed)
	if err != nil {
		return err
	}
	s, err := info.Open(c.options())
	if err != nil {
		return err
	}
	failed := make([]error, c.Threads)
	var wg sync.WaitGroup
	for thread := range c.Threads {
		wg.Go(func() { failed[thread] = writeAcked(s, values, uint64(thread), acks) })
	}
	wg.Wait()
	return errors.Join(append(failed, s.Close())...)
}

func writeAcked(s store.Store, values *workload.Values, thread uint64, acks io.Writer) error {
	var key, value []byte
	var ack [AckSize]byte
	for n := uint64(0); ; n++ {
		key = workload.AppendKey(key[:0], thread<<crashShift|n)
		value = values.Append(value[:0], key, n, 0)
		if err := s.Put(key, value); err != nil {
			return err
		}
		binary.LittleEndian.PutUint64(ack[:], thread<<ackShift|(n+1))
		if _, err := acks.Write(ack[:]); err != nil {
			return err
		}
	}
}

// Verified opens what a crash has left and looks for every write that was acknowledged.
func Verified(c Config) measure.Run {
	run := measure.Run{Store: c.Store, Group: "crash", Number: c.Run, Crash: &measure.Crash{Disk: measure.Disk(c.Dir)}}
	if err := verify(c, run.Crash); err != nil {
		run.Error = fmt.Sprintf("after kill -9: %v", err)
	}
	return run
}

func verify(c Config, crash *measure.Crash) error {
	info, err := store.Lookup(c.Store)
	if err != nil {
		return err
	}
	values, err := workload.NewValues(c.ValueSize, c.Random, c.Seed)
	if err != nil {
		return err
	}
	crash.Promised = c.Commit || info.Survives
	for _, n := range c.Acked {
		crash.Acknowledged += int64(n)
	}
	start := time.Now()
	s, err := info.Open(c.options())
	if err != nil {
		crash.Lost = crash.Acknowledged
		return err
	}
	var key []byte
	buf := make([]byte, values.Size())
	for thread, acked := range c.Acked {
		for n := range acked {
			key = workload.AppendKey(key[:0], uint64(thread)<<crashShift|n)
			got, err := s.Get(key, buf)
			if crash.OpenTime == 0 {
				crash.OpenTime = time.Since(start).Seconds()
			}
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				return errors.Join(err, s.Close())
			}
			if version, _, ok := values.Check(key, got, true); err != nil || !ok || version != n {
				crash.Lost++
			}
		}
	}
	return s.Close()
}
