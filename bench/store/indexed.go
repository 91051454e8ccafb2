package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"sync"
	"time"
)

const (
	sweepEvery = time.Second
	sweepSlice = 256 // rows that go in one batch, and for which writers wait
)

// indexPrefix begins the keys of the index of deadlines; no other key is below "a".
var indexPrefix = []byte{0, 'x'}

// indexed gives deadlines to a store that has none, the way its users do: the deadline in front of the value, which a read
// checks; a row {deadline, key} in an index, written in the same batch; and a sweeper that walks the index up to now, a slice
// at a time, from where it stopped.
type indexed struct {
	Store
	renew sync.RWMutex // the sweeper holds it while it checks and deletes, writers share it: no key goes that was just renewed

	stop, stopped chan struct{}
	err           error // the sweeper's; read after stopped
}

func newIndexed(s Store) *indexed {
	x := &indexed{Store: s, stop: make(chan struct{}), stopped: make(chan struct{})}
	go x.run()
	return x
}

// PutUntil puts a value with a deadline.
func (x *indexed) PutUntil(key, value []byte, deadline time.Time) error {
	ms := uint64(deadline.UnixMilli())
	dated := append(binary.BigEndian.AppendUint64(make([]byte, 0, 8+len(value)), ms), value...)
	row := append(indexRow(ms), key...)
	x.renew.RLock()
	defer x.renew.RUnlock()
	return x.Apply([]Op{{Key: key, Value: dated}, {Key: row, Value: nil}})
}

// Put puts a value that stays.
func (x *indexed) Put(key, value []byte) error {
	return x.Store.Put(key, append(make([]byte, 8, 8+len(value)), value...))
}

func (x *indexed) Get(key, buf []byte) ([]byte, error) {
	dated, err := x.Store.Get(key, buf)
	if err != nil {
		return nil, err
	}
	if expired(dated, time.Now()) {
		return nil, ErrNotFound
	}
	return dated[8:], nil
}

// Scan leaves out what has expired.
func (x *indexed) Scan(start []byte, n int, visit func(key, value []byte) bool) error {
	now := time.Now()
	return x.Store.Scan(start, 1<<62, func(key, dated []byte) bool {
		if expired(dated, now) {
			return true
		}
		n--
		return visit(key, dated[8:]) && n > 0
	})
}

func (x *indexed) Close() error {
	close(x.stop)
	<-x.stopped
	return errors.Join(x.err, x.Store.Close())
}

func (x *indexed) run() {
	defer close(x.stopped)
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	from := indexRow(0)
	for x.err == nil {
		select {
		case <-x.stop:
			return
		case <-tick.C:
			now := time.Now()
			x.err = x.sweep(from, now)
			from = indexRow(uint64(now.UnixMilli())) // rows below come no more: deadlines are in the future
		}
	}
}

// sweep deletes what has expired by now.
func (x *indexed) sweep(from []byte, now time.Time) error {
	end := indexRow(uint64(now.UnixMilli()) + 1)
	for {
		var rows [][]byte
		err := x.Store.Scan(from, sweepSlice, func(key, _ []byte) bool {
			if bytes.Compare(key, end) >= 0 {
				return false
			}
			rows = append(rows, bytes.Clone(key))
			return true
		})
		if err != nil || len(rows) == 0 {
			return err
		}
		if err := x.drop(rows, now); err != nil {
			return err
		}
		from = append(rows[len(rows)-1], 0)
		select {
		case <-x.stop:
			return nil
		default:
		}
	}
}

// drop deletes rows of the index, with the keys that have not been renewed since.
func (x *indexed) drop(rows [][]byte, now time.Time) error {
	x.renew.Lock()
	defer x.renew.Unlock()
	var ops []Op
	var buf []byte
	for _, row := range rows {
		ops = append(ops, Op{Key: row, Delete: true})
		key := row[len(indexPrefix)+8:]
		dated, err := x.Store.Get(key, buf)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		if expired(dated, now) {
			ops = append(ops, Op{Key: key, Delete: true})
		}
		buf = dated[:0]
	}
	return x.Apply(ops)
}

func indexRow(ms uint64) []byte {
	return binary.BigEndian.AppendUint64(bytes.Clone(indexPrefix), ms)
}

// expired reports whether a dated value has.
func expired(dated []byte, now time.Time) bool {
	ms := int64(binary.BigEndian.Uint64(dated))
	return ms != 0 && ms <= now.UnixMilli()
}
