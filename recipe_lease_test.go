package ebb_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/ebbdb/ebb"
)

// lease is the right to do something alone, for a while. Its token grows from each holder to the next.
type lease struct {
	db    *ebb.DB
	key   []byte
	token uint64
}

// acquire takes a lease that nobody holds. If somebody does, it is ebb.ErrConditionFailed.
func acquire(db *ebb.DB, name, holder string, d time.Duration) (*lease, error) {
	l := &lease{db: db, key: []byte("lease/" + name)}
	err := db.Put(l.key, []byte(holder), ebb.IfAbsent, ebb.TTL(d), ebb.VersionTo(&l.token))
	return l, err
}

// renew makes the lease last until d from now. If it has run out, that is ebb.ErrNotFound, or ebb.ErrConditionFailed
// when somebody else has it.
func (l *lease) renew(d time.Duration) error {
	return l.db.Expire(l.key, d, ebb.IfVersion(l.token), ebb.VersionTo(&l.token))
}

// release lets the next one in at once. Once the lease is lost it is ebb.ErrConditionFailed and changes nothing.
func (l *lease) release() error { return l.db.Delete(l.key, ebb.IfVersion(l.token)) }

// document is what the lease protects. Its writers may have been paused for longer than they know, so it does not trust
// them to hold the lease still: it refuses tokens older than one it has seen.
type document struct {
	newest uint64
	text   string
}

func (d *document) write(token uint64, text string) error {
	if token < d.newest {
		return errors.New("stale token")
	}
	d.newest, d.text = token, text
	return nil
}

// A lock that its holder's death sets free, and that a holder who slept too long cannot break.
func Example_lease() {
	const d = 10 * time.Second
	clock := newTestClock(noon)
	db := openMemory(&ebb.Options{Clock: clock.Now})
	defer db.Close()
	var doc document

	a, err := acquire(db, "doc", "a", d)
	must(err)
	_, err = acquire(db, "doc", "b", d)
	fmt.Println("b:", err)
	clock.Advance(d - time.Second)
	fmt.Println("a renews:", a.renew(d))

	clock.Advance(d) // a is paused
	b, err := acquire(db, "doc", "b", d)
	must(err)
	fmt.Println("b writes:", doc.write(b.token, "b was here"))
	fmt.Println("a writes:", doc.write(a.token, "a was here"))
	fmt.Println("a renews:", a.renew(d))
	fmt.Println("b releases:", b.release())
	// Output:
	// b: ebb: condition failed: IfAbsent, but "lease/doc" has version 1
	// a renews: <nil>
	// b writes: <nil>
	// a writes: stale token
	// a renews: ebb: condition failed: IfVersion(2), but "lease/doc" has version 3
	// b releases: <nil>
}
