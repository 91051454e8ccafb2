package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"github.com/ebbdb/ebb/bench/measure"
	"github.com/ebbdb/ebb/bench/worker"
)

// command returns a process of this same program.
func command(ctx context.Context, c worker.Config) (*exec.Cmd, *bytes.Buffer, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	arg, err := json.Marshal(c)
	if err != nil {
		return nil, nil, err
	}
	cmd := exec.CommandContext(ctx, self, workerArg, string(arg))
	said := new(bytes.Buffer)
	cmd.Stderr = said
	return cmd, said, nil
}

// spawn runs a process to its end, and returns what it measured.
func (p *plan) spawn(ctx context.Context, c worker.Config) measure.Run {
	run := measure.Run{Store: c.Store, Group: c.Group, Number: c.Run}
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	cmd, said, err := command(ctx, c)
	if err != nil {
		run.Error = err.Error()
		return run
	}
	out, err := cmd.Output()
	if err == nil {
		err = json.Unmarshal(out, &run)
	}
	if err != nil {
		run.Error = failure(ctx, err, said)
	}
	return run
}

// failure says why a process failed, with what it said last.
func failure(ctx context.Context, err error, said *bytes.Buffer) string {
	const last = 2000
	text := said.Bytes()
	if len(text) > last {
		text = text[len(text)-last:]
	}
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return fmt.Sprintf("%v: %s", err, bytes.TrimSpace(text))
}

// crash runs a process that writes, kills it when it has written for a phase's time or all the records, and runs another that
// looks for what had been acknowledged.
func (p *plan) crash(ctx context.Context, c worker.Config) measure.Run {
	c.Mode = worker.Crash
	acked, err := p.kill(ctx, c)
	if err != nil {
		return measure.Run{Store: c.Store, Group: c.Group, Number: c.Run, Error: err.Error()}
	}
	c.Mode, c.Acked = worker.Verify, acked
	return p.spawn(ctx, c)
}

// kill returns how many writes each thread of a process had acknowledged when it was killed.
func (p *plan) kill(ctx context.Context, c worker.Config) ([]uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	cmd, said, err := command(ctx, c)
	if err != nil {
		return nil, err
	}
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	acked := make([]uint64, c.Threads)
	total, killed := uint64(0), false
	kill := func() {
		killed = true
		_ = cmd.Process.Kill() // or it has ended by itself, which Wait tells
	}
	var end time.Time
	// What is still in the pipe after the kill has been acknowledged as well.
	for buf := make([]byte, 512*worker.AckSize); ; {
		n, err := io.ReadAtLeast(pipe, buf, worker.AckSize)
		if err != nil {
			break
		}
		for n%worker.AckSize != 0 { // a read may end within one
			m, err := pipe.Read(buf[n : n+worker.AckSize-n%worker.AckSize])
			if err != nil {
				break
			}
			n += m
		}
		if end.IsZero() {
			end = time.Now().Add(c.Duration)
		}
		for at := 0; at+worker.AckSize <= n; at += worker.AckSize {
			thread, count := worker.DecodeAck(buf[at:])
			acked[thread] = max(acked[thread], count)
			total++
		}
		if !killed && (total >= c.Records || time.Now().After(end)) {
			kill()
		}
	}
	if err := cmd.Wait(); !killed {
		return nil, fmt.Errorf("ended before it was killed: %s", failure(ctx, err, said))
	}
	return acked, nil
}
