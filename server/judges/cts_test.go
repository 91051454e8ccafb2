package judges

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A ctsCase is one of testdata/cts.json: lines to send, and the replies to expect.
type ctsCase struct {
	Name    string
	Command []string
	Result  []any
	Since   string
	Sort    bool `json:"sort_result"`
	Binary  bool `json:"command_binary"`
	Skipped bool
	Tags    string
}

// ctsNotThere are the commands of the cases which ebbd does not have, by Redis's groups and with the reason. A case with one of
// them has to fail: what passes is to be taken off the list.
var ctsNotThere = []struct{ why, commands string }{
	{"lists are not there", "blmove blmpop blpop brpop brpoplpush lindex linsert llen lmove lmpop lpop lpos lpush lpushx lrange lrem " +
		"lset ltrim rpop rpoplpush rpush rpushx sort sort_ro"},
	{"sets are not there", "sadd scard sdiff sdiffstore sinter sintercard sinterstore sismember smembers smismember smove spop " +
		"srandmember srem sscan sunion sunionstore"},
	{"sorted sets are not there", "bzmpop bzpopmax bzpopmin zadd zcard zcount zdiff zdiffstore zincrby zinter zintercard zinterstore " +
		"zlexcount zmpop zmscore zpopmax zpopmin zrandmember zrange zrangebylex zrangebyscore zrangestore zrank zrem " +
		"zremrangebylex zremrangebyrank zrevrange zrevrangebylex zrevrangebyscore zrevrank zscan zscore zunion " +
		"zunionstore"},
	{"hashes are not there", "hdel hexists hget hgetall hincrby hincrbyfloat hkeys hlen hmget hmset hrandfield hscan hset hsetnx " +
		"hstrlen hvals"},
	{"streams are not there", "xack xadd xclaim xdel xgroup xlen xpending xrange xread xreadgroup xrevrange xtrim"},
	{"places are not there", "geoadd geodist geohash geopos georadius georadius_ro georadiusbymember georadiusbymember_ro " +
		"geosearch geosearchstore"},
	{"counts of distinct things are not there", "pfadd pfcount pfmerge"},
	{"operations on bits are not there", "bitcount bitfield bitfield_ro bitop bitpos getbit setbit"},
	{"scripts are not there", "eval eval_ro evalsha evalsha_ro fcall fcall_ro function|delete function|dump " +
		"function|list function|load function|restore function|stats script"}, // FUNCTION FLUSH is there: it has nothing to do
	{"there is one database", "move swapdb"},
	{"there is no cluster", "spublish ssubscribe sunsubscribe"},
}

// ctsSkip returns why a case is not among those that ebbd has to pass, or nothing.
func ctsSkip(c ctsCase) string {
	for _, line := range c.Command {
		words := strings.Fields(strings.ToLower(line))
		for _, group := range ctsNotThere {
			all := strings.Fields(group.commands)
			if slices.Contains(all, words[0]) || len(words) > 1 && slices.Contains(all, words[0]+"|"+words[1]) {
				return group.why
			}
		}
	}
	return ""
}

func TestCTS(t *testing.T) {
	data, err := os.ReadFile("testdata/cts.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []ctsCase
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	var s *server
	if judgesEbb() {
		s = start(t)
	} else {
		s = startRedis(t) // with more than one database, which some cases need
	}
	passed, skipped := 0, make(map[string]int)
	for i, c := range cases {
		err := c.replay(t, s.addr)
		switch why := ctsSkip(c); {
		case !judgesEbb():
			if err != nil && !c.Skipped && c.Since < "7.1" {
				t.Errorf("case %d, %q: %v", i, c.Name, err)
			} else if err == nil {
				passed++
			}
		case why != "" && err == nil:
			t.Errorf("case %d, %q, would pass, and is skipped because %s", i, c.Name, why)
		case why != "":
			skipped[why]++
		case err != nil:
			t.Errorf("case %d, %q, since %s: %v", i, c.Name, c.Since, err)
		default:
			passed++
		}
	}
	t.Logf("%d of %d cases passed", passed, len(cases))
	if !judgesEbb() {
		return
	}
	for _, group := range ctsNotThere {
		t.Logf("%3d skipped: %s", skipped[group.why], group.why)
		if skipped[group.why] == 0 {
			t.Errorf("no case is skipped because %s", group.why)
		}
	}
}

// replay sends the lines of a case on a connection of its own to an empty server.
func (c ctsCase) replay(t *testing.T, addr string) error {
	conn, err := dialAddr(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if r, err := conn.do("FLUSHALL"); err != nil || r.text != "OK" {
		t.Fatalf("FLUSHALL: %s, %v", r, err)
	}
	for i, line := range c.Command {
		if c.Binary {
			line = unescape(line)
		}
		r, err := conn.do(words(line)...)
		if err != nil {
			return err
		}
		if r.isError() {
			return fmt.Errorf("%s: %s", line, r)
		}
		got, want := r.plain(), c.Result[i]
		if c.Sort {
			sortPlain(got)
			sortPlain(want)
		}
		if !reflect.DeepEqual(got, want) {
			return fmt.Errorf("%s: got %v, want %v", line, got, want)
		}
	}
	return nil
}

// words splits a line at its spaces, other than those between quotes.
func words(line string) []string {
	var all []string
	for rest := strings.TrimSpace(line); rest != ""; rest = strings.TrimSpace(rest) {
		end := " "
		if rest[0] == '"' {
			rest, end = rest[1:], `"`
		}
		var word string
		word, rest, _ = strings.Cut(rest, end)
		all = append(all, word)
	}
	return all
}

// plain returns a reply of RESP2 as JSON would decode it.
func (r reply) plain() any {
	switch {
	case r.null:
		return nil
	case r.kind == ':':
		n, _ := strconv.ParseFloat(r.text, 64)
		return n
	case r.kind == '*':
		list := make([]any, 0, len(r.elems))
		for _, e := range r.elems {
			list = append(list, e.plain())
		}
		return list
	}
	return r.text
}

func sortPlain(v any) {
	if list, ok := v.([]any); ok {
		slices.SortFunc(list, func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	}
}

// unescape undoes the escapes of the cases that have binary arguments.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		switch s[i] {
		case 'x':
			n, _ := strconv.ParseUint(s[i+1:i+3], 16, 8)
			b.WriteByte(byte(n))
			i += 2
		case 'a':
			b.WriteByte('\a')
		case 'b':
			b.WriteByte('\b')
		case 'n':
			b.WriteByte('\n')
		case 'r':
			b.WriteByte('\r')
		case 't':
			b.WriteByte('\t')
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String()
}
