//go:build unix

package ebb

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const killEnv = "EBB_KILL_DIR"

// killStep returns the i-th thing that the child writes: mostly puts, with some deletes and batches.
func killStep(i int) step {
	key := func(n int) string { return fmt.Sprintf("key%03d", n%200) }
	value := fmt.Sprintf("%d %0150d", i, i)
	switch i % 7 {
	case 3:
		return deleteStep(key(i * 5))
	case 5:
		return batchStep(value, 0, key(i), key(i+50), key(i+100), key(i+150))
	}
	return putStep(key(i*3), value, 0)
}

func killOptions(policy SyncPolicy) *Options {
	return &Options{Sync: policy, memtableSize: 32 << 10, tableSize: 16 << 10, segmentSize: 32 << 10}
}

// TestKill starts this test's binary again as a process that writes and says so on its standard output, while memtables are
// flushed and tables compacted, kills it, and finds every write that it had acknowledged, and batches whole.
func TestKill(t *testing.T) {
	if dir := os.Getenv(killEnv); dir != "" {
		killChild(dir)
	}
	for policy := SyncAlways; policy <= SyncNever; policy++ {
		for _, after := range []int{1, 60, 777, 3000, 20_000} {
			t.Run(fmt.Sprintf("policy=%d,after=%d", policy, after), func(t *testing.T) {
				if after > 1000 && (testing.Short() || policy == SyncAlways) {
					t.Skip("takes long")
				}
				dir := filepath.Join(t.TempDir(), "db")
				checkKilled(t, dir, policy, killAfter(t, dir, policy, after))
			})
		}
	}
}

// checkKilled opens what a child has left that had acknowledged so many writes, twice.
func checkKilled(t *testing.T, dir string, policy SyncPolicy, acked int) {
	t.Helper()
	m := newModel(newFakeClock())
	n, seq := 0, uint64(0)
	for range 2 {
		db, err := Open(dir, killOptions(policy))
		must(t, err)
		for ; seq < lastSeq(db); n++ {
			s := killStep(n)
			s.apply(m)
			seq += s.ops
		}
		if seq != lastSeq(db) || n < acked {
			t.Errorf("sequence %d, %d writes came back, %d were acknowledged", lastSeq(db), n, acked)
		}
		if err := m.compare(db, db.clock.Now()); err != nil {
			t.Errorf("after %d writes: %v", n, err)
		}
		must(t, db.Verify(t.Context()))
		must(t, db.Close())
	}
}

// killAfter runs the child until it has acknowledged a number of writes and returns how many it had when it died.
func killAfter(t *testing.T, dir string, policy SyncPolicy, after int) (acked int) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestKill$")
	cmd.Env = append(os.Environ(), killEnv+"="+dir, fmt.Sprintf("%s_POLICY=%d", killEnv, policy))
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	for lines := bufio.NewScanner(out); lines.Scan(); {
		n, ok := strings.CutPrefix(lines.Text(), "acked ")
		if !ok {
			t.Errorf("the child says %q", lines.Text())
			break
		}
		if acked, err = strconv.Atoi(n); err != nil {
			break // the line was cut by the kill
		}
		if acked == after {
			must(t, cmd.Process.Kill())
		}
	}
	if err := cmd.Wait(); err == nil || acked < after {
		t.Fatalf("the child ended by itself after %d: %v", acked, err)
	}
	return acked
}

// killChild writes until it is killed.
func killChild(dir string) {
	policy, _ := strconv.Atoi(os.Getenv(killEnv + "_POLICY"))
	db, err := Open(dir, killOptions(SyncPolicy(policy)))
	for i := 0; err == nil; i++ {
		if err = killStep(i).run(db); err == nil {
			_, err = fmt.Printf("acked %d\n", i+1)
		}
	}
	fmt.Println(err)
	os.Exit(1)
}
