package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Keys and values are bytes. They are written as they are where that is plain text, in single quotes where nothing else is
// needed and double ones would mean escapes, as in JSON, and in double quotes with the escapes of Go strings (\n, \", \xff)
// everywhere else. What quote returns, unquote reads back, as an argument of the command and as a word of a session's line
// alike. Libraries that split like a shell know no \x00, so this is by hand on top of strconv.

// quote returns b as a word that unquote takes for b.
func quote(b []byte) string {
	s := string(b)
	switch {
	case isPlain(s):
		return s
	case strings.ContainsAny(s, `"\`) && isLiteral(s):
		return "'" + s + "'"
	}
	return quoteAlways(s)
}

// isLiteral reports whether s can stand in single quotes.
func isLiteral(s string) bool {
	return !strings.Contains(s, "'") && utf8.ValidString(s) &&
		!strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) })
}

// quoteAlways is quote with quotes around whatever it is.
func quoteAlways(s string) string {
	if utf8.ValidString(s) {
		return strconv.Quote(s)
	}
	out := []byte{'"'}
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		if r == utf8.RuneError && n == 1 {
			out = fmt.Appendf(out, `\x%02x`, s[0])
		} else {
			q := strconv.Quote(s[:n])
			out = append(out, q[1:len(q)-1]...)
		}
		s = s[n:]
	}
	return string(append(out, '"'))
}

// isPlain reports whether s can stand as a word without quotes, and cannot be taken for a flag.
func isPlain(s string) bool {
	if s == "" || strings.ContainsRune(`"'#`, rune(s[0])) || s[0] == '-' && !isNegative(s) || !utf8.ValidString(s) {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool { return r == ' ' || !strconv.IsPrint(r) })
}

// unquote returns the bytes that a word stands for.
func unquote(word string) ([]byte, error) {
	if inner, ok := cutLiteral(word); ok {
		return []byte(inner), nil
	}
	if !strings.HasPrefix(word, `"`) {
		return []byte(word), nil
	}
	s, err := strconv.Unquote(word)
	if err != nil {
		return nil, fmt.Errorf("%s begins with a quote and is no quoted string; quote it as in %s", shorten(word, 40),
			shorten(strconv.Quote(word), 40))
	}
	return []byte(s), nil
}

// cutLiteral returns what is in the single quotes around a word, if it has them.
func cutLiteral(word string) (inner string, ok bool) {
	inner, opened := strings.CutPrefix(word, "'")
	inner, closed := strings.CutSuffix(inner, "'")
	return inner, opened && closed && !strings.Contains(inner, "'")
}

var (
	errOpenQuote  = errors.New("a quote is not closed")
	errAfterQuote = errors.New("after a closing quote there must be a blank")
)

// split cuts a line into words. Double quotes stay, with what is in them, for unquote; single quotes, in which nothing is
// an escape, become double ones. A quote counts at the beginning of a word and after the = of a flag. A # at the beginning
// of a word begins a comment.
func split(line string) ([]string, error) {
	var words []string
	for {
		line = strings.TrimLeftFunc(line, unicode.IsSpace)
		if line == "" || line[0] == '#' {
			return words, nil
		}
		word, rest, err := cutWord(line)
		if err != nil {
			return nil, err
		}
		words, line = append(words, word), rest
	}
}

// cutWord takes the first word off a line that begins with it.
func cutWord(line string) (word, rest string, err error) {
	if line[0] == '"' || line[0] == '\'' {
		return cutQuoted(line)
	}
	end := strings.IndexFunc(line, unicode.IsSpace)
	if end < 0 {
		end = len(line)
	}
	if i := strings.IndexByte(line[:end], '='); line[0] == '-' && i > 0 && i+1 < end && (line[i+1] == '"' || line[i+1] == '\'') {
		word, rest, err = cutQuoted(line[i+1:])
		return line[:i+1] + word, rest, err
	}
	return line[:end], line[end:], nil
}

// cutQuoted takes the quoted word off a line that begins with it.
func cutQuoted(line string) (word, rest string, err error) {
	quote, end := line[0], 1
	for end < len(line) && line[end] != quote {
		if quote == '"' && line[end] == '\\' {
			end++
		}
		end++
	}
	if end >= len(line) {
		return "", "", errOpenQuote
	}
	word, rest = line[:end+1], line[end+1:]
	if r, _ := utf8.DecodeRuneInString(rest); rest != "" && !unicode.IsSpace(r) {
		return "", "", errAfterQuote
	}
	if quote == '\'' {
		return quoteAlways(word[1 : len(word)-1]), rest, nil
	}
	return joinLines(word), rest, nil
}

// joinLines makes one line of a word in double quotes that was typed over several: a line's end is a \n, and nothing behind
// a backslash, which is no escape then.
func joinLines(word string) string {
	if !strings.Contains(word, "\n") {
		return word
	}
	var out []byte
	for i := 0; i < len(word); i++ {
		switch {
		case word[i] == '\n':
			out = append(out, `\n`...)
		case word[i] == '\\' && i+1 < len(word) && word[i+1] == '\n':
			i++
		case word[i] == '\\' && i+1 < len(word):
			out = append(out, word[i], word[i+1])
			i++
		default:
			out = append(out, word[i])
		}
	}
	return string(out)
}

// shorten returns the first part of a long text, with a mark where it was cut.
func shorten(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most] + "…"
}
