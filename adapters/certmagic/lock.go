package certstorage

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ebbdb/ebb"
)

// pollInterval is how long a waiter waits at most until it looks again: another Storage may have the lock.
const pollInterval = time.Second

// errLost says that a lock has ended without an Unlock.
var errLost = errors.New("certstorage: the lock was lost")

// lock is a lock that this storage holds: a key of the database with a version that nobody else has. Whoever has lost the lock,
// as it was stopped for longer than its lease, has another version, and cannot touch the lock of the next one.
type lock struct {
	key  []byte
	stop func() // ends the renewals

	mu      sync.Mutex // held over the writes of version
	version uint64
}

// prolong lets the lock end no earlier than after d.
func (l *lock) prolong(db *ebb.DB, d time.Duration) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	left, err := db.TTL(l.key)
	if err == nil && left >= d {
		return nil
	}
	if err == nil {
		err = db.Expire(l.key, d, ebb.IfVersion(l.version), ebb.VersionTo(&l.version), ebb.Sync)
	}
	if errors.Is(err, ebb.ErrNotFound) || errors.Is(err, ebb.ErrConditionFailed) {
		return errLost
	}
	return err
}

// end deletes the lock. It is no error if it was lost.
func (l *lock) end(db *ebb.DB) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := db.Delete(l.key, ebb.IfVersion(l.version), ebb.Sync)
	if errors.Is(err, ebb.ErrConditionFailed) {
		return nil
	}
	return err
}

// renew prolongs the lock again and again. It ends with ctx, or when the lock is lost.
func (l *lock) renew(ctx context.Context, db *ebb.DB, lease time.Duration) {
	ticker := time.NewTicker(lease / 3)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if err := l.prolong(db, lease); err == errLost || errors.Is(err, ebb.ErrClosed) {
			return
		}
	}
}

func (s *Storage) lockKey(name string) []byte { return []byte(s.prefix + "l/" + name) }

// Lock gets a lock, and waits for it until the context ends. The lock is a lease of a minute, renewed until Unlock: after a crash
// it is free a minute later.
func (s *Storage) Lock(ctx context.Context, name string) error {
	for {
		s.mu.Lock()
		ended := s.ended
		s.mu.Unlock()
		if got, err := s.TryLock(ctx, name); got || err != nil {
			return err
		}
		timer := time.NewTimer(pollInterval)
		select {
		case <-ctx.Done():
		case <-ended:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// TryLock gets a lock if it is free, and reports whether it did.
func (s *Storage) TryLock(ctx context.Context, name string) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	l := &lock{key: s.lockKey(name)}
	err := s.db.Put(l.key, nil, ebb.IfAbsent, ebb.TTL(s.lease), ebb.VersionTo(&l.version), ebb.Sync)
	if errors.Is(err, ebb.ErrConditionFailed) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	renewing, stop := context.WithCancel(context.Background())
	l.stop = stop
	s.mu.Lock()
	if old := s.held[name]; old != nil { // which was lost
		old.stop()
	}
	s.held[name] = l
	s.mu.Unlock()
	go l.renew(renewing, s.db, s.lease)
	return true, nil
}

func (s *Storage) lock(name string) (*lock, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.held[name]; l != nil {
		return l, nil
	}
	return nil, fmt.Errorf("certstorage: lock %q is not held", name)
}

// RenewLockLease lets a lock that this storage holds end no earlier than after a time, should nobody live to renew it.
func (s *Storage) RenewLockLease(ctx context.Context, name string, lease time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	l, err := s.lock(name)
	if err != nil {
		return err
	}
	return l.prolong(s.db, lease)
}

// Unlock lets a lock go, also when the context has ended. A lock that was lost is gone already, and no error; one that this
// storage does not hold is.
func (s *Storage) Unlock(_ context.Context, name string) error {
	l, err := s.lock(name)
	if err != nil {
		return err
	}
	if err := l.end(s.db); err != nil {
		return err
	}
	l.stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held[name] == l {
		delete(s.held, name)
	}
	close(s.ended)
	s.ended = make(chan struct{})
	return nil
}
