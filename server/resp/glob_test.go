package resp

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestGlob(t *testing.T) {
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{
		{"", "", true}, {"", "a", false}, {"*", "", true}, {"*", "abc", true}, {"a*", "abc", true}, {"*c", "abc", true},
		{"a*c", "abbc", true}, {"a*c", "abb", false}, {"a?c", "abc", true}, {"a?c", "ac", false}, {"**", "x", true},
		{"h[ae]llo", "hello", true}, {"h[ae]llo", "hillo", false}, {"h[^e]llo", "hallo", true}, {"h[^e]llo", "hello", false},
		{"h[a-c]llo", "hbllo", true}, {"h[c-a]llo", "hbllo", true}, {"h[a-c]llo", "hdllo", false}, {"[", "a", false},
		{"[a", "a", true}, {"[^a", "b", true}, {"[]a]", "a", false}, {"[\\]]", "]", true}, {"[a-]", "-", false},
		{`\*`, "*", true}, {`\*`, "a", false}, {`\`, `\`, true}, {`a\`, `a\`, true}, {"*a*b*", "xxaxxbxx", true},
		{"*a*b*", "xxbxxaxx", false}, {"[^]", "a", true}, {"?", "", false}, {"a**b", "ab", true},
	} {
		if got := globMatch([]byte(c.pattern), []byte(c.text), false); got != c.want {
			t.Errorf("%q, %q: %v", c.pattern, c.text, got)
		}
	}
	if !globMatch([]byte("MaX*[A-C]"), []byte("maxb"), true) || globMatch([]byte("Max"), []byte("max"), false) {
		t.Error("case")
	}
}

// Patterns that take others exponential time: bytes that nearly match, under many stars.
func TestGlobTakesNoAges(t *testing.T) {
	pattern := []byte(strings.Repeat("a*", 50) + "b")
	text := bytes.Repeat([]byte("a"), 10_000)
	began := time.Now()
	if globMatch(pattern, text, false) {
		t.Error("matches")
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("%v", took)
	}
}

// slowGlob is globMatch as one would say it.
func slowGlob(p, s []byte) bool {
	if len(p) == 0 {
		return len(s) == 0
	}
	if p[0] == '*' {
		for i := 0; i <= len(s); i++ {
			if slowGlob(p[1:], s[i:]) {
				return true
			}
		}
		return false
	}
	if len(s) == 0 {
		return false
	}
	n, ok := globOne(p, s[0], false)
	return ok && slowGlob(p[n:], s[1:])
}

func FuzzGlob(f *testing.F) {
	for _, c := range [][2]string{{"a*c", "abc"}, {"[^a-c]?*", "xyz"}, {`\*[`, "*["}, {"*a*b*c", "aabbcc"}} {
		f.Add([]byte(c[0]), []byte(c[1]))
	}
	f.Fuzz(func(t *testing.T, p, s []byte) {
		got := globMatch(p, s, false)
		if prefix := globPrefix(p); got && !bytes.HasPrefix(s, prefix) {
			t.Fatalf("%q matches %q without its prefix %q", p, s, prefix)
		}
		if bytes.Count(p, []byte("*")) < 4 && len(s) < 40 && got != slowGlob(p, s) {
			t.Fatalf("%q, %q: %v", p, s, got)
		}
	})
}
