package resp

import (
	"strconv"

	"github.com/tidwall/redcon"
)

// reply collects encoded replies. Its zero value speaks RESP2.
type reply struct {
	b     []byte
	resp3 bool
}

func (r *reply) ok()                 { r.b = append(r.b, "+OK\r\n"...) }
func (r *reply) simple(s string)     { r.b = redcon.AppendString(r.b, s) }
func (r *reply) err(s string)        { r.b = redcon.AppendError(r.b, s) }
func (r *reply) int(n int64)         { r.b = redcon.AppendInt(r.b, n) }
func (r *reply) bulk(b []byte)       { r.b = redcon.AppendBulk(r.b, b) }
func (r *reply) bulkString(s string) { r.b = redcon.AppendBulkString(r.b, s) }
func (r *reply) array(n int)         { r.b = redcon.AppendArray(r.b, n) }

func (r *reply) bool(yes bool) {
	if yes {
		r.b = append(r.b, ":1\r\n"...)
	} else {
		r.b = append(r.b, ":0\r\n"...)
	}
}

// null is no value, and nullArray no array, which are different in RESP2.
func (r *reply) null() {
	if r.resp3 {
		r.b = append(r.b, "_\r\n"...)
	} else {
		r.b = append(r.b, "$-1\r\n"...)
	}
}

func (r *reply) nullArray() {
	if r.resp3 {
		r.b = append(r.b, "_\r\n"...)
	} else {
		r.b = append(r.b, "*-1\r\n"...)
	}
}

// mapOf begins a map of n pairs, set one of n members, push a message that answers no command. In RESP2 they are arrays.
func (r *reply) mapOf(n int) { r.aggregate('%', n, 2*n) }
func (r *reply) set(n int)   { r.aggregate('~', n, n) }
func (r *reply) push(n int)  { r.aggregate('>', n, n) }

func (r *reply) aggregate(kind byte, n, flat int) {
	if !r.resp3 {
		r.array(flat)
		return
	}
	r.b = append(r.b, kind)
	r.b = strconv.AppendInt(r.b, int64(n), 10)
	r.b = append(r.b, '\r', '\n')
}

// text is a bulk string for people to read.
func (r *reply) text(s string) {
	if !r.resp3 {
		r.bulkString(s)
		return
	}
	r.b = append(r.b, '=')
	r.b = strconv.AppendInt(r.b, int64(len(s)+4), 10)
	r.b = append(r.b, "\r\ntxt:"...)
	r.b = append(r.b, s...)
	r.b = append(r.b, '\r', '\n')
}

// bulkHeader is the longest beginning of a bulk string.
const bulkHeader = len("$1073741824\r\n")

// beginBulk leaves room for the beginning of a bulk string whose bytes are appended to r.b then, and endBulk puts it there.
func (r *reply) beginBulk() int {
	mark := len(r.b)
	r.b = append(r.b, "$0000000000\r\n"...)
	return mark
}

func (r *reply) endBulk(mark int, b []byte, err error) {
	if err != nil {
		r.b = b[:mark]
		return
	}
	var header [bulkHeader]byte
	h := strconv.AppendInt(append(header[:0], '$'), int64(len(b)-mark-bulkHeader), 10)
	h = append(h, '\r', '\n')
	copy(b[mark:], h)
	copy(b[mark+len(h):], b[mark+bulkHeader:])
	b = b[:len(b)-bulkHeader+len(h)]
	r.b = append(b, '\r', '\n')
}
