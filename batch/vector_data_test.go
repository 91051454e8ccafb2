package batch

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// blob is how a vector file writes bytes: in hex, by a generator, or by length and digest alone.
type blob struct {
	Hex       *string     `json:"hex"`
	Len       *int        `json:"len"`
	SHA256    string      `json:"sha256"`
	PrefixHex string      `json:"prefix_hex"`
	HeaderHex string      `json:"header_hex"`
	Gen       string      `json:"gen"`
	UnitHex   string      `json:"unit_hex"`
	Count     int         `json:"count"`
	Mul       int         `json:"mul"`
	Add       int         `json:"add"`
	Seed      json.Number `json:"seed"`
}

// given tells whether the bytes themselves can be had, not only their digest.
func (b *blob) given() bool { return b.Hex != nil || b.Gen != "" && b.Gen != "none" }

// bytes returns the bytes, having checked everything the vector says about them.
func (b *blob) bytes(t testing.TB) []byte {
	t.Helper()
	data := b.generate(t)
	b.check(t, data)
	return data
}

func (b *blob) generate(t testing.TB) []byte {
	t.Helper()
	if b.Hex != nil {
		return unhex(t, *b.Hex)
	}
	if b.Gen == "repeat" {
		return bytes.Repeat(unhex(t, b.UnitHex), b.Count)
	}
	if b.Len == nil {
		t.Fatalf("generator %q without a length", b.Gen)
	}
	n := *b.Len
	switch b.Gen {
	case "affine":
		return affine(b.Mul, b.Add, n)
	case "xorshift64":
		seed, err := strconv.ParseUint(b.Seed.String(), 10, 64)
		if err != nil {
			t.Fatalf("xorshift64 seed: %v", err)
		}
		return xorshift64(seed, n)
	case "loglines":
		return loglines(n)
	}
	t.Fatalf("unknown generator %q", b.Gen)
	return nil
}

// check compares data with everything the vector says about it.
func (b *blob) check(t testing.TB, data []byte) {
	t.Helper()
	if b.Hex == nil && b.Gen == "" && b.Len == nil && b.SHA256 == "" {
		t.Error("the vector says neither hex nor len nor sha256")
	}
	if b.Hex != nil && !bytes.Equal(data, unhex(t, *b.Hex)) {
		t.Errorf("bytes\n got %x\nwant %s", data, *b.Hex)
	}
	if b.Len != nil && len(data) != *b.Len {
		t.Errorf("length %d, want %d", len(data), *b.Len)
	}
	if sum := sha256.Sum256(data); b.SHA256 != "" && hex.EncodeToString(sum[:]) != b.SHA256 {
		t.Errorf("sha256 %x, want %s", sum, b.SHA256)
	}
	if !bytes.HasPrefix(data, unhex(t, b.PrefixHex)) {
		t.Errorf("bytes do not start with %s", b.PrefixHex)
	}
	if !bytes.HasPrefix(data, unhex(t, b.HeaderHex)) {
		t.Errorf("header is not %s", b.HeaderHex)
	}
}

func affine(mul, add, n int) []byte {
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(i*mul + add)
	}
	return data
}

func xorshift64(s uint64, n int) []byte {
	data := make([]byte, n)
	for i := range data {
		s ^= s << 13
		s ^= s >> 7
		s ^= s << 17
		data[i] = byte(s >> 32)
	}
	return data
}

func loglines(n int) []byte {
	actions := []string{"login", "logout", "view", "update"}
	statuses := []int{200, 404, 500}
	var data []byte
	for i := 0; len(data) < n; i++ {
		data = fmt.Appendf(data, "2026-01-02T%02d:%02d:%02dZ INFO  user=%03d action=%s status=%d\n",
			i/3600%24, i/60%60, i%60, i*7919%1000, actions[i%4], statuses[i%3])
	}
	return data[:n]
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	data, err := hex.DecodeString(s)
	if err != nil {
		t.Fatalf("hex in vector: %v", err)
	}
	return data
}

// recordsRule describes the records of a batch as functions of their index i:
//
//	key:   TEXT
//	value: delete
//	       TEXT
//	       affine mul=EXPR add=EXPR len=EXPR
//	       delete if EXPR, else VALUE
//
// where TEXT is ascii 'FORMAT' % EXPR, and the value of the last is again any of the four.
type recordsRule struct {
	Count int    `json:"count"`
	Key   string `json:"key"`
	Value string `json:"value"`
}

var (
	asciiRule  = regexp.MustCompile(`^ascii '([^']*)' % (.+)$`)
	deleteRule = regexp.MustCompile(`^delete if (.+?), else (.+)$`)
	affineRule = regexp.MustCompile(`^affine mul=(.+) add=(.+) len=(.+)$`)
)

