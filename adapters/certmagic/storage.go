// Package certstorage keeps what github.com/caddyserver/certmagic keeps, certificates, keys, accounts and locks, in an ebb
// database.
//
//	certmagic.Default.Storage = certstorage.New(db, "certs/")
package certstorage

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/ebbdb/ebb"
)

var (
	_ certmagic.Storage          = (*Storage)(nil)
	_ certmagic.TryLocker        = (*Storage)(nil)
	_ certmagic.LockLeaseRenewer = (*Storage)(nil)
)

// Storage keeps files, directories of which exist as long as there is something in them, and locks under a prefix of a database.
// Its methods may be called from any goroutine. Every write is on the disk when its method returns, whatever the policy of the
// database.
//
// The key of a file that is too long for one of ebb, or has no name, is fs.ErrNotExist, and an error of ebb from Store. Slashes
// at the ends of a key, and "." and ".." in it, are taken as path.Clean takes them: no key leads out of the storage.
type Storage struct {
	db     *ebb.DB
	prefix string
	lease  time.Duration

	mu    sync.Mutex
	held  map[string]*lock
	ended chan struct{} // is closed, and replaced, when a lock of this storage ends
}

// New returns the storage of a database whose keys begin with a prefix, which no other use of the database shares.
func New(db *ebb.DB, prefix string) *Storage {
	return &Storage{db: db, prefix: prefix, lease: time.Minute, held: make(map[string]*lock), ended: make(chan struct{})}
}

// clean returns a key as it is stored, "" for the root.
func clean(key string) string { return strings.TrimPrefix(path.Clean("/"+key), "/") }

// file returns the key of a file in the database, nil for the root, which is none.
func (s *Storage) file(key string) []byte {
	if key = clean(key); key == "" {
		return nil
	}
	return []byte(s.prefix + "f/" + key)
}

// in returns what the keys of all that is in a directory begin with, in the database.
func (s *Storage) in(dir string) []byte {
	if dir = clean(dir); dir != "" {
		dir += "/"
	}
	return []byte(s.prefix + "f/" + dir)
}

// translated returns an error as certmagic knows it.
func translated(key string, err error) error {
	if errors.Is(err, ebb.ErrNotFound) || errors.Is(err, ebb.ErrKeyEmpty) || errors.Is(err, ebb.ErrKeyTooLarge) {
		return fmt.Errorf("certstorage: %q: %w", key, fs.ErrNotExist)
	}
	return err
}

// stamp is the size of the time in front of a value: when it was stored, in Unix ms.
const stamp = 8

// Store gives a file a value.
func (s *Storage) Store(ctx context.Context, key string, value []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	stamped := binary.BigEndian.AppendUint64(make([]byte, 0, stamp+len(value)), uint64(time.Now().UnixMilli()))
	return s.db.Put(s.file(key), append(stamped, value...), ebb.Sync)
}

func (s *Storage) load(ctx context.Context, key string) (modified time.Time, value []byte, err error) {
	if err := ctx.Err(); err != nil {
		return time.Time{}, nil, err
	}
	value, err = s.db.Get(s.file(key))
	if err != nil {
		return time.Time{}, nil, translated(key, err)
	}
	if len(value) < stamp {
		return time.Time{}, nil, fmt.Errorf("certstorage: %q was not stored by this package", key)
	}
	return time.UnixMilli(int64(binary.BigEndian.Uint64(value))), value[stamp:], nil
}

// Load returns a copy of the value of a file, or fs.ErrNotExist.
func (s *Storage) Load(ctx context.Context, key string) ([]byte, error) {
	_, value, err := s.load(ctx, key)
	return value, err
}

// Delete deletes a file, or a directory with all that is in it, at once. It is no error if there is nothing.
func (s *Storage) Delete(ctx context.Context, key string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var b ebb.Batch
	if file := s.file(key); file != nil {
		if err := b.Delete(file); errors.Is(err, ebb.ErrKeyTooLarge) {
			return nil
		} else if err != nil {
			return err
		}
	}
	if err := b.DeletePrefix(s.in(key)); err != nil && !errors.Is(err, ebb.ErrKeyTooLarge) {
		return err
	}
	return s.db.Apply(&b, ebb.Sync)
}

// Exists reports whether there is a file or a directory. It is false if the database cannot tell.
func (s *Storage) Exists(ctx context.Context, key string) bool {
	_, err := s.Stat(ctx, key)
	return err == nil
}

// isDir reports whether there is a directory. There always is the root.
func (s *Storage) isDir(key string) (bool, error) {
	if clean(key) == "" {
		return true, nil
	}
	_, err := s.db.First(&ebb.IterOptions{Prefix: s.in(key), KeysOnly: true})
	if errors.Is(err, ebb.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// Stat describes a file or a directory, or returns fs.ErrNotExist.
func (s *Storage) Stat(ctx context.Context, key string) (certmagic.KeyInfo, error) {
	modified, value, err := s.load(ctx, key)
	if err == nil {
		return certmagic.KeyInfo{Key: key, Modified: modified, Size: int64(len(value)), IsTerminal: true}, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return certmagic.KeyInfo{}, err
	}
	isDir, dirErr := s.isDir(key)
	if dirErr != nil {
		return certmagic.KeyInfo{}, dirErr
	}
	if !isDir {
		return certmagic.KeyInfo{}, err
	}
	return certmagic.KeyInfo{Key: key}, nil
}

// List returns the keys of all that is in a directory, files and directories, in order; with recursive also of what is in these.
// A file has nothing in it. If there is no such directory or file it returns fs.ErrNotExist.
func (s *Storage) List(ctx context.Context, dir string, recursive bool) ([]string, error) {
	if _, err := s.Stat(ctx, dir); err != nil {
		return nil, err
	}
	in := s.in(dir)
	it, err := s.db.NewIterator(&ebb.IterOptions{Prefix: in, KeysOnly: true})
	if err != nil {
		return nil, err
	}
	defer it.Close()
	var keys []string
	seen := "" // the directory of the last key, within dir
	for ok := it.First(); ok; {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		name := string(it.Key()[len(in):])
		if !recursive {
			name, _, found := strings.Cut(name, "/")
			keys = append(keys, path.Join(dir, name))
			if found {
				ok = it.Seek(ebb.PrefixEnd(append(in[:len(in):len(in)], name+"/"...))) // and not all that is in it
			} else {
				ok = it.Next()
			}
			continue
		}
		for i := range len(name) { // the directories that this is the first key in
			if name[i] == '/' && !strings.HasPrefix(seen+"/", name[:i+1]) {
				keys = append(keys, path.Join(dir, name[:i]))
			}
		}
		seen = path.Dir(name)
		keys = append(keys, path.Join(dir, name))
		ok = it.Next()
	}
	return keys, it.Err()
}
