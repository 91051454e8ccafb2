package ebb

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/ebbdb/ebb/internal/lsm"
)

// maxCounter is the length of the longest counter, that of the least int64. A turn has room for as much.
const maxCounter = 20

// Counter decodes the value of a counter, as Add writes it and Get returns it: an int64 in decimal digits. Another value
// is ErrNotCounter.
func Counter(value []byte) (int64, error) {
	if len(value) > maxCounter {
		return 0, fmt.Errorf("%w: a value of %d bytes", ErrNotCounter, len(value))
	}
	n, err := strconv.ParseInt(string(value), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrNotCounter, errors.Unwrap(err))
	}
	return n, nil
}

// Add adds delta to a counter and returns the sum. An absent key counts as 0. The sum keeps the deadline of the counter
// that it replaces: TTL or ExpireAt count only for an absent key, so that one call is a rate limit with a fixed window. It
// takes the options of Put but KeepTTL.
//
// A value that is no counter is ErrNotCounter, a sum outside int64 ErrOverflow; both leave everything as it was.
func (db *DB) Add(key []byte, delta int64, opts ...WriteOption) (int64, error) {
	if err := checkKey(key); err != nil {
		return 0, err
	}
	p, err := evaluate(opts, deadlineOptions|conditionOptions, db.clock, db.opts.Sync)
	if err != nil {
		return 0, err
	}
	t, cur, err := db.pipeline.beginUpdate(key, lsm.WithValue, &p)
	if err != nil {
		return 0, err
	}
	var n int64
	if cur.found {
		if n, err = Counter(cur.Value); err != nil {
			return 0, t.refuse(err, &p)
		}
		p.deadline, p.past = cur.Deadline, false
	}
	sum := n + delta
	if (sum > n) != (delta > 0) && delta != 0 {
		return 0, t.refuse(fmt.Errorf("%w: %d and %d", ErrOverflow, n, delta), &p)
	}
	value := strconv.AppendInt(t.scratch(), sum, 10)
	if err := t.put(key, value, &p); err != nil {
		return 0, err
	}
	return sum, nil
}