// errRule is what a rule is that is none of the above.
var errRule = errors.New("unknown rule for records")

func (r recordsRule) records(t testing.TB) []Record {
	t.Helper()
	records := make([]Record, r.Count)
	for i := range records {
		var err error
		if records[i].Key, err = textOf(r.Key, i); err != nil {
			t.Fatalf("key %d: %v", i, err)
		}
		if records[i].Value, records[i].Delete, err = valueOf(r.Value, i); err != nil {
			t.Fatalf("value %d: %v", i, err)
		}
	}
	return records
}

func textOf(rule string, i int) ([]byte, error) {
	m := asciiRule.FindStringSubmatch(rule)
	if m == nil {
		return nil, fmt.Errorf("%w: %q", errRule, rule)
	}
	n, err := evaluate(m[2], i)
	if err != nil {
		return nil, err
	}
	text := fmt.Appendf(nil, m[1], n)
	if bytes.Contains(text, []byte("%!")) {
		return nil, fmt.Errorf("%w: %q makes %q", errRule, rule, text)
	}
	return text, nil
}

func valueOf(rule string, i int) (value []byte, deletes bool, err error) {
	if rule == "delete" {
		return nil, true, nil
	}
	if m := deleteRule.FindStringSubmatch(rule); m != nil {
		if n, err := evaluate(m[1], i); n != 0 || err != nil {
			return nil, true, err
		}
		return valueOf(m[2], i)
	}
	m := affineRule.FindStringSubmatch(rule)
	if m == nil {
		value, err = textOf(rule, i)
		return value, false, err
	}
	var n [3]int
	for j := range n {
		if n[j], err = evaluate(m[1+j], i); err != nil {
			return nil, false, err
		}
	}
	if n[2] < 0 {
		return nil, false, fmt.Errorf("%w: %q makes %d bytes", errRule, rule, n[2])
	}
	return affine(n[0], n[1], n[2]), false, nil
}

// evaluate computes an integer expression in i. It refuses those whose operators bind otherwise in Go than where they come from.
func evaluate(text string, i int) (int, error) {
	expr, err := parser.ParseExpr(strings.ReplaceAll(strings.TrimSpace(text), "//", "/")) // of Python; no number here is negative
	if err == nil {
		var v int
		if v, err = evaluateNode(expr, i); err == nil {
			return v, nil
		}
	}
	return 0, fmt.Errorf("expression %q: %w", text, err)
}

// sameBinding reports whether x, if it is an operation without parentheses, is an operand of op in Python too: there & binds
// weaker than all arithmetic, and comparisons form chains.
func sameBinding(op token.Token, x ast.Expr) bool {
	compares := func(op token.Token) bool { return op.Precedence() == token.EQL.Precedence() }
	b, ok := x.(*ast.BinaryExpr)
	switch {
	case !ok:
		return true
	case b.Op == token.AND:
		return op == token.AND || compares(op)
	}
	return !compares(b.Op)
}

func evaluateNode(node ast.Expr, i int) (int, error) {
	switch e := node.(type) {
	case *ast.ParenExpr:
		return evaluateNode(e.X, i)
	case *ast.BasicLit:
		return strconv.Atoi(e.Value)
	case *ast.Ident:
		if e.Name == "i" {
			return i, nil
		}
	case *ast.BinaryExpr:
		if !sameBinding(e.Op, e.X) || !sameBinding(e.Op, e.Y) {
			return 0, fmt.Errorf("%s beside another operator needs parentheses", e.Op)
		}
		x, err := evaluateNode(e.X, i)
		if err != nil {
			return 0, err
		}
		y, err := evaluateNode(e.Y, i)
		if err != nil {
			return 0, err
		}
		return evaluateBinary(e.Op, x, y)
	}
	return 0, fmt.Errorf("unknown term %T", node)
}

func evaluateBinary(op token.Token, x, y int) (int, error) {
	truth := map[bool]int{true: 1}
	switch op {
	case token.ADD:
		return x + y, nil
	case token.SUB:
		return x - y, nil
	case token.MUL:
		return x * y, nil
	case token.AND:
		return x & y, nil
	case token.QUO, token.REM:
		if y == 0 {
			return 0, fmt.Errorf("division by zero")
		}
		if op == token.QUO {
			return x / y, nil
		}
		return x % y, nil
	case token.EQL:
		return truth[x == y], nil
	case token.NEQ:
		return truth[x != y], nil
	case token.LSS:
		return truth[x < y], nil
	case token.GTR:
		return truth[x > y], nil
	case token.LEQ:
		return truth[x <= y], nil
	case token.GEQ:
		return truth[x >= y], nil
	}
	return 0, fmt.Errorf("unknown operator %s", op)
}
