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
	Apart  bool         // Owned is another file system than FS: nothing can be linked
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
		copied, err := o.bring(ctx, o.From.Table(t.File), d.Table(t.File))
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
	tables := o.Owned
	if o.Apart {
		tables = o.FS
	}
	if err := tables.SyncDir(d.Tables()); err != nil { // of Owned it fails unless all tables were this database's
		return done, err
	}
	state.Clock = o.Now()
	if err := finish(o.FS, d, state); err != nil {
		return done, err
	}
	return done, d.Publish()
}

// bring gives a file a second name or, where that cannot be, makes a synced copy. It returns how many bytes it has copied.
func (o *LinkOptions) bring(ctx context.Context, from, to string) (int64, error) {
	target := o.FS
	if !o.Apart {
		target = o.Owned // which refuses to make what it no longer owns
		err := target.Link(from, to)
		if err == nil || !vfs.CannotLink(err) {
			return 0, err
		}
	}
	in, err := o.Owned.Open(from)
	if err != nil {
		return 0, err
	}
	out, err := target.Create(to)
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
