package cluster

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/ebbdb/ebb"
	"github.com/ebbdb/ebb/internal/host"
)

// Put gives a key a value, as ebb.DB.Put does, and takes the same options; Sync and NoSync change nothing, here and in every
// other write: what was acknowledged is on the disks of a majority. A TTL counts from the time of the entry in the log.
//
// Every write can end with ErrUndetermined, if ctx, or Config.CallTimeout, ends it before the outcome is known, with
// ErrNoLeader, if nothing was done, or with *NotLeaderError.
func (db *DB) Put(ctx context.Context, key, value []byte, opts ...ebb.WriteOption) error {
	o := op{kind: opPut, key: key, value: value}
	_, err := db.single(ctx, &o, host.Put, opts)
	return err
}

// Delete makes a key absent. It takes the options of ebb.DB.Delete.
func (db *DB) Delete(ctx context.Context, key []byte, opts ...ebb.WriteOption) error {
	_, err := db.single(ctx, &op{kind: opDelete, key: key}, host.Delete, opts)
	return err
}

// DeleteRange makes the keys from start up to but not including end absent; a nil end is no bound. It takes VersionTo.
func (db *DB) DeleteRange(ctx context.Context, start, end []byte, opts ...ebb.WriteOption) error {
	o, empty, err := rangeOp(start, end)
	if err != nil || empty {
		return err
	}
	_, err = db.single(ctx, &o, host.DeleteRange, opts)
	return err
}

// DeletePrefix is DeleteRange from prefix to ebb.PrefixEnd(prefix).
func (db *DB) DeletePrefix(ctx context.Context, prefix []byte, opts ...ebb.WriteOption) error {
	return db.DeleteRange(ctx, prefix, ebb.PrefixEnd(prefix), opts...)
}

// Expire gives a present key a new deadline, d from the time of the entry in the log. It takes the options of ebb.DB.Expire.
func (db *DB) Expire(ctx context.Context, key []byte, d time.Duration, opts ...ebb.WriteOption) error {
	o := op{kind: opExpire, key: key, life: host.TTL, lifeValue: int64(d)}
	_, err := db.single(ctx, &o, host.Expire, opts)
	return err
}

// Persist takes the deadline of a present key away. It takes the options of ebb.DB.Persist.
func (db *DB) Persist(ctx context.Context, key []byte, opts ...ebb.WriteOption) error {
	_, err := db.single(ctx, &op{kind: opExpire, key: key}, host.Persist, opts)
	return err
}

// GetTouch returns the value of a key and gives the key a new deadline, in one step. It takes the options of
// ebb.DB.GetTouch.
func (db *DB) GetTouch(ctx context.Context, key []byte, d time.Duration, opts ...ebb.WriteOption) ([]byte, error) {
	o := op{kind: opGetTouch, key: key, life: host.TTL, lifeValue: int64(d)}
	r, err := db.single(ctx, &o, host.GetTouch, opts)
	return r.value, err
}

// Take deletes a key and returns the value that it had: of several who take it, on whatever nodes, one gets it. It takes the
// options of ebb.DB.Take.
func (db *DB) Take(ctx context.Context, key []byte, opts ...ebb.WriteOption) ([]byte, error) {
	r, err := db.single(ctx, &op{kind: opTake, key: key}, host.Take, opts)
	return r.value, err
}

// Add adds delta to a counter and returns the sum. It takes the options of ebb.DB.Add.
func (db *DB) Add(ctx context.Context, key []byte, delta int64, opts ...ebb.WriteOption) (int64, error) {
	r, err := db.single(ctx, &op{kind: opAdd, key: key, delta: delta}, host.Add, opts)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(string(r.value), 10, 64)
}

// CompareAndSwap replaces the value of a key by new if the value is old, and reports whether it did. It takes the options of
// ebb.DB.CompareAndSwap.
func (db *DB) CompareAndSwap(ctx context.Context, key, old, new []byte, opts ...ebb.WriteOption) (swapped bool, err error) {
	if old == nil {
		old = []byte{}
	}
	r, err := db.single(ctx, &op{kind: opSwap, key: key, value: new, old: old}, host.CompareAndSwap, opts)
	return r.found, err
}

// Apply makes the operations of a batch, all at once or not at all, as ebb.DB.Apply does. It takes VersionTo. A writer, as
// of ebb.Batch.SetWriter, is not needed, and heeded by nobody: the cluster makes every call once.
func (db *DB) Apply(ctx context.Context, b *ebb.Batch, opts ...ebb.WriteOption) error {
	given, err := writeOptions(host.Apply, opts)
	if err != nil {
		return err
	}
	if b.Len() == 0 {
		return db.refusal()
	}
	if b.Size() > maxEntrySize {
		return fmt.Errorf("%w: a batch of %d bytes, the limit is %d", ErrTooLarge, b.Size(), maxEntrySize)
	}
	entry := appendHeader(make([]byte, 0, headerSize+32+int(b.Size())), &header{kind: kindWrite})
	entry = append(entry, flagBatch)
	entry = binary.AppendUvarint(appendReads(entry, nil, nil), uint64(b.Len()))
	for o := range b.All() {
		one, err := batchOp(&o)
		if err != nil {
			return err
		}
		entry = appendOp(entry, &one)
	}
	r, err := db.client.write(ctx, entry)
	if err != nil {
		return err
	}
	if r.code == codeCondition {
		i := 0
		for o := range b.All() {
			if i == r.at {
				return &ebb.ConditionError{Key: append([]byte(nil), o.Key...), Condition: o.Condition, Version: r.version}
			}
			i++
		}
	}
	return r.tell(&given)
}

