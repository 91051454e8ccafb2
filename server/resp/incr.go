package resp

import (
	"errors"
	"math"
	"math/big"
	"strings"

	"github.com/ebbdb/ebb"
)

const errIncrOverflow = "ERR increment or decrement would overflow"

func incr(x *exec, key []byte, delta int64) {
	e, ok := x.entry(key)
	if x.err != nil {
		return
	}
	var n int64
	if ok {
		if n, ok = parseInt(e.Value); !ok {
			x.out.err(errNotInteger)
			return
		}
	}
	if delta > 0 && n > math.MaxInt64-delta || delta < 0 && n < math.MinInt64-delta {
		x.out.err(errIncrOverflow)
		return
	}
	n += delta
	if x.put(key, appendInt(nil, n), e.Deadline) {
		x.isNew(ok, key)
		x.notify(notifyString, "incrby", key)
		x.out.int(n)
	}
}

// fastIncr is incr by one Add, which counts anything that strconv reads: so what is there is looked at first.
func fastIncr(c *client, key []byte, delta int64) {
	if c.srv.settings.notify() != 0 {
		c.inTxn(true, func(x *exec) { incr(x, key, delta) })
		return
	}
	mark := len(c.out.b)
	b, err := c.srv.store.AppendGet(c.srv.ctx, c.out.b, key)
	if err == nil {
		if _, ok := parseInt(b[mark:]); !ok {
			err = ebb.ErrNotCounter
		}
	} else if isAbsent(err) {
		err = nil
	}
	if b != nil {
		c.out.b = b[:mark]
	}
	var sum int64
	if err == nil {
		sum, err = c.srv.store.Add(c.srv.ctx, key, delta, c.writeOptions()...)
		c.wrote(err)
	}
	switch {
	case err == nil:
		c.out.int(sum)
	case errors.Is(err, ebb.ErrNotCounter):
		c.out.err(errNotInteger)
	case errors.Is(err, ebb.ErrOverflow):
		c.out.err(errIncrOverflow)
	default:
		c.storeError(err)
	}
}

func incrBy(x *exec, args [][]byte) {
	if n, ok := parseInt(args[2]); ok {
		incr(x, args[1], n)
	} else {
		x.out.err(errNotInteger)
	}
}

func fastIncrBy(c *client, args [][]byte) {
	if n, ok := parseInt(args[2]); ok {
		fastIncr(c, args[1], n)
	} else {
		c.out.err(errNotInteger)
	}
}

// negated returns -n, or an error text.
func negated(arg []byte) (int64, string) {
	n, ok := parseInt(arg)
	switch {
	case !ok:
		return 0, errNotInteger
	case n == math.MinInt64:
		return 0, "ERR decrement would overflow"
	}
	return -n, ""
}

func decrBy(x *exec, args [][]byte) {
	n, refusal := negated(args[2])
	if refusal != "" {
		x.out.err(refusal)
		return
	}
	incr(x, args[1], n)
}

func fastDecrBy(c *client, args [][]byte) {
	n, refusal := negated(args[2])
	if refusal != "" {
		c.out.err(refusal)
		return
	}
	fastIncr(c, args[1], n)
}

// extended is the precision of a long double, in which Redis adds.
const extended = 64

func incrByFloat(x *exec, args [][]byte) {
	e, ok := x.entry(args[1])
	if x.err != nil {
		return
	}
	old := new(big.Float).SetPrec(extended)
	if ok {
		if old, ok = parseExtended(e.Value); !ok {
			x.out.err(errNotFloat)
			return
		}
		ok = true
	}
	delta, good := parseExtended(args[2])
	if !good {
		x.out.err(errNotFloat)
		return
	}
	if old.IsInf() || delta.IsInf() {
		x.out.err("ERR increment would produce NaN or Infinity")
		return
	}
	sum := new(big.Float).SetPrec(extended).Add(old, delta)
	if sum.MantExp(nil) > 16384 {
		x.out.err("ERR increment would produce NaN or Infinity")
		return
	}
	value := formatExtended(sum)
	if x.put(args[1], value, e.Deadline) {
		x.isNew(ok, args[1])
		x.notify(notifyString, "incrbyfloat", args[1])
		x.out.bulk(value)
	}
}

// parseExtended reads a number as strtold does, all of b.
func parseExtended(b []byte) (*big.Float, bool) {
	const longest = 5 << 10
	if len(b) == 0 || len(b) > longest || isBlank(b[0]) {
		return nil, false
	}
	s := string(b)
	if strings.ContainsAny(s, "_bBoO") && !hexNumber(s) {
		return nil, false
	}
	if bare := strings.ToLower(strings.TrimLeft(s, "+-")); bare == "inf" || bare == "infinity" {
		return new(big.Float).SetInf(s[0] == '-'), len(s)-len(bare) <= 1
	}
	if !plainExponent(s) {
		return nil, false
	}
	f, _, err := big.ParseFloat(s, 0, extended, big.ToNearestEven)
	if err != nil || f.IsInf() || f.MantExp(nil) > 16384 {
		return nil, false
	}
	return f, true
}

func hexNumber(s string) bool {
	s = strings.ToLower(strings.TrimLeft(s, "+-"))
	return strings.HasPrefix(s, "0x") && !strings.ContainsAny(s, "_o")
}

// plainExponent reports whether the exponent, if there is one, is one that does not make a number of millions of digits.
func plainExponent(s string) bool {
	i := strings.LastIndexAny(s, "eEpP")
	if i < 0 || hexNumber(s) && (s[i] == 'e' || s[i] == 'E') {
		return true
	}
	return len(strings.TrimLeft(s[i+1:], "+-0")) <= 5
}

// formatExtended writes a number with up to 17 digits behind the point, without zeros at the end.
func formatExtended(f *big.Float) []byte {
	s := f.Text('f', 17)
	s = strings.TrimRight(s, "0")
	s = strings.TrimSuffix(s, ".")
	if s == "-0" {
		s = "0"
	}
	return []byte(s)
}
