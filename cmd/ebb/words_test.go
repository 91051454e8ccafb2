package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestSplit(t *testing.T) {
	for _, c := range []struct {
		line  string
		words []string // unquoted
		bad   bool
	}{
		{line: ""}, {line: "   \t\n"}, {line: "# nothing"},
		{line: "get a", words: []string{"get", "a"}},
		{line: "  get\ta  # why\n", words: []string{"get", "a"}},
		{line: "put a#b c", words: []string{"put", "a#b", "c"}},
		{line: `put "a b" "\x00\xff\n\"\\"`, words: []string{"put", "a b", "\x00\xff\n\"\\"}},
		{line: `put 'a "b" \n' ''`, words: []string{"put", `a "b" \n`, ""}},
		{line: `put it's C:\new`, words: []string{"put", "it's", `C:\new`}},
		{line: `scan -start="a b" -x='c d' -y=e`, words: []string{"scan", `-start="a b"`, `-x="c d"`, "-y=e"}},
		{line: "put \"a\nb\\\nc\\\\\nd\" 'e\nf'", words: []string{"put", "a\nbc\\\nd", "e\nf"}},
		{line: "put größe 日本", words: []string{"put", "größe", "日本"}},
		{line: `put "a`, bad: true}, {line: `put 'a`, bad: true}, {line: `put "a\"`, bad: true},
		{line: `put "a"b`, bad: true}, {line: `put 'a''b'`, bad: true}, {line: `put "\q"`, bad: true}, {line: `put "\x0"`, bad: true},
	} {
		words, err := split(c.line)
		for i := range words {
			if err == nil {
				var b []byte
				b, err = unquote(words[i])
				words[i] = string(b)
			}
		}
		if (err != nil) != c.bad || err == nil && !slices.Equal(words, c.words) {
			t.Errorf("split(%q) = %q, %v, want %q", c.line, words, err, c.words)
		}
	}
}

// What is printed can be typed: as an argument, and as a word of a line.
func checkQuote(t *testing.T, b []byte) {
	t.Helper()
	for _, q := range []string{quote(b), quoteAlways(string(b))} {
		back, err := unquote(q)
		if err != nil || !bytes.Equal(back, b) {
			t.Fatalf("%q is quoted as %s, which is %q, %v", b, q, back, err)
		}
		words, err := split("put " + q + " x")
		if err != nil || len(words) != 3 {
			t.Fatalf("%s splits into %q, %v", q, words, err)
		}
		if back, err := unquote(words[1]); err != nil || !bytes.Equal(back, b) {
			t.Fatalf("%s in a line is %q, %v, want %q", q, back, err, b)
		}
	}
	if !bytes.ContainsAny(b, "'") {
		words, err := split("put '" + string(b) + "'")
		if err != nil || len(words) != 2 {
			t.Fatalf("'%s' splits into %q, %v", b, words, err)
		}
		if back, err := unquote(words[1]); err != nil || !bytes.Equal(back, b) {
			t.Fatalf("'%s' is %q, %v", b, back, err)
		}
	}
	// and over several lines, where a newline stands for itself
	if utf8.Valid(b) && !bytes.ContainsAny(b, "\"\\\r") {
		words, err := split("put \"" + string(b) + "\"")
		if err != nil || len(words) != 2 {
			t.Fatalf("%q in double quotes splits into %q, %v", b, words, err)
		}
		if back, err := unquote(words[1]); err != nil || !bytes.Equal(back, b) {
			t.Fatalf("%q in double quotes is %q, %v", b, back, err)
		}
	}
}

