package resp

import "bytes"

// inline takes a command of one line, as a person types it, and reports whether there was one, or one without words.
func (r *reader) inline() (done, skipped bool, err error) {
	rest := r.buf[r.start:r.end]
	end := bytes.IndexByte(rest, '\n')
	if end < 0 {
		if len(rest) > maxInline {
			err = protocolError("too big inline request")
		}
		return false, false, err
	}
	line := bytes.TrimSuffix(rest[:end], []byte("\r"))
	if zero := bytes.IndexByte(line, 0); zero >= 0 {
		line = line[:zero] // as a string of C ends
	}
	words, ok := splitWords(line)
	if !ok {
		return false, false, protocolError("unbalanced quotes in request")
	}
	r.pos = end + 1
	r.consume()
	if len(words) == 0 {
		return false, true, nil
	}
	r.args = append(r.args, words...)
	r.cmds = append(r.cmds, len(r.args))
	return true, false, nil
}

// splitWords splits a line at blanks. In double quotes \n, \r, \t, \b, \a and \xHH are what they are in C, in single quotes \'
// is a quote. It reports false for a quote that is not closed, or that something else follows than a blank.
func splitWords(line []byte) ([][]byte, bool) {
	var words [][]byte
	for i := 0; ; {
		for i < len(line) && isBlank(line[i]) {
			i++
		}
		if i == len(line) {
			return words, true
		}
		word := []byte{}
		for i < len(line) && !isBlank(line[i]) {
			quote := line[i]
			if quote != '"' && quote != '\'' {
				word = append(word, quote)
				i++
				continue
			}
			var n int
			word, n = unquote(word, line[i:])
			i += n
			if n == 0 || i < len(line) && !isBlank(line[i]) {
				return nil, false
			}
		}
		words = append(words, word)
	}
}

// unquote appends what is quoted at the beginning of b, and returns how long it is with its quotes; 0 if it does not end.
func unquote(word, b []byte) ([]byte, int) {
	quote := b[0]
	for i := 1; i < len(b); i++ {
		switch c := b[i]; {
		case c == quote:
			return word, i + 1
		case c != '\\' || i+1 == len(b):
			word = append(word, c)
		case quote == '\'':
			if b[i+1] == '\'' {
				i++
			}
			word = append(word, b[i])
		case b[i+1] == 'x' && i+3 < len(b) && hexDigit(b[i+2]) >= 0 && hexDigit(b[i+3]) >= 0:
			word = append(word, byte(hexDigit(b[i+2])<<4|hexDigit(b[i+3])))
			i += 3
		default:
			i++
			word = append(word, escaped(b[i]))
		}
	}
	return word, 0
}

func escaped(c byte) byte {
	switch c {
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	case 'b':
		return '\b'
	case 'a':
		return '\a'
	}
	return c
}

func hexDigit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

func isBlank(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' || c == 0 }
