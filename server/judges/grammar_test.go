package judges

import (
	"fmt"
	"strings"
	"time"

	"pgregory.net/rapid"
)

// A form is a command as it may be written: the kinds of its arguments, and options of which any may come, in any order and
// more than once. A kind in capitals stands for itself.
type form struct {
	weight  int
	words   string
	options []string
}

var expiries = []string{"EX span", "PX span", "EXAT seconds", "PXAT millis"}

func options(more ...string) []string { return append(append([]string(nil), expiries...), more...) }

// forms are what both Redis 7.0 and ebbd have.
var forms = []form{
	{8, "SET key value", options("NX", "XX", "GET", "KEEPTTL")},
	{4, "GET key", nil},
	{2, "SETEX key span value", nil},
	{2, "PSETEX key span value", nil},
	{2, "SETNX key value", nil},
	{4, "GETEX key", options("PERSIST")},
	{2, "GETDEL key", nil},
	{2, "GETSET key value", nil},
	{2, "MGET key key key", nil},
	{2, "MSET key value key value", nil},
	{2, "MSETNX key value key value", nil},
	{3, "APPEND key value", nil},
	{1, "STRLEN key", nil},
	{2, "GETRANGE key index index", nil},
	{1, "SUBSTR key index index", nil},
	{3, "SETRANGE key offset value", nil},
	{2, "INCR key", nil},
	{1, "DECR key", nil},
	{3, "INCRBY key int", nil},
	{2, "DECRBY key int", nil},
	{3, "INCRBYFLOAT key float", nil},
	{2, "LCS key key", []string{"LEN", "IDX", "MINMATCHLEN index", "WITHMATCHLEN"}},
	{2, "DEL key key", nil},
	{1, "UNLINK key", nil},
	{1, "EXISTS key key key", nil},
	{1, "TOUCH key key", nil},
	{1, "TYPE key", nil},
	{3, "EXPIRE key span", []string{"NX", "XX", "GT", "LT"}},
	{2, "PEXPIRE key span", []string{"NX", "XX", "GT", "LT"}},
	{2, "EXPIREAT key seconds", []string{"NX", "XX", "GT", "LT"}},
	{2, "PEXPIREAT key millis", []string{"NX", "XX", "GT", "LT"}},
	{3, "TTL key", nil},
	{3, "PTTL key", nil},
	{2, "EXPIRETIME key", nil},
	{2, "PEXPIRETIME key", nil},
	{2, "PERSIST key", nil},
	{3, "RENAME key key", nil},
	{2, "RENAMENX key key", nil},
	{2, "COPY key key", []string{"REPLACE", "DB 0", "DB index"}},
	{1, "RANDOMKEY", nil},
	{2, "KEYS pattern", nil},
	{3, "SCAN 0", []string{"COUNT 1000", "COUNT index", "MATCH pattern", "TYPE string", "TYPE value"}},
	{1, "SCAN abc", []string{"COUNT 1000"}},
	{2, "DBSIZE", nil},
	{1, "FLUSHALL", []string{"ASYNC", "SYNC"}},
	{1, "FLUSHDB", []string{"ASYNC", "SYNC"}},
	{3, "MULTI", nil},
	{4, "EXEC", nil},
	{1, "DISCARD", nil},
	{3, "WATCH key key", nil},
	{1, "UNWATCH", nil},
	{1, "PING", []string{"value"}},
	{1, "ECHO value", nil},
	{1, "SELECT index", nil},
	{1, "CLIENT SETNAME value", nil},
	{1, "CLIENT GETNAME", nil},
	{1, "HELLO", []string{"2", "3", "index", "SETNAME value", "AUTH value value"}},
	{1, "AUTH value", []string{"value"}},
	{1, "RESET", nil},
	{1, "PUBLISH key value", nil},
	{1, "PUBSUB CHANNELS", []string{"pattern"}},
	{1, "PUBSUB NUMSUB", []string{"value"}},
	{1, "PUBSUB NUMPAT", nil},
	{1, "PUBSUB value", nil},
	{1, "CLIENT value", nil},
	{1, "OBJECT value key", nil},
	{1, "CONFIG value value", nil},
	{1, "COMMAND value", nil},
	{1, "OBJECT ENCODING key", nil},
	{1, "NOSUCHCOMMAND value key", nil},
	{1, "value key", nil},
}

