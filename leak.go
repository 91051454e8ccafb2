package ebb

import (
	"fmt"
	"runtime"
	"time"

	"github.com/ebbdb/ebb/internal/lsm"
)

// begun is what has to be known of a transaction of Begin when it is forgotten. It does not lead to the Txn.
type begun struct {
	live     *lsm.Set
	view     *lsm.View // pinned
	health   *health
	at       time.Time // when it began
	writable bool
	unwant   func() // nil, or ends what the transaction has asked for
	caller   [1]uintptr
}

// leaked unpins the view of a transaction that nobody can reach any more, and tells of it.
func (b *begun) leaked() {
	b.live.Unpin(b.view)
	if b.unwant != nil {
		b.unwant()
	}
	frame, _ := runtime.CallersFrames(b.caller[:]).Next()
	b.health.events.emit(TransactionLeaked{
		Begun:    fmt.Sprintf("%s:%d", frame.File, frame.Line),
		Writable: b.writable,
		Age:      b.health.sys.since(b.at),
	})
}
