package judges

import (
	"os"
	"strings"
	"testing"
)

// TestReadme checks that the lists that decide what may differ are published.
func TestReadme(t *testing.T) {
	data, err := os.ReadFile("README.md")
	ok(t, err)
	var has []string
	for _, p := range permissions {
		has = append(has, p.command, p.why)
	}
	for _, why := range permittedBytes {
		has = append(has, why)
	}
	for _, group := range ctsNotThere {
		has = append(has, "| "+group.why)
	}
	for _, s := range has {
		if !strings.Contains(string(data), s) {
			t.Errorf("README.md does not have %q", s)
		}
	}
}
