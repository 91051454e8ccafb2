package resp

// globMatch reports whether text matches a pattern as Redis has them: * is any bytes, ? is one, [abc], [^abc] and [a-z] are one
// of a set, and \ takes the next byte as it is. It takes time in proportion to the product of the lengths at most: of several
// stars only the last is tried again.
func globMatch(pattern, text []byte, fold bool) bool {
	p, t := 0, 0
	star, from := -1, 0 // the last star, and where the text goes on behind what it has taken
	for t < len(text) {
		if p < len(pattern) && pattern[p] == '*' {
			star, from = p, t
			p++
			continue
		}
		if p < len(pattern) {
			if n, ok := globOne(pattern[p:], text[t], fold); ok {
				p += n
				t++
				continue
			}
		}
		if star < 0 {
			return false
		}
		from++
		p, t = star+1, from
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// globOne matches one byte with the beginning of a pattern, and returns how long that is.
func globOne(pattern []byte, b byte, fold bool) (n int, ok bool) {
	if fold {
		b = lowerByte(b)
	}
	same := func(c byte) bool { return c == b || fold && lowerByte(c) == b }
	switch pattern[0] {
	case '?':
		return 1, true
	case '[':
		return globSet(pattern, b, fold)
	case '\\':
		if len(pattern) > 1 {
			return 2, same(pattern[1])
		}
	}
	return 1, same(pattern[0])
}

// globSet matches one byte with a set. A set that is not closed ends with the pattern.
func globSet(pattern []byte, b byte, fold bool) (n int, ok bool) {
	i := 1
	not := i < len(pattern) && pattern[i] == '^'
	if not {
		i++
	}
	for ; ; i++ {
		switch {
		case i >= len(pattern):
			return len(pattern), ok != not
		case pattern[i] == '\\' && i+1 < len(pattern):
			i++
			ok = ok || globFold(pattern[i], fold) == b
		case pattern[i] == ']':
			return i + 1, ok != not
		case i+2 < len(pattern) && pattern[i+1] == '-':
			low, high := pattern[i], pattern[i+2]
			if low > high {
				low, high = high, low
			}
			low, high = globFold(low, fold), globFold(high, fold)
			ok = ok || b >= low && b <= high
			i += 2
		default:
			ok = ok || globFold(pattern[i], fold) == b
		}
	}
}

func globFold(c byte, fold bool) byte {
	if fold {
		return lowerByte(c)
	}
	return c
}

func lowerByte(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// globPrefix returns the bytes that everything begins with that matches a pattern.
func globPrefix(pattern []byte) []byte {
	var prefix []byte
	for i := 0; i < len(pattern); i++ {
		switch pattern[i] {
		case '*', '?', '[':
			return prefix
		case '\\':
			if i+1 == len(pattern) {
				return prefix
			}
			i++
		}
		prefix = append(prefix, pattern[i])
	}
	return prefix
}
