package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/ebbdb/ebb"
)

// ownWay are commands that say themselves what to do about damage, or read no database.
var ownWay = []string{"repair", "dump", "restore", "ingest", "import"}

// advice returns what can be done about an error of the session's command; empty if the error says it, or nothing can.
func (s *session) advice(err error) string {
	name, dir := s.currentName(), quote([]byte(s.dir))
	switch {
	case errors.Is(err, ebb.ErrCorrupt) && !slices.Contains(ownWay, name) && s.dir != "":
		return fmt.Sprintf("'ebb repair %s NEWDIR' saves what can be read into a new database, and lists what cannot; "+
			"or restore a backup", dir)
	case errors.Is(err, ebb.ErrLogTrimmed) && name == "backup":
		return "take a full backup: without -since"
	case errors.Is(err, ebb.ErrLogTrimmed):
		return "'scan' shows what is there, 'watch' without -from what comes; Options.RetainLog makes the log reach further back"
	case errors.Is(err, ebb.ErrNoSpace):
		return fmt.Sprintf("make room: then writes go on by themselves. 'ebb stats %s' says what the database takes", dir)
	case errors.Is(err, ebb.ErrFailed):
		return fmt.Sprintf("end what has the database open, and open it again; 'ebb verify %s' tells whether it is whole", dir)
	case errors.Is(err, ebb.ErrVersion):
		return "a newer ebb has written it: use that one"
	case errors.Is(err, ebb.ErrReadOnly) && s.readOnly:
		return "it was opened with -readonly"
	case errors.Is(err, ebb.ErrLocked):
		return fmt.Sprintf("only one process can write; what only reads works beside it, and 'ebb stats %s' tells who has it", dir)
	case s.create || s.current == nil || s.current.has(creates) || s.db != nil || s.dir == "":
		return ""
	case errors.Is(err, ebb.ErrNotDatabase) && emptyDir(s.dir), errors.Is(err, fs.ErrNotExist) && missing(s.dir):
		return fmt.Sprintf("'ebb -create %s' makes a database, and so do put, incr, import, ingest and import-tree", dir)
	}
	return ""
}

// currentName returns the name of the command that runs or has run last.
func (s *session) currentName() string {
	if s.current == nil {
		return ""
	}
	return s.current.name
}

func emptyDir(dir string) bool {
	entries, err := os.ReadDir(dir)
	return err == nil && len(entries) == 0
}

// missing reports whether there is nothing of a name, where something could be made.
func missing(dir string) bool {
	_, err := os.Stat(dir)
	return errors.Is(err, fs.ErrNotExist)
}
