package vfstest

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// oracle says by brute force what a crash may leave if no write is torn: it replays every subset of the pending operations
// from the beginning, straight from the model, where Crasher keeps an image and a tail.
type oracle struct {
	base *inode
	ops  []op
}

// durable tells of each operation whether a sync after it covers it. No sync of the script fails.
func (o oracle) durable() []bool {
	durable := make([]bool, len(o.ops))
	data, names := map[int]bool{}, map[int]bool{}
	for i := len(o.ops) - 1; i >= 0; i-- {
		switch op := &o.ops[i]; {
		case op.kind == OpSync:
			data[op.ino] = true
		case op.kind == OpSyncDir:
			names[op.ino] = true
		case op.isData():
			durable[i] = data[op.ino]
		default:
			durable[i] = names[op.ino]
		}
	}
	return durable
}

// replay returns the file system after the operations that persist.
func (o oracle) replay(persists func(i int) bool) *Mem {
	root := o.base.clone(map[*inode]*inode{})
	inodes := map[int]*inode{}
	var learn func(n *inode)
	learn = func(n *inode) {
		inodes[n.id] = n
		for _, child := range n.entries {
			learn(child)
		}
	}
	learn(root)
	for i := range o.ops { // the inodes exist, named or not
		switch op := &o.ops[i]; op.kind {
		case OpCreate:
			inodes[op.child] = &inode{id: op.child}
		case OpMkdir:
			inodes[op.child] = &inode{id: op.child, entries: map[string]*inode{}}
		}
	}
	for i := range o.ops {
		op := &o.ops[i]
		if !persists(i) {
			continue
		}
		n := inodes[op.ino]
		switch op.kind {
		case OpCreate, OpMkdir, OpLink:
			n.entries[op.entry] = inodes[op.child]
		case OpRemove:
			delete(n.entries, op.entry)
		case OpRename:
			if from := inodes[op.from]; from.entries[op.fromEntry] == inodes[op.child] {
				delete(from.entries, op.fromEntry)
			}
			n.entries[op.entry] = inodes[op.child]
		case OpWrite:
			end := int(op.off) + len(op.data)
			n.data = append([]byte{}, n.data...)
			n.data = append(n.data, make([]byte, max(0, end-len(n.data)))...)
			copy(n.data[op.off:], op.data)
		case OpTruncate:
			n.data = append([]byte{}, n.data...)
			n.data = append(n.data, make([]byte, max(0, int(op.off)-len(n.data)))...)[:op.off]
		}
	}
	return newMem(root, rootID+1) // nothing is created in it
}

// states returns the trees of all subsets, or false if there are too many.
func (o oracle) states() (map[string]bool, bool) {
	var pending []int
	durable := o.durable()
	for i := range o.ops {
		if k := o.ops[i].kind; !durable[i] && k != OpSync && k != OpSyncDir {
			pending = append(pending, i)
		}
	}
	if len(pending) > 6 {
		return nil, false
	}
	states := make(map[string]bool)
	for subset := range 1 << len(pending) {
		persists := append([]bool{}, durable...)
		for bit, i := range pending {
			persists[i] = subset>>bit&1 == 1
		}
		states[tree(o.replay(func(i int) bool { return persists[i] }))] = true
	}
	return states, true
}

// What Crasher builds of whole operations is what the oracle allows; and chance finds nearly all of that.
func TestCrashOracle(t *testing.T) {
	compared, missed, possible := 0, 0, 0
	for seed := uint64(0); seed < 40; seed += uint64(Step(4)) {
		rng := rand.New(rand.NewPCG(seed, 2))
		m := memWith(t, map[string]string{"a": "aaaa", "d/b": "bbbb"})
		m.Record()
		for m.OpCount() < 60 {
			randomOp(t, m, rng, map[string]string{})
		}
		c := m.Crashes(seed, 300)
		for k := range c.OpCount() + 1 {
			allowed, ok := oracle{c.rec.base, c.rec.ops[:k]}.states()
			if !ok {
				continue
			}
			compared++
			possible += len(allowed)
			for s := range c.At(k) {
				got := tree(s.FS)
				torn := strings.HasPrefix(s.Name, "torn") || s.Name == "grown" || strings.HasPrefix(s.Name, "random")
				if !allowed[got] && !torn {
					t.Fatalf("seed %d: after %d operations %s leaves what cannot be: %.200q", seed, k, s.Name, got)
				}
				delete(allowed, got)
			}
			missed += len(allowed)
		}
	}
	if compared < 100 || missed*20 > possible {
		t.Errorf("%d points compared, %d of %d possible states missed", compared, missed, possible)
	}
	t.Logf("%d points compared, %d of %d possible states missed", compared, missed, possible)
}
