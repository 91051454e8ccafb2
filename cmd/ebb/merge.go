package main

import (
	"cmp"
	"container/heap"
	"iter"

	"github.com/ebbdb/ebb/internal/kv"
)

// newerFirst orders entries by key, and those of a key from the newest to the oldest.
func newerFirst(a, b kv.Entry) int {
	return cmp.Or(kv.Compare(a.Key, b.Key), cmp.Compare(b.Seq, a.Seq))
}

// merge is a heap of sources, each sorted, by what they stand on.
type merge []*source

type source struct {
	entry kv.Entry
	next  func() (kv.Entry, error, bool)
	stop  func()
}

func (m merge) Len() int           { return len(m) }
func (m merge) Less(i, j int) bool { return newerFirst(m[i].entry, m[j].entry) < 0 }
func (m merge) Swap(i, j int)      { m[i], m[j] = m[j], m[i] }
func (m *merge) Push(x any)        { *m = append(*m, x.(*source)) }
func (m *merge) Pop() any {
	old := *m
	x := old[len(old)-1]
	*m = old[:len(old)-1]
	return x
}

// add adds a source, unless it is empty.
func (m *merge) add(entries iter.Seq2[kv.Entry, error]) error {
	s := &source{}
	s.next, s.stop = iter.Pull2(entries)
	e, err, ok := s.next()
	if !ok || err != nil {
		s.stop()
		return err
	}
	s.entry = e
	heap.Push(m, s)
	return nil
}

// advance moves the source that is on top.
func (m *merge) advance() error {
	s := (*m)[0]
	e, err, ok := s.next()
	if err != nil {
		return err
	}
	if !ok {
		s.stop()
		heap.Pop(m)
		return nil
	}
	s.entry = e
	heap.Fix(m, 0)
	return nil
}

func (m *merge) stop() {
	for _, s := range *m {
		s.stop()
	}
}
