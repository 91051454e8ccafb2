package vfstest

import (
	"maps"
	"slices"
)

// image is where a recording stands after its first k operations: what is durable, and the operations that are not or
// that follow one that is not. Inodes are known by id.
type image struct {
	k     int
	dirs  map[int]map[string]int // the entries of each directory, before names
	files map[int]*content       // the content of each file, before its data
	names []step                 // name operations from the first pending one on
	data  map[int][]step         // by inode, data operations from the first pending one on
	built map[int]*built         // by inode, what the last state had of a file; it goes when k moves on
}

// built is the content of a file in a state, and the fates of its data operations that led to it, none of which was torn.
type built struct {
	fates []fate
	content
}

// step is an operation that the image has not absorbed.
type step struct {
	op      int
	durable bool
	doomed  bool // a sync failed on it: it will never be durable
	slot    int  // its place among the pending, if it is pending; set by image.pending
}

func newImage(base *inode) *image {
	im := &image{dirs: map[int]map[string]int{}, files: map[int]*content{}, data: map[int][]step{}, built: map[int]*built{}}
	im.add(base)
	return im
}

// add takes in a tree.
func (im *image) add(n *inode) {
	if !n.isDir() {
		c := n.share()
		im.files[n.id] = &c
		return
	}
	entries := make(map[string]int, len(n.entries))
	for name, child := range n.entries {
		entries[name] = child.id
		im.add(child)
	}
	im.dirs[n.id] = entries
}

// advance takes in the next operation.
func (im *image) advance(ops []op) {
	i := im.k
	o := &ops[i]
	im.k++
	im.built = map[int]*built{}
	switch {
	case o.isData():
		if im.files[o.ino] == nil { // no name leads to it any more
			return
		}
		im.data[o.ino] = append(im.data[o.ino], step{op: i})
	case o.isName():
		if o.kind == OpCreate {
			im.files[o.child] = &content{}
		} else if o.kind == OpMkdir {
			im.dirs[o.child] = map[string]int{}
		}
		im.names = append(im.names, step{op: i})
	case o.kind == OpSync:
		settle(im.data[o.ino], func(*op) bool { return true }, ops, markDurable)
		im.absorbData(ops, o.ino)
	case o.kind == OpSyncDir:
		settle(im.names, func(n *op) bool { return n.ino == o.ino }, ops, markDurable)
		im.absorbNames(ops)
	case o.kind == opSyncFailed:
		settle(im.data[o.ino], func(*op) bool { return true }, ops, markDoomed)
		settle(im.names, func(n *op) bool { return n.ino == o.ino }, ops, markDoomed)
	}
}

func markDurable(s *step) { s.durable = !s.doomed }
func markDoomed(s *step)  { s.doomed = !s.durable }

// settle marks the steps whose operations a sync covers.
func settle(steps []step, covers func(*op) bool, ops []op, mark func(*step)) {
	for i := range steps {
		if s := &steps[i]; !s.durable && covers(&ops[s.op]) {
			mark(s)
		}
	}
}

// absorbData applies the durable operations before the first pending one to a file, for good.
func (im *image) absorbData(ops []op, ino int) {
	steps := im.data[ino]
	for len(steps) > 0 && steps[0].durable {
		im.files[ino].apply(&ops[steps[0].op], outcome{whole: kept})
		steps = steps[1:]
	}
	im.data[ino] = steps
}

func (im *image) absorbNames(ops []op) {
	for len(im.names) > 0 && im.names[0].durable {
		applyName(im.dirs, &ops[im.names[0].op])
		im.names = im.names[1:]
	}
	im.forget(ops)
}

// forget drops the files that no state can show any more, lest their unsynced data be pending for ever.
func (im *image) forget(ops []op) {
	named := make(map[int]bool)
	for _, entries := range im.dirs {
		for _, ino := range entries {
			named[ino] = true
		}
	}
	for _, s := range im.names {
		named[ops[s.op].child] = true
	}
	gone := func(ino int) bool { return !named[ino] }
	maps.DeleteFunc(im.files, func(ino int, _ *content) bool { return gone(ino) })
	maps.DeleteFunc(im.data, func(ino int, _ []step) bool { return gone(ino) })
}

// pending returns the pending operations in order, and tells each step its place among them.
func (im *image) pending(ops []op) []int {
	var pending []int
	visit := func(see func(*step)) {
		for i := range im.names {
			if s := &im.names[i]; !s.durable {
				see(s)
			}
		}
		for _, steps := range im.data {
			for i := range steps {
				if s := &steps[i]; !s.durable {
					see(s)
				}
			}
		}
	}
	visit(func(s *step) { pending = append(pending, s.op) })
	slices.Sort(pending)
	visit(func(s *step) { s.slot, _ = slices.BinarySearch(pending, s.op) })
	return pending
}

