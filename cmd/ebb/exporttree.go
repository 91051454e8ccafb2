package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/ebbdb/ebb"
)

// exportTree writes every key as a file. Nothing is written before all names are known to fit; files get their names
// inside an os.Root, so that no key leads out of the directory.
func exportTree(ctx context.Context, s *session, args []string) error {
	dest := args[0]
	return s.read(func(at *ebb.Snapshot) error {
		if err := checkNames(ctx, at); err != nil {
			return err
		}
		root, err := emptyRoot(dest)
		if err != nil {
			return err
		}
		defer root.Close()
		bar := s.progress(-1, "exporting")
		defer bar.Finish()
		files, bytes := 0, int64(0)
		for e, err := range entries(ctx, at, nil) {
			if err == nil {
				err = writeFile(root, string(e.Key), e.Value)
			}
			if err != nil {
				return fmt.Errorf("stopped after %s: %w", plural(files, "file"), err)
			}
			bar.Add(len(e.Value))
			files++
			bytes += int64(len(e.Value))
		}
		bar.Finish()
		return s.out.line(fmt.Sprintf("exported %s, %s", plural(files, "file"), size(bytes)), field{"files", files},
			field{"exported", bytesCount(bytes)})
	})
}

// checkNames refuses keys that cannot all be files: what is no relative path, and what is a file and a directory at once.
func checkNames(ctx context.Context, at *ebb.Snapshot) error {
	files := make(map[string]bool)
	for e, err := range entries(ctx, at, &ebb.IterOptions{KeysOnly: true}) {
		if err != nil {
			return err
		}
		name := string(e.Key)
		if !fs.ValidPath(name) || name == "." || strings.IndexByte(name, 0) >= 0 || !filepath.IsLocal(filepath.FromSlash(name)) {
			return fmt.Errorf("the key %s cannot be the name of a file", quote(e.Key))
		}
		// A directory sorts before what is in it, though not always right before.
		for i := strings.LastIndexByte(name, '/'); i > 0; i = strings.LastIndexByte(name[:i], '/') {
			if files[name[:i]] {
				return fmt.Errorf("the key %s would be a file, and the directory of %s", quote([]byte(name[:i])), quote(e.Key))
			}
		}
		files[name] = true
	}
	return nil
}

// emptyRoot opens a directory that has nothing in it, and makes it if need be.
func emptyRoot(dir string) (*os.Root, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	names, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	if len(names) > 0 {
		return nil, fmt.Errorf("%s is not empty", dir)
	}
	return os.OpenRoot(dir)
}

func writeFile(root *os.Root, name string, content []byte) error {
	name = filepath.FromSlash(name)
	if dir := filepath.Dir(name); dir != "." {
		if err := root.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Close())
}
