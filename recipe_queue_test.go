package ebb_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/ebbdb/ebb"
)

// jobs is a queue of jobs, each done by one of many workers. Who takes a job has it for a while, and when that is over
// without done, the next one gets it: so a job is done once or more, and not by two who both hold it.
type jobs struct {
	db    *ebb.DB
	lease time.Duration
	tries int // after so many a job is put aside, under jobs/dead/
}

type job struct {
	id, data string
	try      int
	key      []byte // under which it is leased
}

var (
	errNoJob = errors.New("no job")
	errTaken = errors.New("another worker was faster")
)

// push adds a job. Jobs are begun in the order of their numbers.
func (q *jobs) push(data string) error {
	n, err := q.db.Add([]byte("jobs/last"), 1)
	if err != nil {
		return err
	}
	return q.db.Put(fmt.Appendf(nil, "jobs/ready/%019d", n), fmt.Appendf(nil, "0 %s", data))
}

// take takes the first job whose lease is over, or that is new. If there is none it is errNoJob. What was taken before
// costs it nothing, however much it is.
func (q *jobs) take() (*job, error) {
	var now time.Time
	err := q.db.View(func(tx *ebb.Txn) (err error) {
		now, err = tx.Time()
		return err
	})
	if err != nil {
		return nil, err
	}
	over := fmt.Appendf(nil, "jobs/leased/%015d/", now.UnixMilli())
	for _, o := range []ebb.IterOptions{{Prefix: []byte("jobs/leased/"), End: over}, {Prefix: []byte("jobs/ready/")}} {
		for e, err := range q.db.Range(&o) {
			if err != nil {
				return nil, err
			}
			if j, err := q.claim(e.Key, e.Version); err != errTaken {
				return j, err
			}
		}
	}
	return nil, errNoJob
}

// claim moves a job to where it is leased, if it is still what was seen.
func (q *jobs) claim(key []byte, version uint64) (j *job, err error) {
	err = q.db.Update(func(tx *ebb.Txn) error {
		e, err := tx.GetEntry(key)
		if err == ebb.ErrNotFound || err == nil && e.Version != version {
			return errTaken
		} else if err != nil {
			return err
		}
		now, err := tx.Time()
		if err != nil {
			return err
		}
		j = &job{id: string(key[len(key)-19:])}
		if _, err := fmt.Sscanf(string(e.Value), "%d %s", &j.try, &j.data); err != nil {
			return err
		}
		if j.try++; j.try > q.tries {
			j.key = []byte("jobs/dead/" + j.id)
		} else {
			j.key = fmt.Appendf(nil, "jobs/leased/%015d/%s", now.Add(q.lease).UnixMilli(), j.id)
		}
		return errors.Join(tx.Delete(key), tx.Put(j.key, fmt.Appendf(nil, "%d %s", j.try, j.data)))
	})
	if err == nil && j.try > q.tries {
		err = errTaken // by nobody any more
	}
	return j, err
}

// done ends a job. If its lease was over before and somebody else has it, that is ebb.ErrConditionFailed.
func (q *jobs) done(j *job) error { return q.db.Delete(j.key, ebb.IfPresent) }

// next is take that waits: for a change of the jobs, or the end of the first lease.
func (q *jobs) next(ctx context.Context) (*job, error) {
	for {
		wait, cancel := context.WithCancel(ctx)
		changes := q.db.Watch(wait, &ebb.WatchOptions{Prefix: []byte("jobs/")}) // from here on
		j, err := q.take()
		if err == errNoJob {
			timer := time.AfterFunc(q.untilOver(), cancel)
			for c, werr := range changes {
				if werr == nil && c.Kind != ebb.ChangePut {
					continue
				}
				if werr != nil && wait.Err() == nil {
					err = werr
				}
				break
			}
			timer.Stop()
		}
		cancel()
		if err != errNoJob {
			return j, err
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
}

// untilOver returns how long the first lease lasts, or how long one that begins now does.
func (q *jobs) untilOver() time.Duration {
	for e, err := range q.db.Range(&ebb.IterOptions{Prefix: []byte("jobs/leased/"), Limit: 1, KeysOnly: true}) {
		var ms int64
		if _, serr := fmt.Sscanf(string(e.Key), "jobs/leased/%d/", &ms); err == nil && serr == nil {
			return max(time.Until(time.UnixMilli(ms)), time.Millisecond)
		}
	}
	return q.lease
}

// A queue of jobs whose workers may die.
func Example_jobQueue() {
	clock := newTestClock(noon)
	db := openMemory(&ebb.Options{Clock: clock.Now})
	defer db.Close()
	q := jobs{db: db, lease: time.Minute, tries: 2}
	must(q.push("mail"))
	must(q.push("bill"))

	a, err := q.take()
	must(err)
	b, err := q.take()
	must(err)
	fmt.Println("a has", a.data, "and b", b.data)
	fmt.Println("b is done:", q.done(b))
	_, err = q.take()
	fmt.Println("c:", err)
	clock.Advance(2 * time.Minute) // a has died
	c, err := q.take()
	must(err)
	fmt.Println("c has", c.data, "- try", c.try)
	fmt.Println("a is done:", q.done(a))
	clock.Advance(2 * time.Minute) // and c, of the same job
	_, err = q.take()
	fmt.Println("d:", err)
	dead, err := db.Has([]byte("jobs/dead/" + a.id))
	fmt.Println("put aside:", dead, err)
	// Output:
	// a has mail and b bill
	// b is done: <nil>
	// c: no job
	// c has mail - try 2
	// a is done: ebb: condition failed: IfPresent, but "jobs/leased/001893499260000/0000000000000000001" is absent
	// d: no job
	// put aside: true <nil>
}

// Of 16 workers each takes what it can get, and dies with every tenth job: all are done, and none is done twice.
func TestJobQueue(t *testing.T) {
	const workers, count = 16, 500
	clock := newTestClock(noon)
	db, err := ebb.Open(t.TempDir(), &ebb.Options{Sync: ebb.SyncNever, Clock: clock.Now})
	must(err)
	defer db.Close()
	q := jobs{db: db, lease: time.Hour, tries: 2}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var mu sync.Mutex
	taken, finished, died := map[string]int{}, map[string]int{}, 0
	work := func() error {
		j, err := q.next(ctx)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		if taken[j.data]++; j.try == 1 && j.id[len(j.id)-1] == '0' {
			died++
		} else if finished[j.data]++; q.done(j) != nil {
			return fmt.Errorf("the lease of %s is over", j.data)
		}
		switch len(finished) {
		case count - died: // the leases of those who died end
			clock.Advance(2 * time.Hour)
			return q.push("wake")
		case count + 1:
			cancel()
		}
		return nil
	}
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for {
				switch err := work(); {
				case err == context.Canceled:
					return
				case err != nil && !errors.Is(err, ebb.ErrConflict):
					t.Error(err)
					cancel()
					return
				}
			}
		})
	}
	for i := range count {
		must(q.push(fmt.Sprintf("job%d", i)))
	}
	all.Wait()
	again := 0
	for data, n := range finished {
		if again += taken[data] - 1; n != 1 {
			t.Errorf("%s was done %d times", data, n)
		}
	}
	if len(finished) != count+1 || died != count/10 || again != died {
		t.Errorf("of %d jobs %d were done, %d lost, %d taken again", count+1, len(finished), died, again)
	}
}
