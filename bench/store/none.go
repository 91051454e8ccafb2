package store

import "time"

var noneInfo = Info{
	Name:     "none",
	Settings: "does nothing and answers nothing: what is left is the cost of the benchmark itself",
	TTL:      "none",
	Volatile: true,
	open:     func(Options) (Store, error) { return noneStore{}, nil },
}

// noneStore hands back the buffer it is given as the value, so that the benchmark does its work on it.
type noneStore struct{}

func (noneStore) Get(_, buf []byte) ([]byte, error)                    { return buf[:cap(buf)], nil }
func (noneStore) Put([]byte, []byte) error                             { return nil }
func (noneStore) PutUntil([]byte, []byte, time.Time) error             { return nil }
func (noneStore) Delete([]byte) error                                  { return nil }
func (noneStore) Apply([]Op) error                                     { return nil }
func (noneStore) Scan([]byte, int, func(key, value []byte) bool) error { return nil }
func (noneStore) Close() error                                         { return nil }
