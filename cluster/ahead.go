package cluster

import (
	"cmp"
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"
)

// pipelines are those on which this node, as a leader, sends entries to followers. What raft is about to store goes out on them
// before: the disks of the followers then work while this node's does, and not after it.
//
// raft (10.2.1 in its thesis) allows a leader to send entries that are not on its own disk yet, as long as it counts itself only
// once they are, which is as before: raft counts it when StoreLogs returns. raft's code knows nothing of this. It sends its own
// request when the entries are stored, which an aheadPipeline finds sent already, and only then it is given the answer.
//
//  1. A request with the entries is sent. A crash of the leader leaves entries of its term on followers, that it may lack
//     itself: another leader, or none, has them committed, as with any request whose answer was lost. In this term no node has
//     others with these indexes, as a leader that fails to store its entries gives its office up.
//  2. The entries are on the leader's disk, and it counts itself.
//  3. raft sends its request, and is given the answer to that of step 1. It counts the follower.
type pipelines struct {
	commit func() uint64                    // the newest commit index
	list   atomic.Pointer[[]*aheadPipeline] // replaced under mu
	mu     sync.Mutex
}

// send sends entries ahead, where that can be. It does not wait.
func (ps *pipelines) send(logs []*raft.Log) {
	list := ps.list.Load()
	if list == nil || len(*list) == 0 || len(logs) > maxAppendEntries {
		return
	}
	for _, l := range logs {
		if l.Type != raft.LogCommand { // a configuration has to be in force before its entry is counted
			return
		}
	}
	for _, p := range *list {
		select {
		case p.logs <- logs:
		default:
		}
	}
}

// open returns a pipeline that sends ahead.
func (ps *pipelines) open(inner raft.AppendPipeline, id raft.ServerID, kept *keptLog) *aheadPipeline {
	p := &aheadPipeline{
		inner: inner, id: id, kept: kept, all: ps, logs: make(chan []*raft.Log, 1), out: make(chan raft.AppendFuture),
		stop: make(chan struct{}),
	}
	ps.change(func(list []*aheadPipeline) []*aheadPipeline { return append(list, p) })
	go p.sendAhead()
	go p.deliver()
	return p
}

// change replaces the list of pipelines.
func (ps *pipelines) change(f func([]*aheadPipeline) []*aheadPipeline) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	var list []*aheadPipeline
	if old := ps.list.Load(); old != nil {
		list = slices.Clone(*old)
	}
	list = f(list)
	ps.list.Store(&list)
}

// aheadPipeline is a pipeline of raft that is told of entries before raft sends them.
type aheadPipeline struct {
	inner raft.AppendPipeline
	id    raft.ServerID
	kept  *keptLog
	all   *pipelines
	logs  chan []*raft.Log       // to be sent ahead
	out   chan raft.AppendFuture // answers, for raft
	stop  chan struct{}
	once  sync.Once

	n    int
	past [16]uint64 // of raft's newest requests: PrevLogEntry

	// Lock order: wire, mu. Whoever holds wire may wait for an answer to be taken, so that what takes answers needs mu alone.
	wire sync.Mutex // the right to send

	mu struct {
		sync.Mutex
		last  raft.AppendEntriesRequest // the newest request, without its entries; PrevLogEntry and PrevLogTerm are what it ends in
		ready bool                      // there is one
		ahead *aheadRequest             // that raft has not sent yet; nil: there is none
		asked []*aheadRequest           // whose answer is not delivered
		err   error                     // why nothing is sent any more: a request ahead could not be, or the follower has refused one
	}
}

// aheadRequest is a request that was sent ahead.
type aheadRequest struct {
	raft.AppendEntriesRequest
	sent chan struct{} // closed when raft has sent it, too
}

// sendAhead sends what comes by logs.
func (p *aheadPipeline) sendAhead() {
	for {
		select {
		case logs := <-p.logs:
			p.wire.Lock()
			if req := p.claim(logs); req != nil {
				if _, err := p.inner.AppendEntries(&req.AppendEntriesRequest, new(raft.AppendEntriesResponse)); err != nil {
					p.end(err)
				}
			}
			p.wire.Unlock()
		case <-p.stop:
			return
		}
	}
}

// end has nothing sent any more.
func (p *aheadPipeline) end(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.err = cmp.Or(p.mu.err, err)
}

// claim returns a request for entries, nil if they do not follow what was sent, or if something has gone ahead already.
func (p *aheadPipeline) claim(logs []*raft.Log) *aheadRequest {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := &p.mu.last
	if !p.mu.ready || p.mu.ahead != nil || p.mu.err != nil ||
		logs[0].Index != last.PrevLogEntry+1 || logs[0].Term != last.Term {
		return nil
	}
	a := &aheadRequest{*last, make(chan struct{})}
	a.Entries, a.LeaderCommitIndex = logs, max(last.LeaderCommitIndex, p.all.commit())
	p.mu.ahead, p.mu.asked = a, append(p.mu.asked, a)
	p.noteLocked(&a.AppendEntriesRequest)
	return a
}

