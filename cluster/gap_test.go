package cluster

import (
	"bytes"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/ebbdb/ebb"
)

// TestWatchOverSnapshot has a snapshot installed on every node while watchers are behind: each is told of everything but what
// the gap says, which ends at a version that the data then has, and of all that comes after.
func TestWatchOverSnapshot(t *testing.T) {
	tc := startCluster(t, 3, func(c *Config) { c.Heartbeat = time.Second })
	ctx := t.Context()
	l := tc.leader()
	must(t, l.Put(ctx, []byte("first"), nil))
	type watched struct {
		gaps  []uint64
		told  map[uint64]bool
		after bool
	}
	begun, goOn, gapped, done := make(chan struct{}), make(chan struct{}), make(chan string, 100), make(chan watched)
	for _, db := range tc.nodes {
		for v := range db.Range(ctx, nil) { // this node has the first, too
			_ = v
		}
		go func() {
			w := watched{told: map[uint64]bool{}}
			for c, err := range db.Watch(ctx, &ebb.WatchOptions{From: 1}) {
				switch {
				case err != nil:
					t.Error(err)
				case c.Kind == ebb.ChangeGap:
					w.gaps = append(w.gaps, c.Seq)
					gapped <- db.ID()
				default:
					w.told[c.Seq] = true
				}
				if len(w.told) == 1 && len(w.gaps) == 0 {
					begun <- struct{}{}
					<-goOn
				}
				if w.after = string(c.Key) == "after"; w.after || err != nil {
					break
				}
			}
			done <- w
		}()
	}
	for range tc.nodes {
		<-begun
	}
	var versions []uint64
	for i := range 4000 {
		if i%500 != 0 {
			continue
		}
		var b ebb.Batch
		for k := range 500 {
			must(t, b.Put(fmt.Appendf(nil, "key %d", i+k), make([]byte, 200)))
		}
		var last uint64
		must(t, l.Apply(ctx, &b, ebb.VersionTo(&last)))
		for k := range uint64(500) {
			versions = append(versions, last-k)
		}
	}
	var file bytes.Buffer
	if _, err := l.Backup(ctx, &file, nil); err != nil {
		t.Fatal(err)
	}
	meta := &raft.SnapshotMeta{Version: raft.SnapshotVersionMax, Size: int64(file.Len())}
	for try := 0; ; try++ { // on a busy machine another may be elected meanwhile
		err := tc.leader().raft.Restore(meta, io.NopCloser(bytes.NewReader(file.Bytes())), 20*time.Second)
		if err == nil {
			break
		}
		if try == 20 {
			t.Fatal(err)
		}
	}
	must(t, tc.leader().Put(ctx, []byte("then"), nil))
	for _, db := range tc.nodes { // it has got the snapshot
		_, err := db.Get(ctx, []byte("then"))
		must(t, err)
	}
	close(goOn)
	for told := map[string]bool{}; len(told) < len(tc.nodes); {
		told[<-gapped] = true
	}
	must(t, tc.leader().Put(ctx, []byte("after"), nil))
	for range tc.nodes {
		w := <-done
		if len(w.gaps) == 0 || !w.after {
			t.Errorf("gaps %v, what came after it: %v", w.gaps, w.after)
			continue
		}
		for _, v := range versions {
			if !w.told[v] && v > w.gaps[len(w.gaps)-1] {
				t.Errorf("version %d was not told, and gaps go to %d", v, w.gaps)
			}
		}
	}
	tc.agree()
}
