package resp

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
)

// Limits of the protocol, as Redis has them.
const (
	maxInline     = 64 << 10 // bytes of a line: a command without lengths, or a length
	maxUnauthArgs = 10       // before AUTH
	maxUnauthBulk = 16 << 10 // bytes, before AUTH

	// minReadBuffer is what an idle connection keeps. maxIdleBuffer is the largest buffer that outlives its commands.
	minReadBuffer = 2 << 10
	maxIdleBuffer = 64 << 10
	// argOverhead is the memory of an argument beside its bytes: a span and a slice. It counts for the limit of a command.
	argOverhead = 40
	// maxBatchArgs is how many arguments the commands of a batch have, but for the last, and for how many there is room when
	// they are done.
	maxBatchArgs = 16 << 10
	// maxBatch is how many commands are taken out of the buffer at a time: the replies of so many wait for one sync.
	maxBatch = 1024
)

// protocolError is what a client is told before it is closed.
type protocolError string

func (e protocolError) Error() string { return "Protocol error: " + string(e) }

var errRequestTooLarge = errors.New("resp: request over the limit")

// span is an argument in the buffer, from start to end behind the beginning of its command.
type span struct{ start, end int }

// reader takes commands out of what a connection sends. It looks at each byte of a header once, however the bytes arrive, and
// makes room for an argument only as its bytes come.
type reader struct {
	src   io.Reader
	limit int  // bytes of a command, with argOverhead for each argument
	open  bool // the client is authenticated

	buf        []byte
	start, end int // of what was read and is in no command yet

	// Of the command that begins at start, as far as it is read:
	pos     int // behind start, where to go on
	left    int // arguments that are to come; 0: the command has not begun
	bulk    int // bytes of the argument that is to come; -1: its length is to come
	pending []span

	// The batch: commands that are complete. Their arguments lie in buf, and are good until the next fill.
	args [][]byte
	cmds []int // the end of each command in args
}

func newReader(src io.Reader, limit int) *reader { return &reader{src: src, limit: limit, bulk: -1} }

// command returns the arguments of a command of the batch.
func (r *reader) command(i int) [][]byte {
	from := 0
	if i > 0 {
		from = r.cmds[i-1]
	}
	return r.args[from:r.cmds[i]:r.cmds[i]]
}

// next fills the batch. It reads from the source only if the buffer has no complete command. With an error of the protocol the
// batch holds what came before.
func (r *reader) next() error {
	clear(r.args)
	r.args, r.cmds = r.args[:0], r.cmds[:0]
	if cap(r.args) > 2*maxBatchArgs {
		r.args = nil
	}
	for {
		for len(r.cmds) < maxBatch && len(r.args) < maxBatchArgs {
			done, err := r.parse()
			if err != nil {
				return err
			}
			if !done {
				break
			}
		}
		if len(r.cmds) > 0 {
			return nil
		}
		if err := r.fill(); err != nil {
			return err
		}
	}
}

// fill reads once.
func (r *reader) fill() error {
	if r.start == r.end {
		r.start, r.end = 0, 0
		if len(r.buf) > maxIdleBuffer {
			r.buf = nil
		}
	}
	if r.end == len(r.buf) {
		if err := r.grow(); err != nil {
			return err
		}
	}
	n, err := r.src.Read(r.buf[r.end:])
	r.end += n
	if n > 0 {
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// grow makes room behind the end: by moving what is unread to the front if that is at most half of the buffer, else by a buffer
// of twice the size, but never far beyond what a command may have.
func (r *reader) grow() error {
	unread := r.end - r.start
	if unread > r.limit+maxInline {
		return errRequestTooLarge
	}
	if unread <= len(r.buf)/2 && r.start > 0 {
		copy(r.buf, r.buf[r.start:r.end])
	} else {
		size := min(max(minReadBuffer, 2*len(r.buf)), r.limit+2*maxInline)
		buf := make([]byte, size)
		copy(buf, r.buf[r.start:r.end])
		r.buf = buf
	}
	r.start, r.end = 0, unread
	return nil
}

// parse takes one command out of the buffer, and reports whether there was one. A line without words and a count of 0 are
// skipped.
func (r *reader) parse() (bool, error) {
	for r.left == 0 {
		if r.start == r.end {
			return false, nil
		}
		if r.buf[r.start] != '*' {
			done, skipped, err := r.inline()
			if skipped {
				continue
			}
			return done, err
		}
		line, ok, err := r.line("too big mbulk count string")
		if !ok {
			return false, err
		}
		n, ok := parseLen(line[1:])
		switch {
		case !ok || n > math.MaxInt32:
			return false, protocolError("invalid multibulk length")
		case n > maxUnauthArgs && !r.open:
			return false, protocolError("unauthenticated multibulk length")
		}
		if n <= 0 {
			r.consume()
			continue
		}
		r.left = int(n)
	}
	for r.left > 0 {
		if ok, err := r.argument(); !ok {
			return false, err
		}
	}
	cmd := r.buf[r.start : r.start+r.pos]
	for _, s := range r.pending {
		r.args = append(r.args, cmd[s.start:s.end:s.end])
	}
	r.cmds = append(r.cmds, len(r.args))
	r.consume()
	return true, nil
}

// argument takes the next argument of the command, and reports whether it was there.
func (r *reader) argument() (bool, error) {
	if r.bulk < 0 {
		if r.start+r.pos < r.end && r.buf[r.start+r.pos] != '$' {
			return false, protocolError(fmt.Sprintf("expected '$', got '%c'", r.buf[r.start+r.pos]))
		}
		line, ok, err := r.line("too big bulk count string")
		if !ok {
			return false, err
		}
		n, ok := parseLen(line[1:])
		switch {
		case !ok || n < 0 || n > int64(r.limit):
			return false, protocolError("invalid bulk length")
		case n > maxUnauthBulk && !r.open:
			return false, protocolError("unauthenticated bulk length")
		}
		if r.pos+int(n)+2+argOverhead*len(r.pending) > r.limit+maxInline {
			return false, errRequestTooLarge
		}
		r.bulk = int(n)
	}
	if r.end-r.start < r.pos+r.bulk+2 {
		return false, nil
	}
	r.pending = append(r.pending, span{r.pos, r.pos + r.bulk})
	r.pos += r.bulk + 2
	r.bulk = -1
	r.left--
	return true, nil
}

// line returns the line at pos without its end, and moves pos behind it.
func (r *reader) line(tooLong protocolError) ([]byte, bool, error) {
	rest := r.buf[r.start+r.pos : r.end]
	i := bytes.IndexByte(rest[:min(len(rest), maxInline+1)], '\r')
	if i >= 0 && i+1 < len(rest) {
		r.pos += i + 2
		return rest[:i], true, nil
	}
	if len(rest) > maxInline {
		return nil, false, tooLong
	}
	return nil, false, nil
}

// consume ends the command.
func (r *reader) consume() {
	r.start += r.pos
	r.pos, r.left, r.bulk = 0, 0, -1
	r.pending = r.pending[:0]
	if cap(r.pending) > 2*maxBatchArgs {
		r.pending = nil
	}
}

// parseLen reads a length as Redis does: decimal digits, perhaps with a minus, no more than an int64 holds.
func parseLen(b []byte) (int64, bool) { return parseInt(b) }
