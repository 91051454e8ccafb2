package ebb

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/ebbdb/ebb/compaction"
	"github.com/ebbdb/ebb/internal/copies"
	"github.com/ebbdb/ebb/internal/lsm"
	"github.com/ebbdb/ebb/internal/snapfile"
	"github.com/ebbdb/ebb/internal/vfs"
)

// IngestOptions configure an Ingest. The zero value works.
type IngestOptions struct {
	// Progress, if not nil, is called now and then by the goroutine that called Ingest.
	Progress func(Progress)
}

// IngestInfo describes what an Ingest has done.
type IngestInfo struct {
	Version uint64 // of every entry of the Ingest; older and newer versions were written before and after it
	Entries uint64 // entries that were taken over, whether new or in place of others
	Bytes   int64  // of the tables that were made
}

// ingestAhead is how far the sequence of an Ingest is ahead of the newest one, so that writes can go on while the tables are
// built: a million a second for most of a day.
const ingestAhead = 1 << 36

// Ingest puts the entries of a full snapshot file into the database, all at once: no read and no crash sees a part of them.
// They replace the present entries of the same keys, and keep their deadlines. Expired entries are skipped. To the database
// all of them are one write, with one version. States of writers are not taken over. o may be nil.
//
// The file becomes tables while reads and writes go on, in little memory, whatever its size. Only at the end do writes wait
// for a moment. Damaged, truncated or altered files are errors that match ErrCorrupt, and change nothing. One Ingest runs
// at a time.
//
// After ErrFailed the next Open finds out whether the Ingest has happened; after any other error it has not.
//
// Ingest returns when ctx is done and when the database is closed, also while r blocks: then a read of r that is under way
// is left to end by itself.
//
// The entries do not pass through the log. Whoever reads the log, for an increment or to watch, finds their sequence
// missing.
func (db *DB) Ingest(ctx context.Context, r io.Reader, o *IngestOptions) (IngestInfo, error) {
	// 1. Verify the file and build its tables, with a sequence that is ahead of all others. A crash leaves tables that no
	//    manifest names; Open removes them.
	// 2. Flush, so that little is left to do while writes wait.
	// 3. Let writes wait, and flush the writes since step 2.
	// 4. Begin a log segment whose sequences are after that of the tables. A crash leaves a gap in the sequences and no more.
	// 5. Commit the manifest with the tables, and with all earlier segments obsolete, as everything in them is flushed. A crash
	//    leaves the old manifest or the new one.
	// 6. Swap the view, make the sequence visible, and let writes go on.
	// 7. Delete the obsolete segments.
	if o == nil {
		o = &IngestOptions{}
	}
	info, err := db.ingest(ctx, r, o)
	if err != nil && db.health.closed.Load() {
		return IngestInfo{}, ErrClosed // Close cancels ctx, whose error does not say so
	}
	if err != nil {
		return IngestInfo{}, fmt.Errorf("ingest: %w", noSpace(err))
	}
	return info, nil
}

func (db *DB) ingest(ctx context.Context, r io.Reader, o *IngestOptions) (IngestInfo, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer context.AfterFunc(db.health.work, cancel)()
	defer cancel()
	file, err := copies.Open(copies.NewPatient(ctx, r), 0)
	if err != nil {
		return IngestInfo{}, err
	}
	if h := file.Header(); !h.Full() {
		return IngestInfo{}, fmt.Errorf("%w: an increment since %d, but only a full one can be ingested", ErrSnapshotOrder, h.Since)
	}
	db.ingesting.Lock()
	defer db.ingesting.Unlock()
	if db.health.closed.Load() {
		return IngestInfo{}, ErrClosed
	}
	if err := db.health.failure(); err != nil {
		return IngestInfo{}, err
	}
	seq := db.log.NextSeq() + ingestAhead
	built, err := db.buildIngest(ctx, file, seq, o.Progress)
	if err != nil || len(built.Tables) == 0 {
		return IngestInfo{}, err
	}
	if err := db.Flush(); err != nil {
		return IngestInfo{}, errors.Join(err, compaction.Discard(db.live.Output(0), built.Tables))
	}
	next, err := db.commitIngest(built.Tables, seq)
	if err != nil {
		return IngestInfo{}, err
	}
	db.compacter.request()
	db.flusher.trim.before(next)
	return IngestInfo{Version: seq, Entries: built.Entries, Bytes: built.Bytes}, nil
}

// buildIngest takes step 1 of Ingest. The tables grow, so that there are few: all of them may have to go to level 0, where a
// look-up may have to ask each table.
func (db *DB) buildIngest(ctx context.Context, file *snapfile.Reader, seq uint64,
	report func(Progress)) (compaction.Result, error) {
	now := db.clock.Now()
	p := copies.NewProgress(reportTo(report))
	source := copies.NewSource(file, p)
	source.Now, source.Seq = now, seq
	out := db.live.Output(compaction.NumLevels - 1)
	out.Growing = true
	if b := db.bound; b != nil {
		out.FS = vfs.Metered(out.FS, func(n int64) error {
			if b.over(db.live.View())+n <= 0 {
				return nil
			}
			db.stall.update()
			return db.stall.throttle(claimRoom)
		})
	}
	built, err := compaction.Build(ctx, compaction.Input{
		Source:  source,
		Older:   func(_, _ []byte) bool { return true },
		Now:     now,
		BaseSeq: seq,
	}, out)
	if err == nil {
		p.End(file)
	}
	return built, err
}

// commitIngest takes steps 3 to 6 of Ingest, and returns the log segment before which all are obsolete. If it fails the
// tables are removed, unless the manifest may name them.
//
// The tables go below level 0 only if no compaction runs: the outputs of a running one are not known yet.
func (db *DB) commitIngest(built []*compaction.Table, seq uint64) (segment uint32, err error) {
	t, end, err := db.beginIngest(built)
	if err != nil {
		return 0, errors.Join(err, compaction.Discard(db.live.Output(0), built))
	}
	defer end()
	deep := db.compacter.compacting.TryLock() // not earlier: beginIngest may wait for a compaction
	if deep {
		defer db.compacter.compacting.Unlock()
	}
	m, err := db.skip(t, seq)
	if err != nil {
		return 0, errors.Join(err, compaction.Discard(db.live.Output(0), built))
	}
	err = db.live.Commit(&lsm.Edit{Add: built, Deep: deep, FirstSegment: m.Segment, LastSeq: seq, Active: m})
	if err != nil {
		return 0, err
	}
	t.resume(seq, m)
	return m.Segment, nil
}

// beginIngest begins the turn in which the tables come into the view. end ends the turn.
func (db *DB) beginIngest(built []*compaction.Table) (t turn, end func(), err error) {
	if db.reporter != nil {
		return db.reporter.beginIngest(built)
	}
	t = db.pipeline.lock()
	return t, t.end, nil
}

// skip flushes everything and makes the log's sequences go on after seq. It returns an empty memtable that is to replace the
// active one.
func (db *DB) skip(t turn, seq uint64) (*lsm.Mem, error) {
	if err := db.health.refusal(); err != nil {
		return nil, err
	}
	if !t.mem().Empty() {
		if err := t.freeze(); err != nil {
			return nil, err
		}
	}
	if err := db.flusher.flushFrozen(); err != nil {
		return nil, err
	}
	if last := t.lastSeq(); last >= seq {
		return nil, fmt.Errorf("%d writes since the tables were begun are too many", last-(seq-ingestAhead))
	}
	return t.skipTo(seq)
}
