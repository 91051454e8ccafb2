package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/ebbdb/ebb"
)

// batchSize is about how many bytes an import writes at once: enough for the cost of a write to vanish beside that of
// copying, and little beside a memtable.
const batchSize = 1 << 20

func treeCommands() []command {
	return []command{
		{"import-tree", "SRC", "import the files below SRC: keys are slash paths, values contents", 1, 1, database | writes | creates,
			plain(importTree), "What it has imported when it fails, or is stopped, stays."},
		{"verify-tree", "SRC", "compare the database with the files below SRC", 1, 1, database, plain(verifyTree), ""},
		{"export-tree", "DEST", "write every key as a file below DEST", 1, 1, database, plain(exportTree),
			"DEST must be empty or absent. A key that cannot be the name of a file, or that is the directory of another, is an error\n" +
				"before anything is written."},
	}
}

// importTree imports the regular files below a directory. What it has imported when it fails, or is stopped, stays.
func importTree(ctx context.Context, s *session, args []string) error {
	src := args[0]
	if err := checkSource(s.dir, src); err != nil {
		return err
	}
	return s.write(func(db *ebb.DB) error {
		start := time.Now()
		bar := s.progress(-1, "importing")
		defer bar.Finish()
		im := importer{db: db, src: tree(src), bar: bar}
		skipped, err := im.src.walk(ctx, im.add)
		if err == nil {
			err = im.apply()
		}
		if err == nil {
			err = db.Flush() // tables are synced, which makes up for the batches that were not
		}
		if err != nil {
			return fmt.Errorf("stopped after %s: %w", plural(im.files, "file"), err)
		}
		took := time.Since(start)
		bar.Finish()
		return s.out.line(fmt.Sprintf("imported %s, %s in %v (%s/s); skipped %d that are not regular files", plural(im.files, "file"),
			size(im.bytes), took.Round(time.Millisecond), size(int64(float64(im.bytes)/took.Seconds())), skipped),
			field{"files", im.files}, field{"imported", bytesCount(im.bytes)}, field{"took", took}, field{"skipped", skipped})
	})
}

// importer puts files into a database.
type importer struct {
	db      *ebb.DB
	src     tree
	bar     bar
	batch   ebb.Batch
	pending int   // bytes of values in batch
	files   int   // written to the database
	bytes   int64 // of their contents
}

