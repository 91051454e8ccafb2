package resp

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/tidwall/redcon"
)

// all reads commands until something ends them.
func all(src io.Reader, limit int) ([][]string, error) {
	r := newReader(src, limit)
	r.open = true
	var list [][]string
	for {
		err := r.next()
		for i := range r.cmds {
			var cmd []string
			for _, arg := range r.command(i) {
				cmd = append(cmd, string(arg))
			}
			list = append(list, cmd)
		}
		if err != nil {
			return list, err
		}
	}
}

func TestReader(t *testing.T) {
	large := strings.Repeat("x", 100_000)
	for _, c := range []struct{ name, in, want, err string }{
		{"array", "*2\r\n$3\r\nGET\r\n$1\r\na\r\n", "[[GET a]]", "EOF"},
		{"pipeline", "*1\r\n$4\r\nPING\r\n*2\r\n$4\r\nECHO\r\n$0\r\n\r\n", "[[PING] [ECHO ]]", "EOF"},
		{"nothing", "*0\r\n*-1\r\n\r\n\r\n*1\r\n$1\r\na\r\n", "[[a]]", "EOF"},
		{"line", "GET a\r\n  SET  \"a b\" 'c\\'d' \"\\x41\\n\"\n", "[[GET a] [SET a b c'd A\n]]", "EOF"},
		{"quote", "GET \"a\r\n", "[]", "Protocol error: unbalanced quotes in request"},
		{"quote and more", "GET \"a\"b\r\n", "[]", "Protocol error: unbalanced quotes in request"},
		{"count", "*x\r\n", "[]", "Protocol error: invalid multibulk length"},
		{"count of int64", "*9223372036854775807\r\n", "[]", "Protocol error: invalid multibulk length"},
		{"length", "*1\r\n$x\r\n", "[]", "Protocol error: invalid bulk length"},
		{"negative", "*1\r\n$-1\r\n", "[]", "Protocol error: invalid bulk length"},
		{"length of int64", "*1\r\n$9223372036854775805\r\nx", "[]", "Protocol error: invalid bulk length"},
		{"over the limit", "*1\r\n$1048577\r\n", "[]", "Protocol error: invalid bulk length"},
		{"no length", "*1\r\nGET\r\n", "[]", "Protocol error: expected '$', got 'G'"},
		{"what came before", "PING\r\n*x\r\n", "[[PING]]", "Protocol error: invalid multibulk length"},
		{"half", "*2\r\n$3\r\nGET\r\n$100000\r\nabc", "[]", "EOF"},
		{"long count", "*" + strings.Repeat("1", maxInline+10), "[]", "Protocol error: too big mbulk count string"},
		{"long length", "*1\r\n$" + strings.Repeat("1", maxInline+10), "[]", "Protocol error: too big bulk count string"},
		{"long line", strings.Repeat("a", maxInline+10), "[]", "Protocol error: too big inline request"},
		{"large", "*1\r\n$100000\r\n" + large + "\r\n", "[[" + large + "]]", "EOF"},
		{"too large in all", words(strings.Split(strings.Repeat(large+" ", 12), " ")...), "[]", errRequestTooLarge.Error()},
	} {
		for how, src := range map[string]io.Reader{
			"at once": strings.NewReader(c.in), "bytewise": iotest.OneByteReader(strings.NewReader(c.in)),
		} {
			if how == "bytewise" && len(c.in) > 10_000 {
				continue
			}
			got, err := all(src, 1<<20)
			if fmt.Sprint(got) != c.want || err == nil || err.Error() != c.err {
				t.Errorf("%s, %s: %.200v, %v, want %.200s, %s", c.name, how, got, err, c.want, c.err)
			}
		}
	}
}

// What is declared takes no memory before it comes.
func TestReaderAllocatesWhatComes(t *testing.T) {
	for _, in := range []string{
		"*1\r\n$1000000000\r\n", "*1000000\r\n", "*1000000\r\n$1000000000\r\n", "*2147483647\r\n$3\r\nSET\r\n",
	} {
		r := newReader(strings.NewReader(in), 1<<30)
		r.open = true
		if err := r.next(); err != io.EOF {
			t.Errorf("%q: %v", in, err)
		}
		if len(r.buf) > maxIdleBuffer || cap(r.pending) > 16 || cap(r.args) > 16 {
			t.Errorf("%q: a buffer of %d bytes, room for %d arguments", in, len(r.buf), cap(r.pending))
		}
	}
}

