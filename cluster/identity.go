package cluster

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// identity is what a node is, as the file NODE of its directory has it, in JSON. The file is written once, before the
// node takes part, then again when the cluster that it asked to join has taken it in, and when a release of a later format opens
// the directory.
type identity struct {
	Format  int    `json:"format"`
	ID      string `json:"id"`
	Cluster string `json:"cluster"` // hex; empty: it has asked to join one, and was not taken in yet
}

const (
	identityFile   = "NODE"
	identityFormat = 3 // since 2 an entry may have several calls, and a record may be of a part of one; since 3 expiries are reported
	maxID          = 255
	clusterIDSize  = 16
)

// clusterID returns the id of a cluster that begins with these members.
func clusterID(peers []Peer) string {
	lines := make([]string, 0, len(peers))
	for _, p := range peers {
		lines = append(lines, fmt.Sprintf("%q %q\n", p.ID, p.Addr))
	}
	slices.Sort(lines)
	sum := sha256.Sum256([]byte("ebb cluster\n" + strings.Join(lines, "")))
	return hex.EncodeToString(sum[:clusterIDSize])
}

// loadIdentity reads the file of a directory. It is fs.ErrNotExist for one that is empty, or not there.
func loadIdentity(dir string) (identity, error) {
	name := filepath.Join(dir, identityFile)
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		names, derr := os.ReadDir(dir)
		if derr != nil && !errors.Is(derr, fs.ErrNotExist) {
			return identity{}, derr
		}
		for _, n := range names {
			if n.Name() != identityFile+".tmp" { // a crash may leave that
				return identity{}, fmt.Errorf("%w: %s has %s, and no file %s", ErrNotCluster, dir, n.Name(), identityFile)
			}
		}
		return identity{}, fs.ErrNotExist
	}
	if err != nil {
		return identity{}, err
	}
	var id identity
	if err := json.Unmarshal(text, &id); err != nil {
		return identity{}, fmt.Errorf("%w: %s: %w", ErrNotCluster, name, err)
	}
	raw, err := hex.DecodeString(id.Cluster)
	if id.Format < 1 || id.Format > identityFormat || id.ID == "" || err != nil || len(raw) != clusterIDSize && len(raw) != 0 {
		return identity{}, fmt.Errorf("%w: %s has format %d, this release knows %d", ErrNotCluster, name, id.Format, identityFormat)
	}
	return id, nil
}

// store writes the file, durably: a crash leaves the old one or the new one.
func (id identity) store(dir string) error {
	text, err := json.MarshalIndent(id, "", "  ")
	if err != nil {
		return err
	}
	name := filepath.Join(dir, identityFile)
	f, err := os.Create(name + ".tmp")
	if err != nil {
		return err
	}
	_, err = f.Write(append(text, '\n'))
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(name+".tmp", name); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
