package resp

import (
	"bytes"
	"strings"
	"testing"

	"github.com/ebbdb/ebb"
)

// What redis-server 7.0.15 has dumped.
var dumps = []struct{ value, payload string }{
	{"hello", "\x00\x05hello\x0a\x00cr\xdfve4 \x0a"},
	{"", "\x00\x00\x0a\x00]\x9b\\@\x0f\x7f\xa2\xda"},
	{"10", "\x00\xc0\x0a\x0a\x00n\x9fWE\x0e\xaec\xbb"},
	{"-129", "\x00\xc1\x7f\xff\x0a\x00\x17`\x82(T\x80\x84\x80"},
	{"40000", "\x00\xc2@\x9c\x00\x00\x0a\x00\x09\xcdc\x1f\xf3\xb9\x8c\xf2"},
	{"-2147483648", "\x00\xc2\x00\x00\x00\x80\x0a\x00\xc7O\x87>3U\x81\x87"},
	{"2147483648", "\x00\x0a2147483648\x0a\x00\xe7\xb1)\xa3L\x1dv\xee"},
	{"007", "\x00\x03007\x0a\x00rX\xe2{Li\xba\xd9"},
	{"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "\x00\xc3\x09(\x01aa\xe0\x1b\x00\x01aa\x0a\x00\xcf\x09/\xaa\xae%\x83\x1d"},
	{"abcabcabcabcabcabcabcabcabc-abc", "\x00\xc3\x0c\x1f\x03abca\xe0\x0e\x02\x00- \x18\x0a\x00J3\xc0u\x0b\x7f\xcb\xb9"},
	{"0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789", "\x00\xc3\x12@d\x0a01234567890\xe0N\x09\x0189\x0a\x00\xba}\xfc\xf5\xac\xeb\xbc\x03"},
}

func TestDump(t *testing.T) {
	for _, c := range dumps {
		value, refusal := rdbDecode([]byte(c.payload), 1<<20)
		if string(value) != c.value || refusal != "" {
			t.Errorf("%.40q: %.40q, %s", c.payload, value, refusal)
		}
		if got := rdbEncode([]byte(c.value)); len(c.value) < 20 && string(got) != c.payload {
			t.Errorf("%q is dumped as %q, by Redis as %q", c.value, got, c.payload)
		}
	}
	for _, value := range []string{"", "1", strings.Repeat("x", 100), strings.Repeat("y", 1<<14), strings.Repeat("z", 100_000)} {
		payload := rdbEncode([]byte(value))
		if got, refusal := rdbDecode(payload, 1<<20); string(got) != value || refusal != "" {
			t.Errorf("%d bytes come back as %d, %s", len(value), len(got), refusal)
		}
		for i := range min(len(payload), 20) {
			bad := bytes.Clone(payload)
			bad[len(bad)-1-i] ^= 1
			if _, refusal := rdbDecode(bad, 1<<20); refusal == "" {
				t.Errorf("a flipped bit %d bytes before the end is not noticed", i)
			}
		}
	}
}

func TestRestore(t *testing.T) {
	f := serve(t, Options{}, ebb.Options{})
	p := f.dial()
	payload := dumps[0].payload
	for _, c := range []struct {
		want string
		args []string
	}{
		{"OK", []string{"RESTORE", "a", "0", payload}},
		{"-BUSYKEY Target key name already exists.", []string{"RESTORE", "a", "0", payload}},
		{"OK", []string{"RESTORE", "a", "5000", payload, "REPLACE"}},
		{"5000", []string{"PTTL", "a"}},
		{"OK", []string{"RESTORE", "a", "1700000001000", payload, "REPLACE", "ABSTTL", "IDLETIME", "5"}},
		{"1000", []string{"PTTL", "a"}},
		{"OK", []string{"RESTORE", "a", "1", payload, "REPLACE", "ABSTTL"}},
		{"nil", []string{"GET", "a"}},
		{"-ERR Invalid TTL value, must be >= 0", []string{"RESTORE", "a", "-1", payload}},
		{"-ERR DUMP payload version or checksum are wrong", []string{"RESTORE", "a", "0", payload[:len(payload)-1]}},
		{"-ERR syntax error", []string{"RESTORE", "a", "0", payload, "FOO"}},
		{"nil", []string{"DUMP", "a"}},
	} {
		if got := p.call(c.args...); got != c.want {
			t.Errorf("%q: got %s, want %s", c.args, got, c.want)
		}
	}
}

// FuzzRestore lets any payload be read, with its sum made right.
func FuzzRestore(f *testing.F) {
	for _, c := range dumps {
		f.Add([]byte(c.payload))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = rdbDecode(b, 1<<16)
		value, rest, ok := rdbString(b, 1<<16)
		if ok && len(value)+len(rest) > max(len(b), 1<<16)+len(b) {
			t.Fatal(len(value), len(rest), len(b))
		}
	})
}
