package resp

import (
	"errors"
	"time"

	"github.com/ebbdb/ebb"
)

const (
	// maxRun and maxRunBytes bound the batch that a run of SETs becomes: other writes wait while it is written.
	maxRun      = 128
	maxRunBytes = 256 << 10
)

// setRun makes a run of SETs without options, from command i of n on, in one batch: a pipeline of them costs the log one record.
// It returns how many it has run; 0 if they are to be run one by one. last is the last command of the pipeline that may write.
func (c *client) setRun(i, n, last int) int {
	if c.multi != nil || !c.authed || c.muted != replyOn || c.subs.len() > 0 || c.srv.settings.notify() != 0 {
		return 0
	}
	end, size := i, 0
	for end < min(n, i+maxRun) && size <= maxRunBytes {
		args := c.rd.command(end)
		if len(args) != 3 || !equalFold(args[0], "set") || len(args[1]) == 0 || len(args[1]) > ebb.MaxKeySize {
			break
		}
		size += len(args[1]) + len(args[2])
		end++
	}
	run := end - i
	if run < 2 || size > maxRunBytes+c.srv.opts.MaxRequest {
		return 0
	}
	for j := i; j < end; j++ {
		args := c.rd.command(j)
		if err := c.batch.Put(args[1], args[2]); err != nil {
			c.batch.Reset()
			return 0
		}
	}
	c.lastWrite = end > last
	err := c.srv.store.Apply(c.srv.ctx, &c.batch, c.writeOptions()...)
	if c.batch.Reset(); size > maxIdleBuffer {
		c.batch = ebb.Batch{} // an idle connection keeps no more than it does of requests
	}
	if errors.Is(err, ebb.ErrNoSpace) {
		return 0 // a bounded database may have room for each, and not for all at once
	}
	c.wrote(err)
	c.ranSets(i, run, err)
	return run
}

// ranSets replies to a run of SETs and counts them.
func (c *client) ranSets(i, run int, err error) {
	cmd := c.srv.table.byName["set"]
	c.about.last.Store(cmd)
	now := time.Now()
	took := now.Sub(c.began) / time.Duration(run)
	c.began = now
	for j := range run {
		if err != nil {
			c.storeError(err)
		} else {
			c.out.ok()
		}
		c.srv.counts.ran(cmd, took, err != nil)
		if limit := c.srv.settings.slowerThan(); limit >= 0 && took >= limit {
			c.srv.slow.add(c, c.rd.command(i+j), took)
		}
	}
}
