package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/ebbdb/ebb"
)

// create opens the database in dir, or makes a new one there, and calls do with it.
func (e *env) create(dir string, do func(*ebb.DB) error) error {
	db, err := ebb.Open(dir, &ebb.Options{
		Logger: slog.New(slog.NewTextHandler(e.stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		return err
	}
	err = do(db)
	if closed := db.Close(); closed != nil {
		err = errors.Join(err, fmt.Errorf("close %s: %w", dir, closed))
	}
	return err
}

// open is create for a database that exists: a mistyped name must not make one.
func (e *env) open(dir string, do func(*ebb.DB) error) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	if len(entries) == 0 {
		return fmt.Errorf("open %s: %w: the directory is empty", dir, ebb.ErrNotDatabase)
	}
	return e.create(dir, do)
}
