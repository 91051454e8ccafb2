package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ebbdb/ebb"
	"github.com/ebbdb/ebb/cluster"
)

// TestCommand operates a cluster of one that others join, and recovers it from the loss of its majority.
func TestCommand(t *testing.T) {
	dir := t.TempDir()
	open := func(id string, c cluster.Config) *cluster.DB {
		t.Helper()
		c.ID, c.Insecure, c.Heartbeat = id, true, 200*time.Millisecond
		if c.Listen == "" {
			c.Listen = "127.0.0.1:0"
		}
		db, err := cluster.Open(t.Context(), filepath.Join(dir, id), c)
		if err != nil {
			t.Fatal(err)
		}
		return db
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	do := func(args ...string) string {
		t.Helper()
		var out bytes.Buffer
		if err := run(t.Context(), append([]string{args[0], "-insecure"}, args[1:]...), &out, &out); err != nil {
			t.Fatalf("%v: %v", args, err)
		}
		return out.String()
	}
	ctx, stop := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() {
		first <- run(ctx, []string{"start", "-insecure", "-id", "a", "-listen", addr, "-peers", "a=" + addr, "-metrics", "127.0.0.1:0",
			filepath.Join(dir, "a")}, os.Stderr, new(bytes.Buffer))
	}()
	var b *cluster.DB
	for b == nil { // until a listens
		if conn, err := net.Dial("tcp", addr); err == nil {
			conn.Close()
			b = open("b", cluster.Config{Join: []string{addr}, ReadReplica: true})
		}
	}
	c := open("c", cluster.Config{Join: []string{b.Addr().String()}})
	if err := c.Put(t.Context(), []byte("k"), []byte("v")); err != nil {
		t.Fatal(err)
	}
	do("promote", b.Addr().String(), "b")
	do("transfer", addr, "b")
	if s := do("status", addr); strings.Count(s, "\tvoter\t") != 3 || !strings.Contains(s, "applied ") {
		t.Error(s)
	}
	members := func(voters, replicas int) { // as the node that is asked comes to know
		t.Helper()
		for {
			s := do("status", addr)
			if strings.Count(s, "\tvoter\t") == voters && strings.Count(s, "\treplica\t") == replicas {
				return
			}
		}
	}
	do("remove", addr, "c")
	members(2, 0)
	do("add", "-replica", addr, "c="+c.Addr().String())
	members(2, 1)
	do("add", addr, "c="+c.Addr().String())
	members(3, 0)
	if s := do("digest", addr); strings.Count(s, "entry ") != 3 {
		t.Error(s)
	}
	file := filepath.Join(dir, "backup")
	do("backup", c.Addr().String(), file)
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := ebb.Restore(t.Context(), filepath.Join(dir, "restored"), nil, f); err != nil {
		t.Fatal(err)
	}
	stop()
	if err := <-first; err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	at := c.Addr().String()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	// a and b are lost.
	do("recover", "-id", "c", "-peers", "c="+at, filepath.Join(dir, "c"))
	c = open("c", cluster.Config{Listen: at})
	if v, err := c.Get(t.Context(), []byte("k")); err != nil || string(v) != "v" {
		t.Errorf("after the recovery: %q, %v", v, err)
	}
	if err := c.Put(t.Context(), []byte("k"), []byte("w")); err != nil {
		t.Error(err)
	}
	var metrics bytes.Buffer
	writeMetrics(&metrics, c.Stats())
	if !strings.Contains(metrics.String(), "ebb_cluster_leader 1\n") {
		t.Error(metrics.String())
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	for _, args := range [][]string{{}, {"status"}, {"nonsense", addr}, {"recover", "-peers", "x", dir}, {"add", addr, "x"}} {
		if err := run(t.Context(), args, new(bytes.Buffer), new(bytes.Buffer)); err == nil {
			t.Error(fmt.Sprint(args), "is accepted")
		}
	}
}
