package copies

import (
	"context"
	"io"
)

// Patient reads from a reader that may block, until a context is done. A read that is under way then is left to end by
// itself; it has memory of its own, and the bytes that it reads are lost.
type Patient struct {
	ctx  context.Context
	from io.Reader
	buf  []byte
	rest []byte // the part of buf that was read and not handed on
	err  error  // the error that the last read has returned
	done chan read
}

// read is the result of one call of Read.
type read struct {
	n   int
	err error
}

// NewPatient returns a Patient that reads from r until ctx is done.
func NewPatient(ctx context.Context, r io.Reader) *Patient {
	return &Patient{ctx: ctx, from: r, buf: make([]byte, 64<<10), done: make(chan read, 1)}
}

// Read implements io.Reader. Once Read has returned the context's error, it may not be called again.
func (r *Patient) Read(p []byte) (int, error) {
	if len(r.rest) == 0 && r.err == nil {
		go func() {
			n, err := r.from.Read(r.buf)
			r.done <- read{n, err}
		}()
		select {
		case <-r.ctx.Done():
			r.err = r.ctx.Err()
		case got := <-r.done:
			r.rest, r.err = r.buf[:got.n], got.err
		}
	}
	n := copy(p, r.rest)
	if r.rest = r.rest[n:]; len(r.rest) > 0 {
		return n, nil
	}
	return n, r.err
}

// Name returns the name of the reader that r reads from, or "file 1" if that reader has none.
func (r *Patient) Name() string {
	if named, ok := r.from.(interface{ Name() string }); ok {
		return named.Name()
	}
	return "file 1"
}
