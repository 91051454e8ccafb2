package copies

import (
	"context"
	"errors"
	"io"

	"github.com/ebbdb/ebb/internal/dir"
	"github.com/ebbdb/ebb/internal/manifest"
	"github.com/ebbdb/ebb/internal/vfs"
)

// LinkOptions say of which tables Link makes a database, and where.
type LinkOptions struct {
	FS     vfs.FS       // the file system of the new directory
	Owned  vfs.FS       // FS as the owner of From sees it: a file that Owned refuses is not linked
	From   dir.Dir      // the database whose tables are linked; they keep their names until Link returns
	Random func([]byte) // names the directory in which the database is built
	Now    func() int64 // Unix ms, for the new manifest
	Report func(tables uint64, bytes int64)
}

// Linked is what Link has done.
type Linked struct {
	Tables int
	Bytes  int64 // of all tables
	Copied int64 // of Bytes, those that had to be copied
}

// Link makes a database of the tables that a manifest names and an empty log. It changes state into the manifest of the new
// database.
func Link(ctx context.Context, target string, state *manifest.State, o *LinkOptions) (done Linked, err error) {
	d, err := dir.Make(o.FS, target, "checkpoint", o.Random)
	if err != nil {
		return done, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Remove())
		}
	}()
	for _, t := range state.Tables {
		if err := ctx.Err(); err != nil {
			return done, err
		}
		copied, err := linkOrCopy(ctx, o.Owned, o.From.Table(t.File), d.Table(t.File))
		if err != nil {
			return done, err
		}
		done.Tables++
		done.Bytes += t.Size
		done.Copied += copied
		if o.Report != nil {
			o.Report(uint64(done.Tables), done.Bytes)
		}
	}
	if err := o.Owned.SyncDir(d.Tables()); err != nil { // fails unless all tables were this database's
		return done, err
	}
	state.Clock = o.Now()
	if err := finish(o.FS, d, state); err != nil {
		return done, err
	}
	return done, d.Publish()
}

// linkOrCopy gives a file a second name or, if the file system cannot link, makes a synced copy. It returns how many bytes
// it has copied.
func linkOrCopy(ctx context.Context, fs vfs.FS, from, to string) (int64, error) {
	err := fs.Link(from, to)
	if err == nil || !vfs.CannotLink(err) {
		return 0, err
	}
	in, err := fs.Open(from)
	if err != nil {
		return 0, err
	}
	out, err := fs.Create(to)
	if err != nil {
		return 0, errors.Join(err, in.Close())
	}
	n, err := copyFile(ctx, out, in)
	if err == nil {
		err = out.Sync()
	}
	return n, errors.Join(err, out.Close(), in.Close())
}

// copyChunk is how much of a file is copied between two looks at the context.
const copyChunk = 1 << 20

// copyFile copies the content of one file to another, which is empty, and returns how many bytes it has copied.
func copyFile(ctx context.Context, to, from vfs.File) (off int64, err error) {
	buf := make([]byte, copyChunk)
	for {
		if err := ctx.Err(); err != nil {
			return off, err
		}
		n, err := from.ReadAt(buf, off)
		if err != nil && err != io.EOF {
			return off, err
		}
		if _, werr := to.WriteAt(buf[:n], off); werr != nil {
			return off, werr
		}
		to.WriteBack(off, int64(n))
		off += int64(n)
		if err == io.EOF {
			return off, nil
		}
	}
}