func TestQuote(t *testing.T) {
	for b := range 256 {
		checkQuote(t, []byte{byte(b)})
		checkQuote(t, []byte{'a', byte(b), 'f', byte(b)})
	}
	for _, s := range []string{"", "a", "-x", "#", `"`, `'`, `\`, "a b", " ", "ä\xff\xfe", "\u2028", "\ufffd", "日\xe6\x97本"} {
		checkQuote(t, []byte(s))
	}
	for s, want := range map[string]string{
		"user:1/größe": "user:1/größe", `{"a": 1}`: `'{"a": 1}'`, `{"a":1}`: `{"a":1}`, "a b": `"a b"`, `C:\new dir`: `'C:\new dir'`,
		`"`: `'"'`, `it's "it"`: `"it's \"it\""`, "\"\n": `"\"\n"`, "'a'": `"'a'"`, "": `""`,
	} {
		if q := quote([]byte(s)); q != want {
			t.Errorf("%q is quoted as %s, want %s", s, q, want)
		}
	}
}

func FuzzQuote(f *testing.F) {
	f.Add([]byte("a b\x00\xff"))
	f.Fuzz(checkQuote)
}

// No line makes the parser fail in other ways than an error, and every command refuses or takes what it gets.
func FuzzLine(f *testing.F) {
	for _, line := range []string{"get a", `put "a\x00" 'b c' -ttl 1h -nx`, "scan -start=\"a b\" -limit -5", "incr a -5", "put -- -ttl x", "-json get", "help put -h"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		words, err := split(line)
		if err != nil {
			return
		}
		for i := range len(line) + 1 {
			if start := lastWord(line[:i]); start < 0 || start > i {
				t.Fatalf("the last word of %q begins at %d", line[:i], start)
			}
		}
		for _, c := range commands() {
			for _, f := range []form{afterDir, beforeDir, ofSession} {
				p, err := c.parse(words, f)
				if err != nil || p.help {
					continue
				}
				if n := len(p.args); n < c.minArgs || c.maxArgs >= 0 && n > c.maxArgs+1 {
					t.Fatalf("%s takes %d arguments of %q", c.name, n, line)
				}
				p.unquoteArgs()
			}
		}
	})
}

func TestNearest(t *testing.T) {
	for word, want := range map[string]string{"gte": "get", "exprie": "expire", "snap": "snapshot", "PUT": "put", "SET": "put", "ls": "keys", "dbsize": "count", "exists": "get", "decr": "incr", "rm": "del", "info": "stats", "set": "put", "del": "del", "delrnge": "delrange", "qqqqqq": "", "": ""} {
		if got, _ := nearest(word, names((*command).inSession)); got != want {
			t.Errorf("nearest to %q is %q, want %q", word, got, want)
		}
	}
}

// What Redis users type leads to what exists.
func TestOtherNames(t *testing.T) {
	for word, name := range otherNames {
		form, ok := otherForms[word]
		if first, _, _ := strings.Cut(form, " "); find(name) == nil || ok && first != name || find(word) != nil {
			t.Errorf("%s leads to %s, %q", word, name, form)
		}
	}
	for word := range otherForms {
		if otherNames[word] == "" {
			t.Errorf("%s has a form and no name", word)
		}
	}
	dir := filepath.Join(t.TempDir(), "db")
	script(t, dir, "SETNX a 1\n", exitUsage, "", `did you mean "put KEY VALUE -nx"?`)
	runArgs(dir, "decr", "a").want(t, exitUsage, "", `did you mean "incr KEY -1"?`)
}

// The table is whole: names differ, each command says what it does, and its help can be shown.
func TestCommands(t *testing.T) {
	seen := make(map[string]bool)
	for _, c := range commands() {
		if seen[c.name] || c.summary == "" || c.setup == nil || c.scope == 0 || c.maxArgs >= 0 && c.maxArgs < c.minArgs {
			t.Errorf("%+v", c)
		}
		seen[c.name] = true
		r := runArgs("help", c.name)
		r.want(t, exitOK, "usage", "")
		if !strings.Contains(strings.Join(strings.Fields(r.stdout), " "), c.summary) {
			t.Errorf("help %s does not say %s", c.name, c.summary)
		}
	}
}

// The documentation names every command.
func TestCommandsDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/COMMAND.md")
	check(t, err)
	for _, c := range commands() {
		if !regexp.MustCompile("[`| ]" + c.name + "[` ]").Match(doc) {
			t.Errorf("docs/COMMAND.md does not name %s", c.name)
		}
	}
}
