package main

import (
	"context"
	"io"
)

// inputReader reads a stream that may never end, such as a terminal, until ctx is done. A read that has begun by then stays
// behind, in a process that is about to end.
type inputReader struct {
	ctx   context.Context
	r     io.Reader
	reads chan read // of the one that is under way; nil if none is
	rest  []byte    // of what was read, not handed out yet
	err   error     // that came with it
}

type read struct {
	data []byte
	err  error
}

// Read implements io.Reader.
func (in *inputReader) Read(p []byte) (int, error) {
	if len(in.rest) == 0 && in.err == nil {
		in.wait()
	}
	n := copy(p, in.rest)
	in.rest = in.rest[n:]
	if n == 0 {
		return 0, in.err
	}
	return n, nil
}

// wait waits for more, or for the end of ctx.
func (in *inputReader) wait() {
	if in.reads == nil {
		in.reads = make(chan read, 1)
		reads := in.reads
		go func() {
			buf := make([]byte, 64<<10)
			n, err := in.r.Read(buf)
			reads <- read{buf[:n], err}
		}()
	}
	select {
	case r := <-in.reads:
		in.rest, in.err, in.reads = r.data, r.err, nil
	case <-in.ctx.Done():
		in.err = context.Cause(in.ctx)
	}
}
