package draft

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/ebbdb/ebb/internal/op"
)

// Operations of every kind and size come back as they were added, also where a list is used again.
func TestList(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	lives := []Option{{}, {TTL, int64(time.Second)}, {TTL, -1}, {At, 1}, {TTL, 0}, {KeepTTL, 0}}
	conditions := []Option{{}, {}, {4, 0}, {6, -1}}
	sizes := []int{0, 1, 127, 128, 5000, maxChunk - 1, 2 * maxChunk}
	var l List
	for round := range 30 {
		var want []Op
		for range rng.IntN(40) {
			o := Op{Key: make([]byte, 1+rng.IntN(300)), Kind: Kind(rng.IntN(int(Kinds)))}
			switch o.Kind {
			case DeleteRange:
				if rng.IntN(3) > 0 {
					o.End = make([]byte, rng.IntN(200))
				}
			case Put:
				o.Value = make([]byte, sizes[rng.IntN(min(2+round, len(sizes)))])
				fallthrough
			case Expire:
				o.Life = lives[rng.IntN(len(lives))]
				fallthrough
			default:
				o.Condition = conditions[rng.IntN(len(conditions))]
			}
			for i := range o.Key {
				o.Key[i] = byte(rng.Uint32())
			}
			l.Add(&o)
			want = append(want, o)
		}
		if rng.IntN(4) == 0 {
			l.Append(&l) // to itself
			want = append(want, want...)
		}
		checkList(t, &l, want)
		before := l.Memory()
		l.Reset()
		if l.Memory() != before {
			t.Error("Reset gives memory up")
		}
		checkList(t, &l, nil)
	}
}

func checkList(t *testing.T, l *List, want []Op) {
	t.Helper()
	n, encoded := 0, 0
	var traits Traits
	for o := range l.All {
		w := &want[n]
		if o.Kind != w.Kind || !bytes.Equal(o.Key, w.Key) || !bytes.Equal(o.Value, w.Value) || !bytes.Equal(o.End, w.End) ||
			(o.End == nil) != (w.End == nil) || o.Life != w.Life || o.Condition != w.Condition {
			t.Fatalf("operation %d is %.99q, want %.99q", n, fmt.Sprint(o), fmt.Sprint(w))
		}
		traits.Ranges = traits.Ranges || w.Kind == DeleteRange
		traits.Endless = traits.Endless || w.Kind == DeleteRange && w.End == nil
		traits.Looks = traits.Looks || w.Kind == Expire || w.Life.Kind == KeepTTL || w.Condition.Kind != 0
		encoded += len(o.Key) + len(o.Value) + len(o.End)
		n++
	}
	if n != len(want) || l.Len() != n || l.EncodedSize() < encoded || l.Traits() != traits {
		t.Fatalf("%d operations of %d, %d in %d bytes, %+v, want %+v", n, l.Len(), encoded, l.EncodedSize(), l.Traits(), traits)
	}
}

// model is what there is, as a map.
type model map[string]Entry

// make makes an operation of a list, as one by one a database would.
func (m model) make(o *Op, now int64) {
	key := string(o.Key)
	deadline, past := o.Life.Deadline(now)
	old := m[key]
	switch o.Kind {
	case Put:
		if o.Life.Kind == KeepTTL && old.Present {
			deadline = old.Deadline
		}
		m.put(key, Entry{true, o.Value, deadline}, past)
	case Delete:
		delete(m, key)
	case DeleteRange:
		for k := range m {
			if k >= key && (o.End == nil || k < string(o.End)) {
				delete(m, k)
			}
		}
	case Expire:
		if old.Present {
			m.put(key, Entry{true, old.Value, deadline}, past)
		}
	}
}

func (m model) put(key string, e Entry, past bool) {
	if m[key] = e; past {
		delete(m, key)
	}
}

// log does what the log says.
func (m model) log(o *op.Op) {
	switch o.Kind {
	case op.Put:
		m[string(o.Key)] = Entry{true, bytes.Clone(o.Value), o.Deadline}
	case op.Delete:
		delete(m, string(o.Key))
	case op.DeleteRange:
		for k := range m {
			if k >= string(o.Key) && k < string(o.End) {
				delete(m, k)
			}
		}
	}
}

func (m model) String() string {
	var list []string
	for k, e := range m {
		list = append(list, fmt.Sprintf("%s=%s until %d", k, e.Value, e.Deadline))
	}
	slices.Sort(list)
	return fmt.Sprint(list)
}

