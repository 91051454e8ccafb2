package ebb_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/ebbdb/ebb"
	"github.com/ebbdb/ebb/codec"
)

// requests remembers what was answered to a request, by the key that the client has given it, so that a request
// which is sent again is answered again and not carried out again.
type requests struct {
	answers *ebb.Typed[string, answer]
	claim   time.Duration // longer than carrying one out takes
	keep    time.Duration // longer than clients try again
}

type answer struct {
	Done bool
	Body string
}

var errInProgress = errors.New("the request is being carried out")

// do carries a request out, unless that has been done. After a crash in the middle of it the claim lapses, and the next
// attempt carries it out: what must happen at most once even then belongs into one Update with the answer.
func (r *requests) do(key string, carryOut func() (string, error)) (string, error) {
	var version uint64
	err := r.answers.Put(key, answer{}, ebb.IfAbsent, ebb.TTL(r.claim), ebb.VersionTo(&version))
	if errors.Is(err, ebb.ErrConditionFailed) {
		earlier, err := r.answers.Get(key)
		if err == nil && !earlier.Done || errors.Is(err, ebb.ErrNotFound) { // the claim may have gone just now
			err = errInProgress
		}
		return earlier.Body, err
	}
	if err != nil {
		return "", err
	}
	body, err := carryOut()
	if err != nil {
		return "", errors.Join(err, r.answers.Delete(key, ebb.IfVersion(version))) // it may be tried again at once
	}
	return body, r.answers.Put(key, answer{Done: true, Body: body}, ebb.IfVersion(version), ebb.TTL(r.keep))
}

// A payment that is sent twice is made once.
func Example_idempotencyKeys() {
	db := openMemory(nil)
	defer db.Close()
	answers := ebb.NewTyped(db, []byte("idempotency/"), codec.String(), codec.JSON[answer]())
	r := requests{answers: answers, claim: time.Minute, keep: 24 * time.Hour}

	pay := func() (string, error) {
		_, err := r.do("payment-1", func() (string, error) { return "", nil }) // the same, meanwhile
		fmt.Println("meanwhile:", err)
		fmt.Println("paying")
		return "receipt 17", nil
	}
	for range 2 {
		body, err := r.do("payment-1", pay)
		fmt.Println(body, err)
	}
	// Output:
	// meanwhile: the request is being carried out
	// paying
	// receipt 17 <nil>
	// receipt 17 <nil>
}