var (
	someKeys     = []string{"a", "b", "c", "key:1", "key:2", "\x00\r\n\xff", "h[a]llo", strings.Repeat("long", 20)}
	someValues   = []string{"", "v", "0", "1", "-1", "10", "007", "-0", "+1", " 1", "1 ", "1.5", "1e3", "abc", "3.0", "0x10", "inf", "nan", "\r\n_\x00\xff", "9223372036854775807", "-9223372036854775808", "9223372036854775808", "ohmytext", "mynewtext", strings.Repeat("x", 300)}
	someInts     = []string{"0", "1", "-1", "5", "-7", "100", "9223372036854775807", "-9223372036854775808", "9223372036854775808", "-9223372036854775809", "18446744073709551616", "1.0", "", " 1", "1 ", "+1", "01", "-0", "abc", "0x1", "1e1"}
	someFloats   = []string{"0", "1", "-1", "0.1", "0.2", "-0.1", "1.5", "3.0e3", "1e17", "1e-17", "123456789.123456789", "0.00000001", "5e-324", "1e308", "-1e308", "inf", "-inf", "+inf", "nan", "", " 1", "1 ", "abc", "0x1p3", "1_0", ".5", "5.", "9223372036854775807", "1e400"}
	someIndexes  = []string{"0", "1", "2", "-1", "-2", "4", "10", "-10", "100", "-100", "9223372036854775807", "-9223372036854775808", "abc", ""}
	someOffsets  = []string{"0", "1", "2", "5", "100", "-1", "536870912", "9223372036854775807", "-9223372036854775808", "abc", ""}
	someSpans    = []string{"1000", "2000", "100000", "1000000", "0", "-1", "-1000", "9223372036854775807", "9223372036854775", "9223372036854776", "-9223372036854775808", "9223372036854775808", "1.5", "abc", "", " 1000"}
	somePatterns = []string{"*", "?", "key:*", "key:[12]", "key:[^1]", "[a-c]", "[c-a]", "h\\[a\\]llo", "h[[]a]llo", "", "a", "**", "*1", "[", "[a", "\\", "[^", "*\\", "?*?", "nosuch*"}
)

// deadlines returns points in time: long gone, far away and impossible; none that comes while the test runs.
func deadlines(unit time.Duration) []string {
	perSecond := int64(time.Second / unit)
	return []string{
		"1", "0", "-1", fmt.Sprint(perSecond * 1_000_000_000), fmt.Sprint(perSecond * 9_999_999_999), fmt.Sprint(perSecond * 9_999_999_998),
		"9223372036854775807", "9223372036854775", "9223372036854776", "-9223372036854775808", "abc", "",
	}
}

var kinds = map[string][]string{
	"key": someKeys, "value": someValues, "int": someInts, "float": someFloats, "index": someIndexes, "offset": someOffsets,
	"span": someSpans, "pattern": somePatterns, "seconds": deadlines(time.Second), "millis": deadlines(time.Millisecond),
}

// fill returns the words with a drawn one for each kind. Most that are drawn are of the first few, which fit.
func fill(t *rapid.T, words string) []string {
	var args []string
	for _, w := range strings.Fields(words) {
		if all, ok := kinds[w]; ok {
			if rapid.IntRange(0, 3).Draw(t, "edge") != 0 {
				all = all[:min(len(all), 4)]
			}
			w = rapid.SampledFrom(all).Draw(t, w)
		}
		args = append(args, w)
	}
	return args
}

var weighted = func() (all []form) {
	for _, f := range forms {
		for range f.weight {
			all = append(all, f)
		}
	}
	return all
}()

// command draws a command that is mostly well formed.
func command(t *rapid.T) []string {
	f := rapid.SampledFrom(weighted).Draw(t, "form")
	args := fill(t, f.words)
	if len(f.options) > 0 {
		for range rapid.SampledFrom([]int{0, 0, 1, 1, 1, 2, 2, 3}).Draw(t, "options") {
			args = append(args, fill(t, rapid.SampledFrom(f.options).Draw(t, "option"))...)
		}
	}
	switch rapid.IntRange(0, 29).Draw(t, "harm") {
	case 0:
		if len(args) > 1 {
			args = args[:len(args)-1]
		}
	case 1:
		args = append(args, rapid.SampledFrom(someValues).Draw(t, "extra"))
	case 2:
		for i := range args { // names of commands and options may be in any case
			args[i] = strings.ToLower(args[i])
		}
	}
	return args
}
