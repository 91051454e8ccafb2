package resp

// lcsMatch is a stretch that two strings share, by its first and last places in each.
type lcsMatch struct{ aFrom, aTo, bFrom, bTo int }

// lcsOptions are the options of LCS.
type lcsOptions struct {
	length, idx, withLen bool
	min                  int64
}

func lcs(x *exec, args [][]byte) {
	var o lcsOptions
	for i := 3; i < len(args); i++ {
		switch {
		case equalFold(args[i], "idx"):
			o.idx = true
		case equalFold(args[i], "len"):
			o.length = true
		case equalFold(args[i], "withmatchlen"):
			o.withLen = true
		case equalFold(args[i], "minmatchlen") && i+1 < len(args):
			i++
			n, ok := parseInt(args[i])
			if !ok {
				x.out.err(errNotInteger)
				return
			}
			o.min = max(0, n)
		default:
			x.out.err(errSyntax)
			return
		}
	}
	if o.idx && o.length {
		x.out.err("ERR If you want both the length and indexes, please just use IDX.")
		return
	}
	a, _ := x.entry(args[1])
	b, _ := x.entry(args[2])
	if x.err != nil {
		return
	}
	if cells := (int64(len(a.Value)) + 1) * (int64(len(b.Value)) + 1); cells > int64(x.srv.opts.MaxRequest)/4 {
		x.out.err("ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len")
		return
	}
	x.lcs(a.Value, b.Value, o)
}

func (x *exec) lcs(a, b []byte, o lcsOptions) {
	t := lcsTable(a, b)
	width := len(b) + 1
	total := int(t[len(t)-1])
	if o.length {
		x.out.int(int64(total))
		return
	}
	common := make([]byte, total)
	var (
		matches []lcsMatch
		run     lcsMatch
		open    bool
	)
	end := func() {
		if open && int64(run.aTo-run.aFrom+1) >= o.min {
			matches = append(matches, run)
		}
		open = false
	}
	at := total
	for i, j := len(a), len(b); i > 0 && j > 0; {
		switch {
		case a[i-1] == b[j-1]:
			at--
			common[at] = a[i-1]
			i--
			j--
			if !open {
				run, open = lcsMatch{i, i, j, j}, true
			} else if run.aFrom == i+1 && run.bFrom == j+1 {
				run.aFrom, run.bFrom = i, j
			} else {
				end()
				run, open = lcsMatch{i, i, j, j}, true
			}
		case t[(i-1)*width+j] > t[i*width+j-1]:
			i--
		default:
			j--
		}
	}
	end()
	if !o.idx {
		x.out.bulk(common)
		return
	}
	x.lcsMatches(matches, total, o.withLen)
}

func (x *exec) lcsMatches(matches []lcsMatch, total int, withLen bool) {
	x.out.mapOf(2)
	x.out.bulkString("matches")
	x.out.array(len(matches))
	for _, m := range matches {
		if withLen {
			x.out.array(3)
		} else {
			x.out.array(2)
		}
		x.out.array(2)
		x.out.int(int64(m.aFrom))
		x.out.int(int64(m.aTo))
		x.out.array(2)
		x.out.int(int64(m.bFrom))
		x.out.int(int64(m.bTo))
		if withLen {
			x.out.int(int64(m.aTo - m.aFrom + 1))
		}
	}
	x.out.bulkString("len")
	x.out.int(int64(total))
}

// lcsTable returns how long the longest common subsequence of each two beginnings is.
func lcsTable(a, b []byte) []uint32 {
	width := len(b) + 1
	t := make([]uint32, (len(a)+1)*width)
	for i := 1; i <= len(a); i++ {
		above, row := t[(i-1)*width:i*width], t[i*width:(i+1)*width]
		for j := 1; j <= len(b); j++ {
			if a[i-1] == b[j-1] {
				row[j] = above[j-1] + 1
			} else {
				row[j] = max(above[j], row[j-1])
			}
		}
	}
	return t
}
