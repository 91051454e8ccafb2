package cluster

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/hashicorp/raft"
)

// wire is a pipeline whose other end is the test.
type wire struct {
	sent    []*raft.AppendEntriesRequest
	answers chan raft.AppendFuture
	err     error
	closed  bool
}

func (w *wire) AppendEntries(req *raft.AppendEntriesRequest, _ *raft.AppendEntriesResponse) (raft.AppendFuture, error) {
	if w.err != nil {
		return nil, w.err
	}
	w.sent = append(w.sent, req)
	return nil, nil
}
func (w *wire) Consumer() <-chan raft.AppendFuture { return w.answers }
func (w *wire) Close() error                       { w.closed = true; return nil }

// wireAnswer is the answer to a request.
type wireAnswer struct {
	raft.AppendFuture
	req     *raft.AppendEntriesRequest
	refused bool
}

func (a wireAnswer) Request() *raft.AppendEntriesRequest { return a.req }
func (a wireAnswer) Response() *raft.AppendEntriesResponse {
	return &raft.AppendEntriesResponse{Success: !a.refused}
}

func entries(term uint64, from, to uint64) (list []*raft.Log) {
	for i := from; i <= to; i++ {
		list = append(list, &raft.Log{Index: i, Term: term})
	}
	return list
}

func request(term, prev uint64, logs []*raft.Log) *raft.AppendEntriesRequest {
	return &raft.AppendEntriesRequest{Term: term, PrevLogEntry: prev, PrevLogTerm: term, Entries: logs, LeaderCommitIndex: prev - 1}
}

// aheadTest runs a test of a pipeline on which raft has sent what follows entry 10, which is 11 and 12, in term 3.
func aheadTest(t *testing.T, test func(t *testing.T, p *aheadPipeline, w *wire, ps *pipelines)) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{answers: make(chan raft.AppendFuture)}
		ps := &pipelines{commit: func() uint64 { return 12 }}
		p := ps.open(w, "a", &keptLog{})
		ps.send(entries(3, 11, 12)) // before raft has sent anything: how it does is not known
		synctest.Wait()
		if len(w.sent) != 0 {
			t.Error("sent before raft has sent anything")
		}
		_, err := p.AppendEntries(request(3, 10, entries(3, 11, 12)), nil)
		must(t, err)
		test(t, p, w, ps)
		must(t, p.Close())
		synctest.Wait()
		if !w.closed || len(*ps.list.Load()) != 0 {
			t.Error("not closed")
		}
	})
}

// sends checks what the last of n requests was.
func (w *wire) sends(t *testing.T, n int, prev uint64, first, last uint64) {
	t.Helper()
	synctest.Wait()
	if len(w.sent) != n {
		t.Fatalf("%d requests were sent, want %d", len(w.sent), n)
	}
	r := w.sent[n-1]
	if r.Term != 3 || r.PrevLogEntry != prev || r.PrevLogTerm != 3 || r.Entries[0].Index != first || lastOf(r) != last {
		t.Errorf("%+v was sent, want entries %d to %d", r, first, last)
	}
}

// delivered returns the request whose answer is delivered, nil if none is.
func (p *aheadPipeline) delivered() *raft.AppendEntriesRequest {
	synctest.Wait()
	select {
	case f := <-p.Consumer():
		return f.Request()
	default:
		return nil
	}
}

// TestAhead sends entries ahead: raft sends them no more, and gets their answer once it has tried.
func TestAhead(t *testing.T) {
	aheadTest(t, func(t *testing.T, p *aheadPipeline, w *wire, ps *pipelines) {
		for i := uint64(13); i < 20; i++ {
			n := int(i - 11)
			ps.send(entries(3, i, i))
			w.sends(t, n, i-1, i, i)
			if c := w.sent[n-1].LeaderCommitIndex; c != max(12, i-3) {
				t.Errorf("commit index %d", c)
			}
			ps.send(entries(3, i+1, i+1)) // one at a time
			w.sends(t, n, i-1, i, i)
			w.answers <- wireAnswer{req: w.sent[n-1]}
			for range 3 { // storing takes long
				_, err := p.AppendEntries(request(3, i-1, nil), nil)
				must(t, err)
			}
			if r := p.delivered(); r != nil {
				t.Fatalf("the answer to %+v was delivered before the leader had stored them", r)
			}
			_, err := p.AppendEntries(request(3, i-1, entries(3, i, i)), nil)
			must(t, err)
			w.sends(t, n, i-1, i, i)
			if r := p.delivered(); r != w.sent[n-1] {
				t.Fatalf("the answer to %+v was delivered", r)
			}
		}
	})
}

