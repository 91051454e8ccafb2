package raftlog_test

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"

	"github.com/ebbdb/ebb/cluster/raftlog"
)

// A store is given to raft as its log and as its stable store, and closed after raft has shut down.
func Example() {
	dir, err := os.MkdirTemp("", "raftlog")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	store, err := raftlog.Open(filepath.Join(dir, "raft"), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	servers := raft.Configuration{Servers: []raft.Server{{ID: "a", Address: "a"}}}
	config := raft.DefaultConfig()
	config.LocalID = "a"
	_, transport := raft.NewInmemTransport("a")
	if err := raft.BootstrapCluster(config, store, store, raft.NewInmemSnapshotStore(), transport, servers); err != nil {
		fmt.Println(err)
		return
	}
	term, err := store.GetUint64([]byte("CurrentTerm"))
	last, _ := store.LastIndex()
	fmt.Println("term", term, "last index", last, err)
	if err := store.Close(); err != nil {
		fmt.Println(err)
		return
	}
	report, err := raftlog.Verify(filepath.Join(dir, "raft"), nil)
	fmt.Println(report.Entries, "entry,", report.Stable, "stable value", err)
	// Output:
	// term 1 last index 1 <nil>
	// 1 entry, 1 stable value <nil>
}