// add imports a file, with the next batch. What is too large to share one is written by itself.
func (im *importer) add(name string, info fs.FileInfo) error {
	if info.Size() > ebb.MaxValueSize {
		return fmt.Errorf("%s has %d bytes, and a value can have %d", name, info.Size(), ebb.MaxValueSize)
	}
	content, err := im.src.read(name)
	if err != nil {
		return err
	}
	im.bar.Add(len(content))
	if im.pending+len(content) > batchSize {
		if err := im.apply(); err != nil {
			return err
		}
	}
	if len(content) > batchSize {
		err := im.db.Put([]byte(name), content, ebb.NoSync)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		im.files++
		im.bytes += int64(len(content))
		return nil
	}
	im.pending += len(content)
	if err := im.batch.Put([]byte(name), content); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// apply writes the batch.
func (im *importer) apply() error {
	if err := im.db.Apply(&im.batch, ebb.NoSync); err != nil {
		return err
	}
	im.files += im.batch.Len()
	im.bytes += int64(im.pending)
	im.batch.Reset()
	im.pending = 0
	return nil
}

// verifyTree compares a database with the regular files below a directory, all of the one with all of the other, and lists
// what differs. Each value is looked up and scanned.
func verifyTree(ctx context.Context, s *session, args []string) error {
	src := args[0]
	if err := checkSource(s.dir, src); err != nil {
		return err
	}
	return s.read(func(at *ebb.Snapshot) error {
		start := time.Now()
		bar := s.progress(-1, "comparing")
		defer bar.Finish()
		c := treeCheck{out: s.out, src: tree(src), bar: bar}
		skipped, err := c.src.walk(ctx, func(name string, _ fs.FileInfo) error {
			c.names = append(c.names, name)
			return nil
		})
		if err != nil {
			return err
		}
		slices.Sort(c.names) // the order of keys, in which "a.go" is before "a/b"; a walk goes the other way
		if err := c.compare(ctx, at); err != nil {
			return err
		}
		bar.Finish()
		took := time.Since(start)
		err = s.out.line(fmt.Sprintf("compared %s, %s in %v: %d same, %d changed, %d missing, %d extra; "+
			"skipped %d that are not regular files", plural(len(c.names), "file"), size(c.bytes), took.Round(time.Millisecond),
			c.same, c.changed, c.missing, c.extra, skipped),
			field{"files", len(c.names)}, field{"compared", bytesCount(c.bytes)}, field{"took", took}, field{"same", c.same},
			field{"changed", c.changed}, field{"missing", c.missing}, field{"extra", c.extra}, field{"skipped", skipped})
		if err == nil && c.changed+c.missing+c.extra > 0 {
			err = errors.New("the database and the files differ")
		}
		return err
	})
}

// treeCheck compares files with keys and counts what it finds.
type treeCheck struct {
	out   *printer
	src   tree
	bar   bar
	names []string // of all files, in order

	same    int
	changed int   // keys whose values are not the contents of their files
	missing int   // files without a key
	extra   int   // keys without a file
	bytes   int64 // of values
}

// compare walks keys and files side by side.
func (c *treeCheck) compare(ctx context.Context, snapshot *ebb.Snapshot) error {
	names := c.names
	var buf []byte
	for entry, err := range entries(ctx, snapshot, nil) {
		if err != nil {
			return err
		}
		key := string(entry.Key)
		for len(names) > 0 && names[0] < key {
			if err := c.differs(&c.missing, "missing", names[0]); err != nil {
				return err
			}
			names = names[1:]
		}
		if len(names) == 0 || names[0] != key {
			if err := c.differs(&c.extra, "extra", key); err != nil {
				return err
			}
			continue
		}
		names = names[1:]
		if buf, err = snapshot.AppendGet(buf[:0], entry.Key); err != nil {
			return fmt.Errorf("get %s: %w", quote([]byte(key)), err)
		}
		if !bytes.Equal(buf, entry.Value) {
			return fmt.Errorf("%s has one value in a scan and another in a look-up", quote([]byte(key)))
		}
		if err := c.compareFile(key, buf); err != nil {
			return err
		}
	}
	for _, name := range names {
		if err := c.differs(&c.missing, "missing", name); err != nil {
			return err
		}
	}
	return nil
}

// compareFile compares a value with the file of its key.
func (c *treeCheck) compareFile(key string, value []byte) error {
	c.bytes += int64(len(value))
	c.bar.Add(len(value))
	info, err := c.src.stat(key)
	if err != nil {
		return err
	}
	if info.Size() != int64(len(value)) { // and may be too large to read
		return c.differs(&c.changed, "changed", key)
	}
	content, err := c.src.read(key)
	if err != nil {
		return err
	}
	if !bytes.Equal(content, value) {
		return c.differs(&c.changed, "changed", key)
	}
	c.same++
	return nil
}

// differs lists a key and counts it.
func (c *treeCheck) differs(count *int, how, key string) error {
	*count++
	return c.out.line(how+" "+quote([]byte(key)), field{"difference", how}, field{"key", []byte(key)})
}

// tree is a directory. Names in it are slash paths, of whatever bytes the system allows: what is no UTF-8 is a key like any
// other, for which fs.FS has no name.
type tree string

func (t tree) path(name string) string { return filepath.Join(string(t), filepath.FromSlash(name)) }

func (t tree) read(name string) ([]byte, error) { return os.ReadFile(t.path(name)) }

func (t tree) stat(name string) (fs.FileInfo, error) { return os.Stat(t.path(name)) }

// walk calls do with every regular file and returns how many others it has skipped. Symbolic links are others.
func (t tree) walk(ctx context.Context, do func(name string, info fs.FileInfo) error) (skipped int, err error) {
	root := t.path("") // the link itself would not be walked into
	if real, err := filepath.EvalSymlinks(root); err == nil {
		root = real
	}
	err = filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if d.IsDir() {
			return nil
		}
		if !d.Type().IsRegular() {
			skipped++
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if name, err = filepath.Rel(root, name); err != nil {
			return err
		}
		return do(filepath.ToSlash(name), info)
	})
	return skipped, err
}

// checkSource refuses a source that is no directory, and one that the database lies in, which would import itself.
func checkSource(dir, src string) error {
	source, err := os.Stat(src)
	if err != nil {
		return err
	}
	if !source.IsDir() {
		return fmt.Errorf("%s is not a directory", src)
	}
	at, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if real, err := filepath.EvalSymlinks(at); err == nil { // otherwise it does not exist yet
		at = real
	}
	for {
		if info, err := os.Stat(at); err == nil && os.SameFile(info, source) {
			return fmt.Errorf("the database %s lies in %s", dir, src)
		}
		parent := filepath.Dir(at)
		if parent == at {
			return nil
		}
		at = parent
	}
}