// TestAheadOfAnswers has raft send what went ahead before its answer comes, as it does with a slow follower.
func TestAheadOfAnswers(t *testing.T) {
	aheadTest(t, func(t *testing.T, p *aheadPipeline, w *wire, ps *pipelines) {
		for i := uint64(13); i < 16; i++ {
			ps.send(entries(3, i, i))
			w.sends(t, int(i-11), i-1, i, i)
			_, err := p.AppendEntries(request(3, i-1, entries(3, i, i)), nil)
			must(t, err)
		}
		for _, r := range w.sent {
			w.answers <- wireAnswer{req: r}
			if got := p.delivered(); got != r {
				t.Errorf("the answer to %+v was delivered, want %+v", got, r)
			}
		}
		ps.send(entries(3, 16, 16))
		w.sends(t, 5, 15, 16, 16)
		_, err := p.AppendEntries(request(3, 15, entries(3, 16, 18)), nil) // raft has more by now: all of it is sent
		must(t, err)
		w.sends(t, 6, 15, 16, 18)
		for _, r := range w.sent[4:] {
			w.answers <- wireAnswer{req: r}
			if got := p.delivered(); got != r {
				t.Errorf("the answer to %+v was delivered, want %+v", got, r)
			}
		}
		ps.send(entries(3, 19, 19))
		w.sends(t, 7, 18, 19, 19)
		if _, err := p.AppendEntries(request(3, 16, entries(3, 17, 18)), nil); !errors.Is(err, errDisorder) {
			t.Error(err)
		}
	})
}

// TestAheadRefused has a follower refuse: raft takes the first such answer, and no more. Those that follow hold nobody up, and raft is
// told to begin anew.
func TestAheadRefused(t *testing.T) {
	aheadTest(t, func(t *testing.T, p *aheadPipeline, w *wire, ps *pipelines) {
		ps.send(entries(3, 13, 13))
		w.sends(t, 2, 12, 13, 13)
		w.answers <- wireAnswer{req: w.sent[0], refused: true}
		if r := p.delivered(); r != w.sent[0] {
			t.Errorf("the answer to %+v was delivered", r)
		}
		for range 4 {
			w.answers <- wireAnswer{req: w.sent[1], refused: true}
			synctest.Wait()
			for _, logs := range [][]*raft.Log{nil, entries(3, 13, 13)} {
				if _, err := p.AppendEntries(request(3, 12, logs), nil); !errors.Is(err, errRejected) {
					t.Error(err)
				}
			}
		}
	})
}

// TestAheadAndHolds has raft, while the leader stores what went ahead, ask again and again: that is not sent, and says nothing of what
// a node has that was sent a snapshot.
func TestAheadAndHolds(t *testing.T) {
	aheadTest(t, func(t *testing.T, p *aheadPipeline, w *wire, ps *pipelines) {
		cache, err := raft.NewLogCache(4, raft.NewInmemStore())
		must(t, err)
		p.kept.LogCache = cache
		must(t, cache.StoreLogs(entries(3, 1, 100)))
		must(t, p.kept.hold("a", 10))
		ps.send(entries(3, 13, 13))
		w.sends(t, 2, 12, 13, 13)
		for range 100 {
			_, err := p.AppendEntries(request(3, 12, nil), nil)
			must(t, err)
		}
		w.sends(t, 2, 12, 13, 13)
		if h := p.kept.mu.holds["a"]; h == nil || h.index != 10 {
			t.Errorf("%+v is held of a node that has answered nothing", h)
		}
	})
}

// TestNotAhead has entries that must not, or cannot, be sent ahead.
func TestNotAhead(t *testing.T) {
	configuration := entries(3, 13, 13)
	configuration[0].Type = raft.LogConfiguration
	for name, logs := range map[string][]*raft.Log{
		"a gap": entries(3, 14, 14), "again": entries(3, 12, 12), "another term": entries(4, 13, 13),
		"a configuration": configuration, "too many": entries(3, 13, 13+maxAppendEntries),
	} {
		t.Run(name, func(t *testing.T) {
			aheadTest(t, func(t *testing.T, p *aheadPipeline, w *wire, ps *pipelines) {
				ps.send(logs)
				w.sends(t, 1, 10, 11, 12)
				_, err := p.AppendEntries(request(3, 12, entries(3, 13, 13)), nil)
				must(t, err)
				w.sends(t, 2, 12, 13, 13)
			})
		})
	}
	t.Run("a broken connection", func(t *testing.T) {
		aheadTest(t, func(t *testing.T, p *aheadPipeline, w *wire, ps *pipelines) {
			w.err = errors.New("broken")
			ps.send(entries(3, 13, 13))
			synctest.Wait()
			for _, logs := range [][]*raft.Log{nil, entries(3, 13, 13)} {
				if _, err := p.AppendEntries(request(3, 12, logs), nil); !errors.Is(err, w.err) {
					t.Error(err)
				}
			}
		})
	})
}
