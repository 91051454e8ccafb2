package store

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"runtime"
	"sync"
)

const (
	rawSize  = 256 << 20 // of the file; appending goes on from its beginning, over blocks that are there already
	rawChunk = 4 << 10   // of zeros in one write: the kernel counts what is written in units as large as those that made the file
)

var rawInfo = Info{
	Name: "raw",
	Settings: "the bare group commit: records appended to a file that was filled with zeros before, one pwrite and one fdatasync " +
		"for all writers that wait. It keeps nothing that could be read; load only. It is what the disk alone gives",
	TTL:       "none",
	WriteOnly: true,
	Volatile:  true,
	open:      openRaw,
}

var errWriteOnly = errors.New("raw: cannot be read")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// rawStore appends. The writer that finds nobody writing is the leader: it takes what has gathered, writes and syncs it, and
// lets those whose records it were go.
type rawStore struct {
	file *os.File
	sync bool

	mu      sync.Mutex // guards what follows
	done    sync.Cond
	leading bool
	pending []byte
	spare   []byte
	offset  int64
	begun   uint64 // groups that have been taken to be written
	synced  uint64 // groups that are on the disk
	err     error  // the first failure, which is everybody's from then on
}

func openRaw(o Options) (Store, error) {
	f, err := os.Create(filepath.Join(o.Dir, "raw.log"))
	if err != nil {
		return nil, err
	}
	zeros := make([]byte, rawChunk)
	for range rawSize / rawChunk {
		if _, err := f.Write(zeros); err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
	if err := f.Sync(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	s := &rawStore{file: f, sync: o.Commit}
	s.done.L = &s.mu
	return s, nil
}

func (s *rawStore) Put(key, value []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.appendLocked(key, value)
	return s.commitLocked()
}

func (s *rawStore) Apply(ops []Op) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, op := range ops {
		s.appendLocked(op.Key, op.Value)
	}
	return s.commitLocked()
}

func (s *rawStore) appendLocked(key, value []byte) {
	start := len(s.pending)
	s.pending = binary.AppendUvarint(s.pending, uint64(len(key)))
	s.pending = binary.AppendUvarint(s.pending, uint64(len(value)))
	s.pending = append(append(s.pending, key...), value...)
	s.pending = binary.LittleEndian.AppendUint32(s.pending, crc32.Checksum(s.pending[start:], castagnoli))
}

// commitLocked returns when the group that is gathering now is written.
func (s *rawStore) commitLocked() error {
	group := s.begun + 1
	for s.synced < group && s.err == nil {
		if s.leading {
			s.done.Wait()
			continue
		}
		s.leadLocked()
	}
	return s.err
}

func (s *rawStore) leadLocked() {
	s.leading = true
	s.mu.Unlock()
	runtime.Gosched() // those whom the last group has let go come along
	s.mu.Lock()
	s.begun++
	buf, offset := s.pending, s.offset
	s.pending = s.spare[:0]
	if offset+int64(len(buf)) > rawSize {
		offset = 0
	}
	s.mu.Unlock()
	_, err := s.file.WriteAt(buf, offset)
	if err == nil && s.sync {
		err = datasync(s.file)
	}
	s.mu.Lock()
	s.spare, s.offset = buf, offset+int64(len(buf))
	s.synced++
	s.leading = false
	if s.err == nil {
		s.err = err
	}
	s.done.Broadcast()
}

func (s *rawStore) Get(_, _ []byte) ([]byte, error)                      { return nil, errWriteOnly }
func (s *rawStore) Delete([]byte) error                                  { return errWriteOnly }
func (s *rawStore) Scan([]byte, int, func(key, value []byte) bool) error { return errWriteOnly }
func (s *rawStore) Close() error                                         { return s.file.Close() }
