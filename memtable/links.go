package memtable

import "encoding/binary"

// A reader at an old sequence must not pass all newer versions of a key one by one. So about one version in linkEvery, by
// chance, has links: to the one with links before it, and further back, as in "An Applicative Random-Access Stack" (Myers,
// 1983), which finds its way among n of them in O(log n) steps with two links each. Keys that are seldom written have none.
//
//	 0 before  u32   the version with links before this one; 0: there is none
//	 4 further u32   one some way before that, or the same
//	 8 rank    u32   how many with links there are, this one included
//	12 zero    u32
type links struct{ before, further, rank uint32 }

const (
	linkEvery = 16 // a chain's versions from one with links to the next, on average: a reader passes as many
	fewest    = 4  // versions behind one that gets links
	linksSize = 16
	linksAt   = headerSize
	hasLinks  = 1 << 63 // in a version's seq; sequences are below that
)

func (l *links) put(b []byte) {
	binary.LittleEndian.PutUint64(b[seqAt:], binary.LittleEndian.Uint64(b[seqAt:])|hasLinks)
	binary.LittleEndian.PutUint32(b[linksAt:], l.before)
	binary.LittleEndian.PutUint32(b[linksAt+4:], l.further)
	binary.LittleEndian.PutUint32(b[linksAt+8:], l.rank)
}

// links returns those of a version; none of 0, which stands for the end.
func (a *arena) links(version uint32) (l links) {
	if version == 0 {
		return l
	}
	b := a.bytes(version)
	l.before = binary.LittleEndian.Uint32(b[linksAt:])
	l.further = binary.LittleEndian.Uint32(b[linksAt+4:])
	l.rank = binary.LittleEndian.Uint32(b[linksAt+8:])
	return l
}

// nextLinks decides whether the version after one gets links, and returns them.
func (a *arena) nextLinks(version uint32) (l links, ok bool) {
	if version == 0 { // most keys are overwritten once at most
		return l, false
	}
	a.chance = a.chance*1664525 + 1013904223 // Numerical Recipes' generator; its high bits are good enough
	if a.chance>>16%linkEvery != 0 {
		return l, false
	}
	passed := 0
	for version != 0 {
		b := a.bytes(version)
		if binary.LittleEndian.Uint64(b[seqAt:])&hasLinks != 0 {
			break
		}
		version = binary.LittleEndian.Uint32(b[olderAt:])
		passed++
	}
	if passed < fewest {
		return l, false
	}
	before := a.links(version)
	l = links{before: version, further: version, rank: before.rank + 1}
	if far := a.links(before.further); before.rank-far.rank == far.rank-a.links(far.further).rank {
		l.further = far.further
	}
	return l, true
}

// older returns the version to look at after the one in b, which is newer than seq: an older one, but none that is older than
// the version that seq sees.
func (a *arena) older(b []byte, seq uint64) uint32 {
	if binary.LittleEndian.Uint64(b[seqAt:])&hasLinks != 0 {
		if version := binary.LittleEndian.Uint32(b[linksAt+4:]); a.newer(version, seq) {
			return version
		}
		if version := binary.LittleEndian.Uint32(b[linksAt:]); a.newer(version, seq) {
			return version
		}
	}
	return binary.LittleEndian.Uint32(b[olderAt:])
}

// newer reports whether there is a version and it is newer than seq.
func (a *arena) newer(version uint32, seq uint64) bool {
	return version != 0 && binary.LittleEndian.Uint64(a.bytes(version)[seqAt:])&^hasLinks > seq
}
