// Command jobqueue does jobs in the order in which they are due, with several workers that may die or fail: a job is done once
// or more, is tried again later and later, and is put aside after too many tries.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log"
	"os"
	"sync"
	"time"

	"github.com/ebbdb/ebb"
	"github.com/ebbdb/ebb/codec"
)

// Job is something to be done.
type Job struct {
	Name  string `json:"name"`
	Tries int    `json:"tries"` // how often it was taken
}

// Due is the key of a job: when it is to be done, and an id. Who takes a job moves it to the end of its lease, so that it is
// due again if nobody says that it is done.
type Due = codec.Pair[time.Time, string]

// Lease is a job that a worker has, for a while.
type Lease struct {
	Job
	key Due
}

// Queue is the jobs of a database.
type Queue struct {
	db    *ebb.DB
	jobs  *ebb.Typed[Due, Job]
	dead  *ebb.Typed[string, Job]
	lease time.Duration
	tries int
}

// ErrEmpty says that no job is due.
var ErrEmpty = errors.New("no job is due")

// NewQueue returns a queue whose jobs are leased for a time, and tried so often.
func NewQueue(db *ebb.DB, lease time.Duration, tries int) *Queue {
	due := codec.PairOf(codec.Time(), codec.String())
	return &Queue{
		db:    db,
		jobs:  ebb.NewTyped(db, []byte("jobs/due/"), due, codec.JSON[Job]()),
		dead:  ebb.NewTyped(db, []byte("jobs/dead/"), codec.String(), codec.JSON[Job]()),
		lease: lease,
		tries: tries,
	}
}

// Push adds a job that is due at a time.
func (q *Queue) Push(name string, at time.Time) error {
	return q.jobs.Put(codec.MakePair(at, rand.Text()), Job{Name: name})
}

// Take takes the job that is due for the longest, or returns ErrEmpty.
func (q *Queue) Take() (l Lease, err error) {
	err = q.db.Update(func(tx *ebb.Txn) error {
		now, err := tx.Time()
		if err != nil {
			return err
		}
		jobs := q.jobs.In(tx)
		first, err := jobs.First(jobs.Before(codec.MakePair(now, "")))
		if errors.Is(err, ebb.ErrNotFound) {
			return ErrEmpty
		}
		if err != nil {
			return err
		}
		l = Lease{first.Value, codec.MakePair(now.Add(q.lease), first.Key.Second)}
		l.Tries++
		return errors.Join(jobs.Delete(first.Key), jobs.Put(l.key, l.Job))
	})
	return l, err
}

// Done ends a job. If its lease is over and the job was taken by another, Done returns ebb.ErrConditionFailed.
func (q *Queue) Done(l Lease) error { return q.jobs.Delete(l.key, ebb.IfPresent) }

// Failed gives a job back, to be tried again after a pause that grows, or puts it aside if it was tried often enough.
func (q *Queue) Failed(l Lease, pause time.Duration) error {
	return q.db.Update(func(tx *ebb.Txn) error {
		jobs := q.jobs.In(tx)
		if _, err := jobs.Take(l.key); err != nil { // ebb.ErrNotFound: another has it
			return err
		}
		if l.Tries >= q.tries {
			return q.dead.In(tx).Put(l.key.Second, l.Job)
		}
		now, err := tx.Time()
		if err != nil {
			return err
		}
		return jobs.Put(codec.MakePair(now.Add(pause*time.Duration(l.Tries)), l.key.Second), l.Job)
	})
}

// Work does jobs until ctx is done. Where none is due it pauses. A failed job is tried again after as many pauses as it was
// taken times.
func (q *Queue) Work(ctx context.Context, pause time.Duration, do func(Job) error) error {
	for {
		l, err := q.Take()
		switch {
		case errors.Is(err, ErrEmpty):
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(pause):
			}
			continue
		case err != nil:
			return err
		}
		if do(l.Job) == nil {
			err = q.Done(l)
		} else {
			err = q.Failed(l, pause)
		}
		// A job whose lease was over is another's by now.
		if err != nil && !errors.Is(err, ebb.ErrConditionFailed) && !errors.Is(err, ebb.ErrNotFound) {
			return err
		}
	}
}

// Len returns how many jobs there are, those that are leased among them.
func (q *Queue) Len() (int, error) { return q.jobs.Count(nil) }

// Dead returns the names of the jobs that were put aside.
func (q *Queue) Dead() (names []string, err error) {
	for e, err := range q.dead.Range(nil) {
		if err != nil {
			return nil, err
		}
		names = append(names, e.Value.Name)
	}
	return names, nil
}

func main() {
	dir, err := os.MkdirTemp("", "ebb-jobqueue-")
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
	q := NewQueue(db, time.Minute, 3)
	for i := range 20 {
		if err := q.Push(fmt.Sprintf("mail %d", i), time.Now()); err != nil {
			return err
		}
	}
	if err := q.Push("mail to nobody", time.Now()); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	var workers sync.WaitGroup
	var mu sync.Mutex
	sent := 0
	for range 4 {
		workers.Go(func() {
			err := q.Work(ctx, 10*time.Millisecond, func(j Job) error {
				if j.Name == "mail to nobody" {
					return errors.New("no such address")
				}
				mu.Lock()
				defer mu.Unlock()
				sent++
				return nil
			})
			if !errors.Is(err, context.Canceled) {
				log.Print(err)
			}
		})
	}
	defer workers.Wait()
	defer cancel()
	for {
		left, err := q.Len()
		if err != nil {
			return err
		}
		if left == 0 {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	dead, err := q.Dead()
	if err != nil {
		return err
	}
	mu.Lock()
	defer mu.Unlock()
	fmt.Printf("%d mails were sent, put aside: %q\n", sent, dead)
	return nil
}