// build makes the state in which the pending operations had the given outcomes.
func (im *image) build(ops []op, outs []outcome) *Mem {
	b := builder{im: im, ops: ops, outs: outs, dirs: im.dirs, made: make(map[int]*inode, len(im.files))}
	if len(im.names) > 0 {
		b.dirs = maps.Clone(im.dirs)
		for _, s := range im.names { // those that it changes are its own
			for _, ino := range []int{ops[s.op].ino, ops[s.op].from} {
				if entries := im.dirs[ino]; entries != nil {
					b.dirs[ino] = maps.Clone(entries)
				}
			}
		}
	}
	for _, s := range im.names {
		if b.outcome(s).whole == kept {
			applyName(b.dirs, &ops[s.op])
		}
	}
	root, nextID := b.make(rootID), 0
	for ino := range b.made {
		nextID = max(nextID, ino+1)
	}
	return newMem(root, nextID)
}

// applyName does a name operation to the entries of directories.
func applyName(dirs map[int]map[string]int, o *op) {
	switch {
	case o.kind == OpRemove:
		delete(dirs[o.ino], o.entry)
		return
	case o.kind == OpRename && dirs[o.from][o.fromEntry] == o.child:
		delete(dirs[o.from], o.fromEntry)
	}
	dirs[o.ino][o.entry] = o.child
}

// builder makes the inodes of one state.
type builder struct {
	im   *image
	ops  []op
	outs []outcome
	dirs map[int]map[string]int
	made map[int]*inode
}

func (b *builder) outcome(s step) outcome {
	if s.durable {
		return outcome{whole: kept}
	}
	return b.outs[s.slot]
}

// make returns the inode with an id, and all below it.
func (b *builder) make(id int) *inode {
	if n := b.made[id]; n != nil {
		return n
	}
	n := &inode{id: id}
	b.made[id] = n
	entries, isDir := b.dirs[id]
	if !isDir {
		n.content = b.content(id)
		return n
	}
	n.entries = make(map[string]*inode, len(entries))
	var below []string
	for name, child := range entries {
		if _, isDir := b.dirs[child]; isDir {
			below = append(below, name)
			continue
		}
		n.entries[name] = b.make(child)
	}
	slices.Sort(below)
	for _, name := range below {
		// A lost rename of a directory between two that persisted leaves it two names, which no directory has.
		if child := entries[name]; b.made[child] == nil {
			n.entries[name] = b.make(child)
		}
	}
	return n
}

// content returns what a file holds. Most states differ from the last in few files, so most share the bytes of that.
func (b *builder) content(id int) content {
	steps := b.im.data[id]
	last := b.im.built[id]
	if last != nil && slices.EqualFunc(last.fates, steps, func(f fate, s step) bool {
		out := b.outcome(s)
		return out.sectors == nil && out.whole == f
	}) {
		return last.share()
	}
	b.im.files[id].hash() // once here, not once in every state that has the file unchanged
	c := b.im.files[id].share()
	fates := make([]fate, 0, len(steps))
	for _, s := range steps {
		out := b.outcome(s)
		c.apply(&b.ops[s.op], out)
		if out.sectors == nil {
			fates = append(fates, out.whole)
		}
	}
	if len(fates) < len(steps) { // torn, which is seldom the same again
		return c
	}
	c.hash()
	b.im.built[id] = &built{fates, c}
	return b.im.built[id].share()
}

// apply applies the part of a data operation that persisted.
func (c *content) apply(o *op, out outcome) {
	if o.kind == OpTruncate {
		if out.whole == kept {
			c.truncate(o.off)
		}
		return
	}
	if out.sectors == nil {
		c.applyBytes(o.data, o.off, out.whole)
		return
	}
	rest, off := o.data, o.off
	for _, f := range out.sectors {
		n := min(int64(len(rest)), sectorSize-off%sectorSize)
		c.applyBytes(rest[:n], off, f)
		rest, off = rest[n:], off+n
	}
}

func (c *content) applyBytes(p []byte, off int64, f fate) {
	switch f {
	case kept:
		c.write(p, off)
	case grown:
		c.extend(off + int64(len(p)))
	case zeroed:
		c.write(make([]byte, len(p)), off)
	case garbage:
		c.write(garbageBytes(len(p)), off)
	}
}

// garbageBytes returns bytes that mean nothing: no run of zeros, no valid record, and the same every time.
func garbageBytes(n int) []byte {
	p := make([]byte, n)
	x := uint32(0x9E3779B9)
	for i := range p {
		x = x*1664525 + 1013904223
		p[i] = byte(x >> 24)
	}
	return p
}
