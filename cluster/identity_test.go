package cluster

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestIdentityFormats opens directories of the formats of nodes: an older one is made one of this format before anything else is
// written, so that an older release refuses it, and a newer one is refused.
func TestIdentityFormats(t *testing.T) {
	tc := startCluster(t, 1, nil)
	must(t, tc.leader().Put(t.Context(), []byte("a"), []byte("1")))
	c := tc.configs["n1"]
	name := filepath.Join(tc.dir, "n1", identityFile)
	must(t, tc.nodes["n1"].Close())
	delete(tc.nodes, "n1")
	set := func(format string) (text []byte) {
		text, err := os.ReadFile(name)
		must(t, err)
		text = []byte(strings.Replace(string(text), `"format": 3`, format, 1))
		must(t, os.WriteFile(name, text, 0o600))
		return text
	}
	newer := set(`"format": 4`)
	if _, err := Open(t.Context(), filepath.Join(tc.dir, "n1"), c); !errors.Is(err, ErrNotCluster) {
		t.Errorf("a newer format: %v", err)
	}
	if text, err := os.ReadFile(name); err != nil || !bytes.Equal(text, newer) {
		t.Errorf("%s, %v", text, err)
	}
	must(t, os.WriteFile(name, bytes.Replace(newer, []byte(`"format": 4`), []byte(`"format": 1`), 1), 0o600))
	tc.open(c)
	if text, err := os.ReadFile(name); err != nil || !strings.Contains(string(text), `"format": 3`) {
		t.Errorf("%s, %v", text, err)
	}
	if v, err := tc.leader().Get(t.Context(), []byte("a")); string(v) != "1" || err != nil {
		t.Errorf("%q, %v", v, err)
	}
}
