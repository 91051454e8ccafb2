package cluster

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/ebbdb/ebb"
	"github.com/ebbdb/ebb/internal/copies"
	"github.com/ebbdb/ebb/internal/host"
)

// Ingest puts the entries of a full snapshot file into the cluster, all at once, as one batch: they replace the present entries
// of the same keys, and keep their deadlines. What has expired is skipped, and so are the keys of a cluster's own, which a
// backup of one has. The file is read, and verified, whatever it is of; a damaged one is ErrCorrupt, and changes nothing.
//
// The entries are one call, which each node keeps in its log: more than 64 MiB is ErrTooLarge, and changes nothing. So much is put
// in by batches. Version is that of the last entry, the others have those before it, and Bytes is what the call has.
func (db *DB) Ingest(ctx context.Context, r io.Reader) (ebb.IngestInfo, error) {
	if err := db.refusal(); err != nil {
		return ebb.IngestInfo{}, err
	}
	entry, n, err := ingestEntry(ctx, r, db.machine.time.Load())
	if err != nil {
		return ebb.IngestInfo{}, fmt.Errorf("ingest: %w", err)
	}
	if n == 0 {
		return ebb.IngestInfo{}, nil
	}
	info := ebb.IngestInfo{Entries: n, Bytes: int64(len(entry))}
	result, err := db.client.write(ctx, entry)
	if err != nil {
		return ebb.IngestInfo{}, err
	}
	return info, result.tell(&host.Options{VersionTo: &info.Version})
}

// ingestEntry reads a snapshot file, and returns the entry that puts what it has and has not expired by now.
func ingestEntry(ctx context.Context, r io.Reader, now int64) (entry []byte, n uint64, err error) {
	file, err := copies.Open(copies.NewPatient(ctx, r), 0)
	if err != nil {
		return nil, 0, err
	}
	if h := file.Header(); !h.Full() {
		return nil, 0, fmt.Errorf("%w: an increment since %d, but only a full one can be ingested", ebb.ErrSnapshotOrder, h.Since)
	}
	source := copies.NewSource(file, copies.NewProgress(nil))
	source.Now = now
	var ops []byte
	for ok := source.First(); ok; ok = source.Next() {
		e := source.Entry()
		if isReserved(e.Key) {
			continue
		}
		o := op{kind: opPut, key: e.Key, value: e.Value}
		if e.Deadline != 0 {
			o.life, o.lifeValue = host.At, e.Deadline
		}
		if len(ops)+opSize(&o) > maxEntrySize-headerSize-2*binary.MaxVarintLen64 {
			return nil, 0, fmt.Errorf("%w: more than %d bytes of entries", ErrTooLarge, maxEntrySize)
		}
		ops = appendOp(ops, &o)
		n++
	}
	if err := source.Err(); err != nil {
		return nil, 0, err
	}
	entry = append(appendHeader(make([]byte, 0, headerSize+16+len(ops)), &header{kind: kindWrite}), flagBatch)
	entry = binary.AppendUvarint(appendReads(entry, nil, nil), n)
	return append(entry, ops...), n, nil
}
