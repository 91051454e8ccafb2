package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"
)

// printer writes what commands have to say, for people or as JSON. It buffers.
type printer struct {
	*bufio.Writer
	to   io.Writer // what is behind the buffer
	json bool
}

func newPrinter(w io.Writer, json bool) *printer { return &printer{bufio.NewWriter(w), w, json} }

// field is a named part of a line of output. Bytes become text where they are that, and base64 under the name with 64
// behind it where they are not.
type field struct {
	name  string
	value any
}

// line writes a line: the text, or the fields as a JSON object.
func (p *printer) line(text string, fields ...field) error {
	if p.json {
		return p.object(fields)
	}
	_, err := p.WriteString(text + "\n")
	return err
}

// object writes a JSON object with the fields in their order.
func (p *printer) object(fields []field) error {
	buf, err := encodeFields(fields)
	if err != nil {
		return err
	}
	_, err = p.Write(append(buf, '\n'))
	return err
}

// encodeFields returns fields as a JSON object.
func encodeFields(fields []field) ([]byte, error) {
	buf := []byte{'{'}
	for _, f := range fields {
		if len(buf) > 1 {
			buf = append(buf, ',')
		}
		name, value := f.json()
		encoded, err := marshal(value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		buf = fmt.Appendf(buf, "%q:%s", name, encoded)
	}
	return append(buf, '}'), nil
}

// json returns the field as JSON has it.
func (f field) json() (name string, value any) {
	switch v := f.value.(type) {
	case []byte:
		if utf8.Valid(v) {
			return f.name, string(v)
		}
		return f.name + "64", base64.StdEncoding.EncodeToString(v)
	case time.Duration:
		return f.name + "_ms", v.Seconds() * 1000
	case bytesCount:
		return f.name + "_bytes", int64(v)
	case error:
		return f.name, v.Error()
	}
	return f.name, f.value
}

// text returns the field's value as people read it.
func (f field) text() string {
	switch v := f.value.(type) {
	case []byte:
		return quote(v)
	case time.Duration:
		return coarse(v)
	case bytesCount:
		return size(int64(v))
	}
	return fmt.Sprint(f.value)
}

// marshal is json.Marshal without the escapes that HTML needs.
func marshal(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte{'\n'}), nil
}

// dash is the name of standard input and output.
const dash = "-"

// plural returns a number with what it counts.
func plural[N int | int64 | uint64](n N, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	if stem, ok := strings.CutSuffix(noun, "y"); ok && !strings.ContainsAny(stem[len(stem)-1:], "aeo") {
		noun = stem + "ie" // entries, but keys and days
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// bytesCount is a size in bytes.
type bytesCount int64

// size returns a number of bytes in a unit that leaves up to three digits before the point: 4.4 KB is 4,400 bytes.
func size(n int64) string {
	const units = "KMGTPE"
	if -1000 < n && n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	x, i := float64(n)/1000, 0
	for (x >= 999.95 || x <= -999.95) && i+1 < len(units) {
		x, i = x/1000, i+1
	}
	return fmt.Sprintf("%.1f %cB", x, units[i])
}

// columns writes rows in columns, or as JSON objects. Every row has the same fields.
type columns struct {
	p    *printer
	w    *tabwriter.Writer
	rows int
}

func (p *printer) columns() *columns {
	return &columns{p: p, w: tabwriter.NewWriter(p, 0, 0, 2, ' ', 0)}
}

func (t *columns) row(fields ...field) error {
	if t.p.json {
		return t.p.object(fields)
	}
	var names, texts []string
	for _, f := range fields {
		names, texts = append(names, f.name), append(texts, f.text())
	}
	if t.rows++; t.rows == 1 {
		fmt.Fprintln(t.w, strings.Join(names, "\t"))
	}
	_, err := fmt.Fprintln(t.w, strings.Join(texts, "\t"))
	return err
}

func (t *columns) flush() error { return t.w.Flush() }

// bytesFlag is a flag that holds a key.
type bytesFlag struct{ b *[]byte }

func (f bytesFlag) String() string {
	if f.b == nil || *f.b == nil {
		return ""
	}
	return quote(*f.b)
}

func (f bytesFlag) Set(word string) error {
	b, err := unquote(word)
	*f.b = b
	return err
}
