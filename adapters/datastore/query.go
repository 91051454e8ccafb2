package ebbds

import (
	"bytes"
	"context"
	"slices"

	"github.com/ebbdb/ebb"
	ds "github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"
)

// plan is how a query is done.
type plan struct {
	query   query.Query
	prefix  string // of the database's keys, in front of those of the datastore
	bounds  ebb.IterOptions
	reverse bool
	sort    bool // the order is not that of keys
}

// newPlan looks for what a query allows to leave out.
func newPlan(prefix string, q query.Query) plan {
	p := plan{query: q, prefix: prefix}
	under := ds.NewKey(q.Prefix).String()
	if under != "/" {
		under += "/"
	}
	p.bounds.Prefix = append([]byte(prefix), under...)
	p.bounds.KeysOnly = q.KeysOnly
	for _, f := range q.Filters {
		p.narrow(f)
	}
	if len(q.Orders) == 0 {
		return p
	}
	switch q.Orders[0].(type) { // keys differ: what comes behind an order by key decides nothing
	case query.OrderByKey, *query.OrderByKey:
	case query.OrderByKeyDescending, *query.OrderByKeyDescending:
		p.reverse = true
	default:
		p.sort, p.bounds.KeysOnly = true, false
	}
	return p
}

// narrow takes the bounds from a filter on keys, and lets the values be read for any other.
func (p *plan) narrow(f query.Filter) {
	var lower, upper []byte // inclusive, exclusive; nil: no bound
	switch f := f.(type) {
	case query.FilterKeyPrefix:
		lower = append([]byte(p.prefix), f.Prefix...)
		upper = ebb.PrefixEnd(lower)
	case query.FilterKeyCompare:
		at := append([]byte(p.prefix), f.Key...)
		behind := append(slices.Clone(at), 0)
		switch f.Op {
		case query.Equal:
			lower, upper = at, behind
		case query.GreaterThan:
			lower = behind
		case query.GreaterThanOrEqual:
			lower = at
		case query.LessThan:
			upper = at
		case query.LessThanOrEqual:
			upper = behind
		}
	default:
		p.bounds.KeysOnly = false
		return
	}
	b := &p.bounds
	if lower != nil && bytes.Compare(lower, b.Start) > 0 {
		b.Start = lower
	}
	if upper != nil && (b.End == nil || bytes.Compare(upper, b.End) < 0) {
		b.End = upper
	}
}

// matches reports whether an entry passes all filters.
func (p *plan) matches(e query.Entry) bool {
	for _, f := range p.query.Filters {
		if !f.Filter(e) {
			return false
		}
	}
	return true
}

// query begins a query: its iterator is as of now.
func (a *access) query(ctx context.Context, q query.Query) (query.Results, error) {
	p := newPlan(a.prefix, q)
	it, err := a.from.NewIterator(&p.bounds)
	if err != nil {
		return nil, err
	}
	w := &walk{plan: p, ctx: ctx, it: it, skip: q.Offset, left: q.Limit}
	if !p.sort {
		return query.ResultsFromIterator(q, query.Iterator{Next: w.next, Close: w.close}), nil
	}
	defer it.Close()
	w.skip, w.left = 0, 0
	var all []query.Entry
	for r, ok := w.next(); ok; r, ok = w.next() {
		if r.Error != nil {
			return nil, r.Error
		}
		all = append(all, r.Entry)
	}
	query.Sort(q.Orders, all)
	all = all[min(max(q.Offset, 0), len(all)):]
	if q.Limit > 0 {
		all = all[:min(q.Limit, len(all))]
	}
	if q.KeysOnly {
		for i := range all {
			all[i].Value = nil
		}
	}
	return query.ResultsWithEntries(q, all), nil
}

// walk gives out the results of a query one by one, in the order of keys.
type walk struct {
	plan
	ctx   context.Context
	it    *ebb.Iterator
	begun bool
	done  bool
	skip  int // of those that match
	left  int // at most; 0 and less: no limit
}

func (w *walk) close() error {
	w.done = true
	w.it.Close()
	return nil
}

// move moves to the next entry of the range.
func (w *walk) move() bool {
	switch {
	case w.begun && w.reverse:
		return w.it.Prev()
	case w.begun:
		return w.it.Next()
	}
	w.begun = true
	if w.reverse {
		return w.it.Last()
	}
	return w.it.First()
}

func (w *walk) next() (query.Result, bool) {
	for !w.done {
		if err := w.ctx.Err(); err != nil {
			return w.fail(err)
		}
		if !w.move() {
			return w.fail(w.it.Err())
		}
		e := w.entry(w.it.Entry())
		if !w.matches(e) {
			continue
		}
		if w.skip > 0 {
			w.skip--
			continue
		}
		if w.left--; w.left == 0 {
			w.close()
		}
		e.Value = bytes.Clone(e.Value)
		if w.query.KeysOnly && !w.sort {
			e.Value = nil
		}
		return query.Result{Entry: e}, true
	}
	return query.Result{}, false
}

// fail ends the walk, with an error if that is not nil.
func (w *walk) fail(err error) (query.Result, bool) {
	w.close()
	return query.Result{Error: err}, err != nil
}

// entry returns an entry as go-datastore has it. Its value is valid until the next move.
func (w *walk) entry(e ebb.Entry) query.Entry {
	r := query.Entry{Key: string(e.Key[len(w.prefix):]), Value: e.Value, Size: e.ValueSize}
	r.Expiration, _ = e.Expires()
	return r
}
