package ebb

import (
	"sync/atomic"
	"time"
)

// A background goroutine that failed, most often for a full disk, tries again after retryFirst, and then after twice as
// long each time, up to retryLast.
const (
	retryFirst = 250 * time.Millisecond
	retryLast  = 30 * time.Second
)

// backgroundLoop calls do whenever it is requested, until Close, and again after a failure.
func (db *DB) backgroundLoop(name string, requests chan struct{}, failure *atomic.Pointer[error], do func() error) {
	retry := retryFirst
	for {
		select {
		case <-db.work.Done():
			return
		case <-requests:
		}
		err := do()
		if db.work.Err() != nil {
			return
		}
		if err == nil {
			failure.Store(nil)
			retry = retryFirst
			continue
		}
		failure.Store(&err)
		db.backgroundError(name, err, retry)
		db.stall.wake() // those that wait for this get the error
		timer := time.NewTimer(retry)
		select {
		case <-db.work.Done():
			timer.Stop()
			return
		case <-timer.C:
			request(requests)
		}
		retry = min(2*retry, retryLast)
	}
}

// blocked returns why part of the background makes no progress, or nil if all does.
func (db *DB) blocked() error {
	if err := db.flushFailed.Load(); err != nil {
		return *err
	}
	if err := db.compactFailed.Load(); err != nil {
		return *err
	}
	return nil
}
