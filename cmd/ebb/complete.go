package main

import (
	"bytes"
	"flag"
	"maps"
	"slices"
	"strings"
	"unicode"

	"github.com/ebbdb/ebb"
)

// mostCompletions bounds how many keys a completion looks at and shows.
const mostCompletions = 60

// complete returns what the word before the cursor can become.
func (s *session) complete(line string, pos int) (head string, completions []string, tail string) {
	runes := []rune(line)
	line, tail = string(runes[:pos]), string(runes[pos:])
	start := lastWord(line)
	head, word := line[:start], line[start:]
	before, err := split(head)
	if err != nil {
		return line, nil, tail
	}
	return head, s.candidates(before, word), tail
}

// lastWord returns where the word that the end of line is in begins.
func lastWord(line string) int {
	start, quote := 0, rune(0)
	escaped, inWord := false, false
	for i, r := range line {
		switch {
		case escaped:
			escaped = false
		case quote != 0:
			escaped = quote == '"' && r == '\\'
			if r == quote {
				quote = 0
			}
		case unicode.IsSpace(r):
			inWord, start = false, i+len(string(r))
		case !inWord:
			inWord, start = true, i
			if r == '"' || r == '\'' {
				quote = r
			}
		}
	}
	return start
}

// candidates returns what a word after others can become, with a blank behind what is whole.
func (s *session) candidates(before []string, word string) []string {
	if len(before) == 0 || before[0] == "help" {
		return withPrefix(names((*command).inSession), word)
	}
	c := find(before[0])
	switch {
	case c == nil || !c.inSession():
		return nil
	case strings.HasPrefix(word, "-"):
		return withPrefix(flagNames(c), word)
	case c.name == "use" || c.name == "release":
		return withPrefix(append(slices.Sorted(maps.Keys(s.snapshots)), now), word)
	case c.name == "timing":
		return withPrefix([]string{"on", "off"}, word)
	case c.has(keyArgs):
		return s.keyCandidates(word)
	}
	return nil
}

func withPrefix(words []string, prefix string) []string {
	var list []string
	for _, w := range words {
		if strings.HasPrefix(w, prefix) {
			list = append(list, w+" ")
		}
	}
	slices.Sort(list)
	return list
}

// flagNames returns the flags of a command, with their dash.
func flagNames(c *command) []string {
	var list []string
	p, err := c.parse([]string{"-h"}, ofSession)
	if err == nil {
		p.flags.VisitAll(func(f *flag.Flag) { list = append(list, "-"+f.Name) })
	}
	return list
}

// keyCandidates returns keys that begin with what a word stands for, and what many of them begin with.
func (s *session) keyCandidates(word string) []string {
	whole, begun := cutEscape(word)
	prefix, err := unquoteOpen(whole)
	if err != nil {
		return nil
	}
	var list []string
	s.read(func(at *ebb.Snapshot) error { // without an answer there is none
		for _, k := range keyGroups(at, prefix) {
			if begun == "" || strings.HasPrefix(quoteAlways(string(k.key[len(prefix):]))[1:], begun) {
				list = append(list, completion(k, word))
			}
		}
		return nil
	})
	return list
}

// unquoteOpen is unquote for a word whose quote may not be closed yet.
func unquoteOpen(word string) ([]byte, error) {
	if strings.HasPrefix(word, "'") {
		return []byte(strings.TrimSuffix(word[1:], "'")), nil
	}
	if !strings.HasPrefix(word, `"`) {
		return []byte(word), nil
	}
	if b, err := unquote(word + `"`); err == nil {
		return b, nil
	}
	return unquote(word)
}

// escapeLengths are those of the escapes that are longer than two bytes, by what follows the backslash.
var escapeLengths = map[byte]int{'x': 4, 'u': 6, 'U': 10, '0': 4, '1': 4, '2': 4, '3': 4, '4': 4, '5': 4, '6': 4, '7': 4}

// cutEscape cuts an escape that is not whole yet off the end of a word in double quotes. What several keys have in common
// can end in the middle of one.
func cutEscape(word string) (whole, begun string) {
	if !strings.HasPrefix(word, `"`) {
		return word, ""
	}
	for i := 1; i < len(word); i++ {
		if word[i] != '\\' {
			continue
		}
		n := 2
		if i+1 < len(word) {
			n = max(n, escapeLengths[word[i+1]])
		}
		if i+n > len(word) {
			return word[:i], word[i:]
		}
		i += n - 1
	}
	return word, ""
}

// keyGroup is a key, or what several begin with.
type keyGroup struct {
	key  []byte
	more bool // keys go on behind it
}

// keyGroups returns the keys that begin with a prefix, each up to the next separator, and passes over what a group hides: a
// session can complete in a database of millions of keys. Of too many it returns the first ones and the last, so that what
// they have in common is what all have.
func keyGroups(at *ebb.Snapshot, prefix []byte) (groups []keyGroup) {
	it, err := at.NewIterator(&ebb.IterOptions{Prefix: prefix, KeysOnly: true})
	if err != nil {
		return nil
	}
	defer it.Close()
	for ok := it.First(); ok; {
		if len(groups) == mostCompletions {
			if it.Last() {
				groups = append(groups, groupOf(it.Key(), prefix))
			}
			break
		}
		g := groupOf(it.Key(), prefix)
		groups = append(groups, g)
		if !g.more {
			ok = it.Next()
		} else {
			end := after(g.key)
			ok = end != nil && it.Seek(end)
		}
	}
	return groups
}

// groupOf returns the group that a key with a prefix is in.
func groupOf(key, prefix []byte) keyGroup {
	key = bytes.Clone(key)
	n := bytes.IndexAny(key[len(prefix):], separators)
	if n < 0 || len(prefix)+n+1 == len(key) {
		return keyGroup{key, false}
	}
	return keyGroup{key[:len(prefix)+n+1], true}
}

// after returns the first key that does not begin with prefix and is not before it, nil if there is none.
func after(prefix []byte) []byte {
	end := bytes.Clone(prefix)
	for len(end) > 0 {
		if end[len(end)-1]++; end[len(end)-1] != 0 {
			return end
		}
		end = end[:len(end)-1]
	}
	return nil
}

// completion returns a key as the word that it completes: quoted if it must be, or if the word is.
func completion(g keyGroup, word string) string {
	q := quote(g.key)
	switch key := string(g.key); {
	case strings.HasPrefix(word, "'") && isLiteral(key):
		q = "'" + key + "'"
	case strings.HasPrefix(word, `"`) || strings.HasPrefix(word, "'"):
		q = quoteAlways(key)
	}
	switch {
	case !g.more:
		return q + " "
	case q[0] == '"' || q[0] == '\'':
		return q[:len(q)-1]
	}
	return q
}
