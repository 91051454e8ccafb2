package epoch

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Waits that queue behind one that sleeps do not keep the time of a bubble from moving on.
func TestWaitsInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var e Epoch
		ticket := e.Enter(0)
		var waits sync.WaitGroup
		for range 3 {
			waits.Go(e.Wait)
		}
		time.Sleep(time.Second)
		e.Exit(ticket)
		waits.Wait()
	})
}
