package main

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

// history is what the clients did and saw.
type history struct {
	began time.Time

	mu  sync.Mutex
	ops []porcupine.Operation

	done, refused, unknown int
}

// forever is when a call returns whose outcome is unknown: it may take effect at any time after it was made.
const forever = math.MaxInt64

// note adds a call. One that was refused is no part of the history, nor is a read that failed.
func (h *history) note(client int, c call, a answer, from, to time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	op := porcupine.Operation{ClientId: client, Input: c, Output: a, Call: int64(from), Return: int64(to)}
	switch a.Outcome {
	case done:
		h.done++
	case refused:
		h.refused++
		return
	default:
		h.unknown++
		if c.reads() {
			return
		}
		op.Return = forever
	}
	h.ops = append(h.ops, op)
}

// reads reports whether a call writes nothing.
func (c *call) reads() bool {
	return c.Op == "get" || c.Op == "txn" && !slices.ContainsFunc(c.Micro, func(m micro) bool { return m.Append != "" })
}

// group returns the part of the history that a call belongs to: a key, or a group of lists, of which a transaction never
// touches two.
func (c *call) group() string {
	if c.Op == "txn" {
		return c.Micro[0].List[:strings.LastIndexByte(c.Micro[0].List, '.')]
	}
	return c.Key
}

// split returns the parts of the history, by kind: registers, counters and lists.
func (h *history) split() map[string][]porcupine.Operation {
	h.mu.Lock()
	defer h.mu.Unlock()
	parts := map[string][]porcupine.Operation{}
	for _, op := range h.ops {
		c := op.Input.(call)
		parts[c.group()] = append(parts[c.group()], op)
	}
	return parts
}

// check checks all parts, each for a time at most, and returns what is wrong with them. open counts those without a verdict.
func (h *history) check(limit time.Duration) (problems []string, parts, open int) {
	split := h.split()
	for key, ops := range split {
		var model porcupine.Model
		switch key[0] {
		case 'r':
			model = registerModel
		case 'c':
			model = counterModel
		case 'l':
			model, ops = listModel, settleLists(ops)
		default:
			continue
		}
		parts++
		switch porcupine.CheckOperationsTimeout(model, ops, limit) {
		case porcupine.Illegal:
			problems = append(problems, fmt.Sprintf("%s: not linearizable:\n%s", key, describe(ops)))
		case porcupine.Unknown:
			open++
			problems = append(problems, fmt.Sprintf("%s: no verdict on %d calls in %v", key, len(ops), limit))
		}
	}
	return problems, parts, open
}

// settleLists decides about calls whose outcome is unknown, as far as the elements that they append tell: each is appended by one
// call only, and the last calls of a history read all. An element that nobody has read was appended after all reads, or never:
// its call may be left out. Of one that was read the call has taken effect by the time that the first such read has returned. So
// next to nothing is left to be tried.
func settleLists(ops []porcupine.Operation) (settled []porcupine.Operation) {
	seen := map[string]int64{} // by element: when it had been read
	for _, op := range ops {
		for _, list := range op.Output.(answer).Lists {
			for _, v := range list {
				if at, ok := seen[v]; op.Return != forever && (!ok || op.Return < at) {
					seen[v] = op.Return
				}
			}
		}
	}
	for _, op := range ops {
		if op.Return == forever {
			at, ok := int64(forever), false
			for _, m := range op.Input.(call).Micro {
				if t, read := seen[m.Append]; read {
					at, ok = min(at, t), true
				}
			}
			if !ok {
				continue
			}
			op.Return = at
		}
		settled = append(settled, op)
	}
	return settled
}

// describe lists calls, one a line.
func describe(ops []porcupine.Operation) string {
	ops = slices.Clone(ops)
	slices.SortFunc(ops, func(a, b porcupine.Operation) int { return int(a.Call - b.Call) })
	var s strings.Builder
	for _, op := range ops {
		end := "-"
		if op.Return != forever {
			end = fmt.Sprint(time.Duration(op.Return))
		}
		c, a := op.Input.(call), op.Output.(answer)
		fmt.Fprintf(&s, "  %v..%s client %d: %s %s %q old %q delta %d %v -> ", time.Duration(op.Call), end, op.ClientId,
			c.Op, c.Key, c.Value, c.Old, c.Delta, c.Micro)
		fmt.Fprintf(&s, "%s %q found %v n %d lists %v %s\n", a.Outcome, a.Value, a.Found, a.N, a.Lists, a.Err)
	}
	return s.String()
}

// A register is a value, or nothing.
var registerModel = porcupine.Model{
	Init: func() any { return "" },
	Step: func(state, input, output any) (bool, any) {
		value, c, a := state.(string), input.(call), output.(answer)
		sure := a.Outcome == done
		switch c.Op {
		case "put":
			return true, "=" + c.Value
		case "delete":
			return true, ""
		case "cas":
			swaps := value == "="+c.Old
			if sure && swaps != a.Found {
				return false, value
			}
			if swaps {
				return true, "=" + c.Value
			}
			return true, value
		}
		if a.Found {
			return value == "="+a.Value, value
		}
		return value == "", value
	},
}

// A counter is a number, 0 at first.
var counterModel = porcupine.Model{
	Init: func() any { return int64(0) },
	Step: func(state, input, output any) (bool, any) {
		n, c, a := state.(int64), input.(call), output.(answer)
		if c.Op == "add" {
			n += c.Delta
			return a.Outcome != done || a.N == n, n
		}
		return a.Found && a.Value == strconv.FormatInt(n, 10) || !a.Found && n == 0, n
	},
}

// A group of lists is what each list holds, as text: name=a,b,c; in the order of names.
var listModel = porcupine.Model{
	Init: func() any { return "" },
	Step: func(state, input, output any) (bool, any) {
		lists := parseLists(state.(string))
		c, a := input.(call), output.(answer)
		reads := a.Lists
		for _, m := range c.Micro {
			if m.Append != "" {
				lists[m.List] = append(slices.Clone(lists[m.List]), m.Append)
				continue
			}
			if a.Outcome != done {
				continue
			}
			if len(reads) == 0 || !slices.Equal(reads[0], lists[m.List]) {
				return false, state
			}
			reads = reads[1:]
		}
		return true, formatLists(lists)
	},
}

func parseLists(s string) map[string][]string {
	lists := map[string][]string{}
	for _, part := range strings.Split(s, ";") {
		if name, values, ok := strings.Cut(part, "="); ok {
			lists[name] = strings.Split(values, ",")
		}
	}
	return lists
}

func formatLists(lists map[string][]string) string {
	var parts []string
	for name, values := range lists {
		parts = append(parts, name+"="+strings.Join(values, ","))
	}
	slices.Sort(parts)
	return strings.Join(parts, ";")
}