// What the log says of a list does what the operations do one after the other, whatever there is before them, and however
// they depend on one another.
func TestResolve(t *testing.T) {
	var (
		l  List
		r  Resolver
		to op.Encoder
	)
	rapid.Check(t, func(t *rapid.T) {
		const now = 1000
		key := func(name string) []byte {
			return []byte{byte(rapid.IntRange('a', 'c').Draw(t, name))}
		}
		before := model{}
		for range rapid.IntRange(0, 5).Draw(t, "entries") {
			e := Entry{true, []byte("old"), rapid.SampledFrom([]int64{0, now + 5}).Draw(t, "deadline")}
			before[string(key("entry"))] = e
		}
		want := model{}
		for k, e := range before {
			want[k] = e
		}
		l.Reset()
		for range rapid.IntRange(1, 20).Draw(t, "operations") {
			o := drawOp(t, key)
			l.Add(o)
			want.make(o, now)
		}
		got := before
		encode(t, &l, &r, &to, got, now)
		if got.String() != want.String() {
			t.Fatalf("the log leaves %v, want %v", got, want)
		}
	})
}

func drawOp(t *rapid.T, key func(string) []byte) *Op {
	lives := []Option{{}, {}, {TTL, int64(time.Second)}, {TTL, 0}, {TTL, -1}, {At, 5000}, {At, 1}}
	o := &Op{Key: key("key"), Kind: Kind(rapid.IntRange(0, int(Kinds)-1).Draw(t, "kind"))}
	switch o.Kind {
	case Put:
		o.Value = []byte{'0' + byte(rapid.IntRange(0, 9).Draw(t, "value"))}
		o.Life = rapid.SampledFrom(append(lives, Option{KeepTTL, 0})).Draw(t, "life")
	case Expire:
		o.Life = rapid.SampledFrom(lives).Draw(t, "life")
	case DeleteRange:
		if rapid.IntRange(0, 2).Draw(t, "end") > 0 {
			o.End = append(bytes.Clone(o.Key), 0)
			o.End[0] += byte(rapid.IntRange(0, 3).Draw(t, "length"))
		}
	}
	return o
}

// encode encodes a list and does to m what it says.
func encode(t *rapid.T, l *List, r *Resolver, to *op.Encoder, m model, now int64) {
	begin := to.Begin
	if l.Traits().Ranges {
		begin = to.BeginWithRanges
	}
	check(t, begin())
	r.Begin(l)
	for i := range r.Keys {
		k := &r.Keys[i]
		e := m[string(k.Key)]
		if !k.WantValue {
			e.Value = []byte("not asked for")
		}
		k.Set(e)
	}
	var last []byte
	for k := range m {
		if k > string(last) {
			last = []byte(k)
		}
	}
	at := Moment{Now: now, Last: r.Reach(last), Limit: 1 << 20}
	if rapid.Bool().Draw(t, "there is a key behind the last") {
		at.After = append(bytes.Clone(at.Last), 0)
	}
	check(t, r.Encode(to, at))
	e := to.Entry()
	if e.Ops == 0 {
		return
	}
	var ops op.Ops
	check(t, ops.Decode(&e))
	for ops.Next() {
		m.log(&ops.Op)
	}
}

func check(t interface {
	Helper()
	Fatal(...any)
}, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// What operations find counts towards the limit too, before it is encoded.
func TestLimit(t *testing.T) {
	var l List
	l.Add(&Op{Kind: Put, Key: []byte("a"), Value: []byte("value")})
	l.Add(&Op{Kind: Expire, Key: []byte("b")})
	l.Add(&Op{Kind: DeleteRange, Key: []byte("c")})
	need := Size([]byte("a"), []byte("value")) + Size([]byte("b"), make([]byte, 1000)) + Size([]byte("c"), []byte("d"))
	for _, limit := range []int64{0, Size([]byte("a"), []byte("value")), need - 1, need} {
		var r Resolver
		var to op.Encoder
		check(t, to.BeginWithRanges())
		r.Begin(&l)
		r.Keys[0].Set(Entry{true, make([]byte, 1000), 0})
		err := r.Encode(&to, Moment{Now: 1, Last: r.Reach(nil), After: []byte("d"), Limit: limit})
		var tooLarge *TooLargeError
		if errors.As(err, &tooLarge) != (limit < need) {
			t.Errorf("limit %d of %d: %v", limit, need, err)
		}
	}
}
