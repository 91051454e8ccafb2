package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/ebbdb/ebb"
)

func toolCommands() []command {
	return []command{
		dumpCommand(),
		repairCommand(),
		clockCommand(),
		benchCommand(),
		{"help", "[COMMAND]", "tell about a command, or list them", 0, 1, tool | sessions, plain(help), ""},
		{"version", "", "say which ebb this is, and the format that it writes", 0, 0, tool | sessions, plain(version), ""},
	}
}

// version tells what the build knows of itself.
func version(_ context.Context, s *session, _ []string) error {
	v, revision := "unknown", ""
	if info, ok := debug.ReadBuildInfo(); ok {
		v = info.Main.Version
		for _, set := range info.Settings {
			if set.Key == "vcs.revision" {
				revision = set.Value
			}
		}
	}
	text := fmt.Sprintf("ebb %s format %d %s %s/%s", v, ebb.FormatVersion, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	if revision != "" {
		text += " " + revision
	}
	return s.out.line(text, field{"version", v}, field{"revision", revision}, field{"format", ebb.FormatVersion},
		field{"go", runtime.Version()}, field{"os", runtime.GOOS}, field{"arch", runtime.GOARCH})
}
