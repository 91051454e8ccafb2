// Command timeseries keeps measurements: all of them for a day, and their averages for a year.
package main

import (
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/ebbdb/ebb"
	"github.com/ebbdb/ebb/codec"
)

// Point is the key of a measurement: what was measured, and when.
type Point = codec.Pair[string, time.Time]

// Mean is an average.
type Mean struct {
	Sum   float64 `json:"sum"`
	Count int     `json:"count"`
}

// Value returns the average.
func (m Mean) Value() float64 { return m.Sum / float64(m.Count) }

// How long measurements are kept, and averages, and over how much time those are.
const (
	keepPoints = 24 * time.Hour
	keepMeans  = 365 * 24 * time.Hour
	meanOver   = 10 * time.Minute
)

// Series are the measurements of a database, by name and time.
type Series struct {
	db     *ebb.DB
	keys   codec.PairKey[string, time.Time]
	points *ebb.Typed[Point, float64]
	means  *ebb.Typed[Point, Mean]
}

// NewSeries returns the measurements of a database.
func NewSeries(db *ebb.DB) *Series {
	keys := codec.PairOf(codec.String(), codec.Time())
	return &Series{
		db:     db,
		keys:   keys,
		points: ebb.NewTyped(db, []byte("points/"), keys, codec.Float64()),
		means:  ebb.NewTyped(db, []byte("means/"), keys, codec.JSON[Mean]()),
	}
}

// Add adds a measurement, and counts it in the average of its time. A power cut may take the newest.
func (s *Series) Add(name string, at time.Time, value float64) error {
	return s.db.Update(func(tx *ebb.Txn) error {
		means, during := s.means.In(tx), codec.MakePair(name, at.Truncate(meanOver))
		m, err := means.Get(during)
		if err != nil && !errors.Is(err, ebb.ErrNotFound) {
			return err
		}
		m.Sum += value
		m.Count++
		return errors.Join(
			means.Put(during, m, ebb.ExpireAt(during.Second.Add(keepMeans))),
			s.points.In(tx).Put(codec.MakePair(name, at), value, ebb.ExpireAt(at.Add(keepPoints))),
		)
	}, ebb.NoSync)
}

// Last returns the newest measurement of a name.
func (s *Series) Last(name string) (at time.Time, value float64, err error) {
	e, err := s.points.Last(s.points.Within(s.keys.First(name)))
	return e.Key.Second, e.Value, err
}

// Between calls see with the measurements of a time, in order, up to but without its end.
func (s *Series) Between(name string, from, to time.Time, see func(at time.Time, value float64)) error {
	for e, err := range s.points.Range(s.points.Between(codec.MakePair(name, from), codec.MakePair(name, to))) {
		if err != nil {
			return err
		}
		see(e.Key.Second, e.Value)
	}
	return nil
}

// Means calls see with the averages of a time, in order, up to but without its end.
func (s *Series) Means(name string, from, to time.Time, see func(from time.Time, mean float64)) error {
	for e, err := range s.means.Range(s.means.Between(codec.MakePair(name, from), codec.MakePair(name, to))) {
		if err != nil {
			return err
		}
		see(e.Key.Second, e.Value.Value())
	}
	return nil
}

// Drop deletes everything that was measured under a name.
func (s *Series) Drop(name string) error {
	return errors.Join(
		s.points.DeleteRange(s.points.Within(s.keys.First(name))),
		s.means.DeleteRange(s.means.Within(s.keys.First(name))),
	)
}

func main() {
	dir, err := os.MkdirTemp("", "ebb-timeseries-")
	if err != nil {
		log.Fatal(err)
	}
	if err := errors.Join(run(dir), os.RemoveAll(dir)); err != nil {
		log.Fatal(err)
	}
}

func run(dir string) error {
	db, err := ebb.Open(dir, nil)
	if err != nil {
		return err
	}
	defer db.Close()
	s := NewSeries(db)
	now := time.Now().UTC().Truncate(time.Minute)
	for ago := 60; ago > 0; ago-- { // an hour, a measurement a minute
		at := now.Add(-time.Duration(ago) * time.Minute)
		if err := s.Add("kitchen", at, 20+float64(at.Minute()%10)/10); err != nil {
			return err
		}
	}
	at, value, err := s.Last("kitchen")
	if err != nil {
		return err
	}
	fmt.Printf("%s it was %.1f degrees\n", at.Format("15:04"), value)
	fmt.Println("and in the hour before, on average:")
	return s.Means("kitchen", now.Add(-time.Hour), now, func(from time.Time, mean float64) {
		fmt.Printf("  from %s on %.2f\n", from.Format("15:04"), mean)
	})
}
