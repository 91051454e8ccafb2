package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
)

// now is the name of no snapshot.
const now = "now"

func snapshotCommands() []command {
	return []command{
		{"snapshot", "[NAME]", "keep the database as it is now, under a name", 0, 1, sessions, plain(takeSnapshot),
			"It costs nothing to take; while it is open it keeps the files that it needs."},
		{"use", "[NAME]", "read from a snapshot, or from 'now'; without a name list them", 0, 1, sessions, plain(use),
			"While a snapshot is in use nothing can be written."},
		{"release", "NAME", "forget a snapshot", 1, 1, sessions, plain(release), ""},
	}
}

// takeSnapshot keeps a snapshot of the present.
func takeSnapshot(_ context.Context, s *session, args []string) error {
	name := ""
	for i := 1; len(args) == 0 && (name == "" || s.snapshots[name] != nil); i++ {
		name = fmt.Sprintf("s%d", i)
	}
	if len(args) > 0 {
		name = args[0]
	}
	if name == now || name == "" {
		return &usageError{fmt.Errorf("%q cannot be the name of a snapshot", name), nil}
	}
	if s.snapshots[name] != nil {
		return fmt.Errorf("there is a snapshot %s already", quote([]byte(name)))
	}
	db, err := s.open()
	if err != nil {
		return err
	}
	snapshot, err := db.Snapshot()
	if err != nil {
		return err
	}
	s.snapshots[name] = snapshot
	return s.out.line(fmt.Sprintf("snapshot %s: 'use %[1]s' reads from it", quote([]byte(name))), field{"snapshot", name},
		field{"version", snapshot.Seq()})
}

func use(_ context.Context, s *session, args []string) error {
	switch {
	case len(args) == 0:
		return s.listSnapshots()
	case args[0] == now:
		s.using = ""
	case s.snapshots[args[0]] == nil:
		return s.noSnapshot(args[0])
	default:
		s.using = args[0]
	}
	return nil
}

func (s *session) noSnapshot(name string) error {
	return no("there is no snapshot %s", quote([]byte(name)))
}

func (s *session) listSnapshots() error {
	if len(s.snapshots) == 0 && !s.out.json {
		return s.out.line("no snapshots: 'snapshot' takes one")
	}
	t := s.out.columns()
	for _, name := range slices.Sorted(maps.Keys(s.snapshots)) {
		snapshot := s.snapshots[name]
		err := t.row(field{"snapshot", []byte(name)}, field{"version", snapshot.Seq()},
			field{"taken", snapshot.Time().Format("15:04:05")}, field{"in use", name == s.using})
		if err != nil {
			return err
		}
	}
	return t.flush()
}

func release(_ context.Context, s *session, args []string) error {
	name := args[0]
	snapshot := s.snapshots[name]
	if snapshot == nil {
		return s.noSnapshot(name)
	}
	snapshot.Close()
	delete(s.snapshots, name)
	if s.using == name {
		s.using = ""
	}
	return nil
}
