//go:build unix

package wal

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

const killEnv = "EBB_WAL_KILL_DIR"

// TestKill starts this test's binary again as a process that appends and says so on its standard output, kills it, and
// finds every append that it had acknowledged.
func TestKill(t *testing.T) {
	if dir := os.Getenv(killEnv); dir != "" {
		killChild(dir)
	}
	for policy := SyncAlways; policy <= SyncNever; policy++ {
		for _, after := range []int{1, 100, 5000} {
			t.Run(fmt.Sprintf("policy=%d,after=%d", policy, after), func(t *testing.T) {
				if testing.Short() && policy == SyncAlways && after > 1000 {
					t.Skip("thousands of syncs")
				}
				dir := filepath.Join(t.TempDir(), "log")
				acked := killAfter(t, dir, policy, after)
				n := 0
				l, err := Open(dir, &Options{Replay: func(e *Entry) error {
					if want := strconv.Itoa(n); string(e.Value) != want {
						return fmt.Errorf("entry %d is %q", n, e.Value)
					}
					n++
					return nil
				}})
				if err != nil {
					t.Fatal(err)
				}
				closeLog(t, l)
				if n < acked {
					t.Errorf("%d entries came back, %d were acknowledged", n, acked)
				}
			})
		}
	}
}

// killAfter runs the child until it has acknowledged a number of appends and returns how many it had when it died.
func killAfter(t *testing.T, dir string, policy SyncPolicy, after int) (acked int) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestKill$")
	cmd.Env = append(os.Environ(), killEnv+"="+dir, fmt.Sprintf("%s_POLICY=%d", killEnv, policy))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		n, ok := strings.CutPrefix(lines.Text(), "acked ")
		if !ok {
			t.Fatalf("the child says %q", lines.Text())
		}
		if acked, err = strconv.Atoi(n); err != nil {
			t.Fatal(err)
		}
		if acked == after {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil || acked < after {
		t.Fatalf("the child ended by itself after %d: %v", acked, err)
	}
	return acked
}

// killChild appends until it is killed.
func killChild(dir string) {
	policy, _ := strconv.Atoi(os.Getenv(killEnv + "_POLICY"))
	l, err := Open(dir, &Options{Sync: SyncPolicy(policy), SegmentSize: 64 << 10})
	for i := 0; err == nil; i++ {
		if err = l.Append(&Entry{Key: []byte("k"), Value: strconv.AppendInt(nil, int64(i), 10)}); err == nil {
			_, err = fmt.Printf("acked %d\n", i+1)
		}
	}
	fmt.Println(err)
	os.Exit(1)
}
