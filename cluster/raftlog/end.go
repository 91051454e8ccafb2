package raftlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path"

	"github.com/ebbdb/ebb/internal/corrupt"
	"github.com/ebbdb/ebb/internal/format"
	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/wal"
)

// The file END says which log this is and where it ended at its last Close. The log only grows, so it stays right: a log
// that is another, or does not come by that end, has lost entries that raft was told are on the disk. Little-endian:
//
//	0 "ebbraft\n"  8 version  9 log id [16]  25 segment u32  29 offset u32  33 running CRC u32  37 CRC-32C u32   = 41 bytes
const (
	endName    = "END"
	endMagic   = "ebbraft\n"
	endVersion = 1
	endSize    = 41
)

var endTable = crc32.MakeTable(crc32.Castagnoli)

type end struct {
	id     wal.ID
	anchor wal.Anchor
}

func (e *end) append(dst []byte) []byte {
	start := len(dst)
	le := binary.LittleEndian
	dst = append(append(dst, endMagic...), endVersion)
	dst = append(dst, e.id[:]...)
	dst = le.AppendUint32(dst, e.anchor.Segment)
	dst = le.AppendUint32(dst, e.anchor.Offset)
	dst = le.AppendUint32(dst, e.anchor.CRC)
	return le.AppendUint32(dst, crc32.Checksum(dst[start:], endTable))
}

func decodeEnd(b []byte) (end, error) {
	if len(b) > len(endMagic) && string(b[:len(endMagic)]) == endMagic && b[len(endMagic)] > endVersion {
		return end{}, format.Newer("END of a raft log", b[len(endMagic)], endVersion)
	}
	le := binary.LittleEndian
	if len(b) != endSize || string(b[:len(endMagic)]) != endMagic || crc32.Checksum(b[:37], endTable) != le.Uint32(b[37:]) {
		return end{}, errMalformed
	}
	return end{wal.ID(b[9:25]), wal.Anchor{
		Position: wal.Position{Segment: le.Uint32(b[25:]), Offset: le.Uint32(b[29:])}, CRC: le.Uint32(b[33:]),
	}}, nil
}

// readEnd reads the file END of the log in dir. A log that was never closed has none: that is the zero end.
func readEnd(fsys vfs.FS, dir string) (e end, err error) {
	name := path.Join(dir, endName)
	f, err := fsys.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return end{}, nil
	}
	if err != nil {
		return end{}, fmt.Errorf("raftlog: %w", err)
	}
	size, err := f.Size()
	var buf []byte
	if err == nil {
		buf = make([]byte, min(size, endSize+1))
		_, err = f.ReadAt(buf, 0)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return end{}, fmt.Errorf("raftlog: %w", err)
	}
	if e, err = decodeEnd(buf); err != nil && !errors.Is(err, ErrVersion) {
		err = corrupt.New(name, 0, "end of a raft log", err)
	}
	return e, err
}

// writeEnd puts a new file END in the place of the old one.
//
//  1. Write END.tmp, and sync it. A crash leaves a file that the next writeEnd removes.
//  2. Rename it. A crash leaves the old END or the new one, both of which are right.
//  3. Sync the directory.
func writeEnd(fsys vfs.FS, dir string, e end) error {
	name, tmp := path.Join(dir, endName), path.Join(dir, endName+".tmp")
	if err := fsys.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := fsys.Create(tmp)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(e.append(nil), 0)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := fsys.Rename(tmp, name); err != nil {
		return err
	}
	return fsys.SyncDir(dir)
}