// batchOp returns an operation of a batch as an entry has it.
func batchOp(o *ebb.BatchOp) (op, error) {
	switch o.Kind {
	case ebb.BatchDeleteRange:
		one, _, err := rangeOp(o.Key, o.End) // a batch has no empty ones
		return one, err
	case ebb.BatchPut, ebb.BatchDelete, ebb.BatchExpire:
	default:
		return op{}, fmt.Errorf("cluster: an operation of a batch that is unknown: %v", o.Kind)
	}
	one := op{key: o.Key, value: o.Value}
	one.kind = map[ebb.BatchOpKind]opKind{
		ebb.BatchPut: opPut, ebb.BatchDelete: opDelete, ebb.BatchExpire: opBatchExpire,
	}[o.Kind]
	if isReserved(o.Key) {
		return op{}, fmt.Errorf("%w: %x", ErrReservedKey, o.Key)
	}
	switch {
	case o.KeepTTL:
		one.life = host.KeepTTL
	case o.TTL != 0:
		one.life, one.lifeValue = host.TTL, int64(o.TTL)
	case o.Deadline != 0:
		one.life, one.lifeValue = host.At, o.Deadline
	}
	if o.Condition != (ebb.WriteOption{}) {
		c, err := writeOptions(host.Condition, []ebb.WriteOption{o.Condition})
		if err != nil {
			return op{}, err
		}
		one.cond, one.condValue = c.Cond, c.CondValue
	}
	return one, nil
}

// rangeOp returns the delete of a range. It has an end: the keys of the cluster's own are not in it.
func rangeOp(start, end []byte) (o op, empty bool, err error) {
	for _, b := range [][]byte{start, end} {
		if len(b) > ebb.MaxKeySize {
			return op{}, false, fmt.Errorf("%w: a bound of %d bytes, the limit is %d", ebb.ErrKeyTooLarge, len(b), ebb.MaxKeySize)
		}
	}
	if isReserved(start) {
		return op{}, false, fmt.Errorf("%w: a range from %x", ErrReservedKey, start)
	}
	if end == nil || isReserved(end) {
		end = reserved
	}
	o = op{kind: opDeleteRange, key: start, value: end}
	return o, string(start) >= string(end), nil
}

// writeOptions checks the options of a call, and takes them apart.
func writeOptions(call host.Call, opts []ebb.WriteOption) (host.Options, error) {
	if len(opts) == 0 {
		return host.Options{}, nil
	}
	return host.Root.Options(call, opts)
}

// single makes a call of one operation.
func (db *DB) single(ctx context.Context, o *op, call host.Call, opts []ebb.WriteOption) (result, error) {
	given, err := writeOptions(call, opts)
	if err != nil {
		return result{}, err
	}
	if o.kind != opDeleteRange {
		if err := checkEntry(o.key, o.value); err != nil {
			return result{}, err
		}
	}
	if given.Life != host.NoLife {
		o.life, o.lifeValue = given.Life, given.LifeValue
	}
	o.cond, o.condValue, o.found = given.Cond, given.CondValue, given.FoundTo != nil
	entry := appendHeader(make([]byte, 0, headerSize+8+opSize(o)), &header{kind: kindWrite})
	entry = append(entry, 0, 0, 0, 1) // no flags, nothing read, one operation
	r, err := db.client.write(ctx, appendOp(entry, o))
	if err != nil {
		return result{}, err
	}
	if r.code == codeCondition {
		return r, conditionError(o.key, opts, r.version)
	}
	return r, r.tell(&given)
}

// conditionError says which of the options of a call has refused it.
func conditionError(key []byte, opts []ebb.WriteOption, version uint64) error {
	var condition ebb.WriteOption
	for _, w := range opts {
		if c, err := writeOptions(host.Condition, []ebb.WriteOption{w}); err == nil && c.Cond != host.NoCond {
			condition = w
		}
	}
	return &ebb.ConditionError{Key: append([]byte(nil), key...), Condition: condition, Version: version}
}

// checkEntry refuses a key and a value that no database takes, or that are too large for a call.
func checkEntry(key, value []byte) error {
	switch {
	case len(key) == 0:
		return ebb.ErrKeyEmpty
	case len(key) > ebb.MaxKeySize:
		return fmt.Errorf("%w: %d bytes, the limit is %d", ebb.ErrKeyTooLarge, len(key), ebb.MaxKeySize)
	case len(value) > maxEntrySize:
		return fmt.Errorf("%w: %d bytes, the limit is %d", ebb.ErrValueTooLarge, len(value), maxEntrySize)
	case isReserved(key):
		return fmt.Errorf("%w: %x", ErrReservedKey, key)
	}
	return nil
}

// tell stores what the options ask for, or returns the error of the result. A condition that has refused it is not told here.
func (r *result) tell(given *host.Options) error {
	switch r.code {
	case codeDone:
	case codeNotFound:
		return ebb.ErrNotFound
	case codeNotCounter:
		return ebb.ErrNotCounter
	case codeOverflow:
		return ebb.ErrOverflow
	case codeTooLarge:
		return ebb.ErrBatchTooLarge
	case codeConflict:
		return ebb.ErrConflict
	default:
		return errors.New("cluster: an answer that is unknown")
	}
	if given.VersionTo != nil {
		*given.VersionTo = r.version
	}
	if given.FoundTo != nil {
		*given.FoundTo = r.found
	}
	if given.DeadlineTo != nil {
		*given.DeadlineTo = r.deadline
	}
	return nil
}
