package judges

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	crashWriters  = 8
	crashPipeline = 16
)

// TestCrash kills ebbd with SIGKILL while pipelines of writes are under way, opens the directory again, and asks for every write
// that was acknowledged, over several lives of one directory.
func TestCrash(t *testing.T) {
	if !judgesEbb() {
		t.Skip("Redis has its own promises")
	}
	rounds := 3
	if *long {
		rounds = 100
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	dir := filepath.Join(t.TempDir(), "db")
	begun := make([]int, crashWriters) // how many batches each writer has sent in all lives
	acked := make([]int, crashWriters) // and how many of them were acknowledged
	var lives int
	for range rounds {
		s := startEbbd(t, dir, "-sync", "always", "-memory", "16MiB")
		lives++
		var total atomic.Int64
		enough := int64(r.IntN(400)) // batches until the kill
		reached := make(chan struct{})
		var once sync.Once
		var wg sync.WaitGroup
		for w := range crashWriters {
			c := dial(t, s.addr)
			wg.Go(func() {
				for c.batch(w, begun[w]) == nil {
					begun[w]++
					acked[w] = begun[w]
					if total.Add(1) >= enough {
						once.Do(func() { close(reached) })
					}
				}
				once.Do(func() { close(reached) }) // an error before the kill shows below, as a batch too few
				begun[w]++                         // this one may be there, wholly or in part
			})
		}
		<-reached
		s.cmd.Process.Kill()
		<-s.gone
		wg.Wait()
		s = startEbbd(t, dir, "-sync", "always", "-memory", "16MiB")
		c := dial(t, s.addr)
		for w := range crashWriters {
			c.verify(t, w, acked[w])
			acked[w] = begun[w] // what was not acknowledged need not be there: it is written over below
			for i := range crashPipeline {
				c.must(t, crashWrite(w, begun[w]-1, i)...)
			}
			c.must(t, "SET", fmt.Sprintf("count:%d", w), strconv.Itoa(begun[w]))
		}
		s.stop(t)
	}
	n := 0
	for _, a := range acked {
		n += a * (crashPipeline + 1)
	}
	t.Logf("%d kills, %d writes acknowledged and there", lives, n)
}

// crashWrite is one write of a batch: every third has a deadline, years away, which has to be kept to the millisecond.
func crashWrite(writer, batch, i int) []string {
	key, value := fmt.Sprintf("w%d:%d:%d", writer, batch, i), fmt.Sprintf("value %d of %d", i, batch)
	if i%3 == 0 {
		return []string{"SET", key, value, "PXAT", strconv.Itoa(crashDeadline(batch, i))}
	}
	return []string{"SET", key, value}
}

func crashDeadline(batch, i int) int { return 4_000_000_000_000 + batch*1000 + i }

// batch sends a pipeline and waits for all its replies.
func (c *conn) batch(writer, batch int) error {
	var b []byte
	for i := range crashPipeline {
		b = append(b, encode(crashWrite(writer, batch, i)...)...)
	}
	b = append(b, encode("INCR", fmt.Sprintf("count:%d", writer))...)
	c.SetWriteDeadline(time.Now().Add(patience))
	if _, err := c.Write(b); err != nil {
		return err
	}
	for range crashPipeline {
		if r, err := c.read(); err != nil || r.text != "OK" {
			return fmt.Errorf("%s, %w", r, err)
		}
	}
	r, err := c.read()
	if err == nil && r.text != strconv.Itoa(batch+1) {
		return fmt.Errorf("the counter is %s after %d batches", r, batch)
	}
	return err
}

// verify asks for every write of the first batches of a writer.
func (c *conn) verify(t *testing.T, writer, batches int) {
	t.Helper()
	var b []byte
	for batch := range batches {
		for i := range crashPipeline {
			w := crashWrite(writer, batch, i)
			b = append(b, encode("GET", w[1])...)
			b = append(b, encode("PEXPIRETIME", w[1])...)
		}
	}
	go c.Write(b) // while the replies are read
	for batch := range batches {
		for i := range crashPipeline {
			w := crashWrite(writer, batch, i)
			value, err := c.read()
			ok(t, err)
			deadline, err := c.read()
			ok(t, err)
			want := "-1"
			if len(w) == 5 {
				want = w[4]
			}
			if value.text != w[2] || deadline.text != want {
				t.Fatalf("%q was acknowledged: %s, deadline %s", w, value, deadline)
			}
		}
	}
	r := c.must(t, "GET", fmt.Sprintf("count:%d", writer))
	if n, err := strconv.Atoi(r.text); batches > 0 && (err != nil || n < batches) {
		t.Fatalf("writer %d counted %d batches, and the counter is %s", writer, batches, r)
	}
}