// noteLocked notes what was sent last.
func (p *aheadPipeline) noteLocked(req *raft.AppendEntriesRequest) {
	p.mu.last, p.mu.ready = *req, true
	p.mu.last.Entries = nil
	if n := len(req.Entries); n > 0 {
		p.mu.last.PrevLogEntry, p.mu.last.PrevLogTerm = req.Entries[n-1].Index, req.Entries[n-1].Term
	}
}

// went reports whether a request of raft's has gone ahead, or need not be sent. The answer to one that has can be delivered now.
func (p *aheadPipeline) went(req *raft.AppendEntriesRequest) (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := p.mu.ahead
	if p.mu.err != nil || a == nil {
		return false, p.mu.err
	}
	// Nothing else is sent until raft sends these entries: its answer would wait for theirs, and raft, which waits for the answer
	// before it sends on, would never come to send them.
	if len(req.Entries) == 0 {
		return true, nil // it tells a commit index, as a.LeaderCommitIndex has just done
	}
	if lastOf(req) < lastOf(&a.AppendEntriesRequest) {
		return false, errDisorder
	}
	p.mu.ahead = nil
	close(a.sent)
	if req.PrevLogEntry != a.PrevLogEntry || lastOf(req) != lastOf(&a.AppendEntriesRequest) {
		return false, nil // more than it
	}
	p.noteLocked(req)
	return true, nil
}

var (
	errDisorder = errors.New("cluster: entries are sent again that were sent")
	errRejected = errors.New("cluster: the follower has refused entries")
)

func lastOf(req *raft.AppendEntriesRequest) uint64 { return req.Entries[len(req.Entries)-1].Index }

// AppendEntries sends a request, unless it was sent ahead: then there is no future, which raft does not look at.
func (p *aheadPipeline) AppendEntries(req *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) (raft.AppendFuture, error) {
	went, err := p.went(req)
	if p.kept.holds.Load() > 0 && (!went || len(req.Entries) > 0) {
		// Of the requests of a pipeline that are sent fewer are under way than past has room for, so that the one of that many before
		// was answered: the node has what came before it.
		slot := &p.past[p.n%len(p.past)]
		p.kept.has(p.id, *slot) // 0 of the first
		*slot = req.PrevLogEntry
		p.n++
	}
	if went || err != nil {
		return nil, err
	}
	p.wire.Lock()
	defer p.wire.Unlock()
	if went, err := p.went(req); went || err != nil {
		return nil, err
	}
	p.mu.Lock()
	p.noteLocked(req)
	p.mu.Unlock()
	return p.inner.AppendEntries(req, resp)
}

// deliver hands answers to raft, in their order: that to a request ahead once raft has sent it.
//
// Raft takes none after one that refuses. It may be about to send, and would wait for those under way to be taken, in a pipeline that
// only it closes: so they are taken here.
func (p *aheadPipeline) deliver() {
	for {
		var f raft.AppendFuture
		select {
		case f = <-p.inner.Consumer():
		case <-p.stop:
			return
		}
		if a := p.answered(f.Request()); a != nil {
			select {
			case <-a.sent:
			case <-p.stop:
				return
			}
		}
		select {
		case p.out <- f:
		case <-p.stop:
			return
		}
		if !f.Response().Success {
			p.end(errRejected)
			p.discard()
			return
		}
	}
}

// discard takes answers for nobody.
func (p *aheadPipeline) discard() {
	for {
		select {
		case <-p.inner.Consumer():
		case <-p.stop:
			return
		}
	}
}

// answered returns the request ahead that was answered, nil if the request is one that raft has sent itself.
func (p *aheadPipeline) answered(req *raft.AppendEntriesRequest) *aheadRequest {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, a := range p.mu.asked {
		if &a.AppendEntriesRequest == req {
			p.mu.asked = slices.Delete(p.mu.asked, i, i+1)
			return a
		}
	}
	return nil
}

// Consumer returns where answers are delivered.
func (p *aheadPipeline) Consumer() <-chan raft.AppendFuture { return p.out }

// Close closes the pipeline.
func (p *aheadPipeline) Close() error {
	p.once.Do(func() {
		close(p.stop)
		p.all.change(func(list []*aheadPipeline) []*aheadPipeline {
			return slices.DeleteFunc(list, func(x *aheadPipeline) bool { return x == p })
		})
	})
	return p.inner.Close()
}