// Arguments without bytes cost memory, too, and go when the command has run.
func TestReaderCountsArguments(t *testing.T) {
	r := newReader(strings.NewReader("*1000000\r\n"+strings.Repeat("$0\r\n\r\n", 1_000_000)), 1<<20)
	r.open = true
	if err := r.next(); !errors.Is(err, errRequestTooLarge) {
		t.Errorf("a million: %v", err)
	}
	if n := cap(r.pending); n > 2*(1<<20+maxInline)/argOverhead {
		t.Errorf("room for %d arguments", n)
	}
	many := strings.Repeat(words(make([]string, 20_000)...), 3)
	r = newReader(strings.NewReader(many+words("PING")), 1<<20)
	r.open = true
	for i := range 3 {
		if err := r.next(); err != nil || len(r.cmds) != 1 {
			t.Fatal(i, err, len(r.cmds))
		}
	}
	if err := r.next(); err != nil || cap(r.args) > 2*maxBatchArgs || cap(r.pending) > 2*maxBatchArgs {
		t.Error(err, cap(r.args), cap(r.pending))
	}
}

func TestReaderBeforeAuth(t *testing.T) {
	for in, want := range map[string]string{
		"*11\r\n":               "Protocol error: unauthenticated multibulk length",
		"*1\r\n$16385\r\n":      "Protocol error: unauthenticated bulk length",
		"*2\r\n$4\r\nAUTH\r\n":  "EOF",
		"*1\r\n$16384\r\nx\r\n": "EOF",
	} {
		if err := newReader(strings.NewReader(in), 1<<20).next(); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", in, err, want)
		}
	}
}

func TestReaderAllocs(t *testing.T) {
	in := []byte(strings.Repeat("*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$5\r\nvalue\r\n", 16))
	src := bytes.NewReader(in)
	r := newReader(src, 1<<20)
	r.open = true
	if n := testing.AllocsPerRun(100, func() {
		src.Reset(in)
		if err := r.next(); err != nil || len(r.cmds) != 16 {
			t.Fatal(err, len(r.cmds))
		}
	}); n > 0 {
		t.Errorf("%v allocations for a pipeline of 16", n)
	}
}

// FuzzReader holds the reader to redcon's on what that one accepts, and lets bytes arrive in two ways.
func FuzzReader(f *testing.F) {
	for _, s := range []string{
		"*2\r\n$3\r\nGET\r\n$1\r\na\r\n", "*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nPING\r\n", "PING\r\n", "*0\r\n", "*-1\r\n",
		"*1\r\n$9223372036854775805\r\nx", "*3\r\n$3\r\nSET\r\n$0\r\n\r\n$2\r\n\r\n\r\n", "GET 'a b' \"c\"\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		got, err := all(bytes.NewReader(in), 1<<20)
		again, err2 := all(iotest.OneByteReader(bytes.NewReader(in)), 1<<20)
		if fmt.Sprint(got) != fmt.Sprint(again) || err.Error() != err2.Error() {
			t.Fatalf("at once %v, %v; bytewise %v, %v", got, err, again, err2)
		}
		var protocol protocolError
		if err != io.EOF && !errors.As(err, &protocol) && !errors.Is(err, errRequestTooLarge) {
			t.Fatal(err)
		}
		var encoded strings.Builder
		for _, cmd := range got {
			encoded.WriteString(words(cmd...))
		}
		if encoded.String() != string(in) {
			return // redcon takes less, and lines otherwise
		}
		theirs, ok := redconParse(in)
		for i := range min(len(got), len(theirs)) {
			if fmt.Sprint(got[i]) != fmt.Sprint(theirs[i]) && ok {
				t.Fatalf("command %d is %q, to redcon %q", i, got[i], theirs[i])
			}
		}
	})
}

// redconParse reads commands with redcon, if that does not panic.
func redconParse(in []byte) (list [][]string, ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	if bytes.Contains(in, []byte("*0")) || bytes.Contains(in, []byte("*-")) {
		return nil, false // errors to redcon
	}
	cmds, err := redcon.NewReader(bytes.NewReader(in)).ReadCommands()
	for _, cmd := range cmds {
		var words []string
		for _, arg := range cmd.Args {
			words = append(words, string(arg))
		}
		list = append(list, words)
	}
	return list, err == nil
}

func TestParseInt(t *testing.T) {
	for _, s := range []string{
		"0", "1", "-1", "9223372036854775807", "-9223372036854775808", "10", "", "-", "-0", "00", "01", "+1", " 1", "1 ", "1a",
		"9223372036854775808", "-9223372036854775809", "99999999999999999999", "18446744073709551615", "184467440737095516150",
	} {
		var n int64
		var end string
		items, _ := fmt.Sscanf(s, "%d%s", &n, &end)
		want := items == 1 && fmt.Sprint(n) == s
		got, ok := parseInt([]byte(s))
		if ok != want || ok && got != n {
			t.Errorf("%q: %d, %v, want %d, %v", s, got, ok, n, want)
		}
	}
}
