package vfstest

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/ebbdb/ebb/internal/vfs"
)

// script does operations on a file system and fails the test if one fails.
type script struct {
	t  *testing.T
	fs vfs.FS
}

func (s script) create(name string)          { s.t.Helper(); put(s.t, s.fs, name, "") }
func (s script) remove(name string)          { s.t.Helper(); must(s.t, s.fs.Remove(name)) }
func (s script) rename(oldname, name string) { s.t.Helper(); must(s.t, s.fs.Rename(oldname, name)) }
func (s script) link(oldname, name string)   { s.t.Helper(); must(s.t, s.fs.Link(oldname, name)) }
func (s script) mkdir(name string)           { s.t.Helper(); must(s.t, s.fs.MkdirAll(name)) }
func (s script) syncDir(name string)         { s.t.Helper(); must(s.t, s.fs.SyncDir(name)) }

func (s script) with(name string, do func(vfs.File) error) {
	s.t.Helper()
	f, err := s.fs.OpenWrite(name)
	must(s.t, err)
	must(s.t, do(f))
	must(s.t, f.Close())
}

func (s script) write(name, content string, off int64) {
	s.t.Helper()
	s.with(name, func(f vfs.File) error { return second(f.WriteAt([]byte(content), off)) })
}

func (s script) truncate(name string, size int64) {
	s.t.Helper()
	s.with(name, func(f vfs.File) error { return f.Truncate(size) })
}

func (s script) sync(name string)     { s.t.Helper(); s.with(name, vfs.File.Sync) }
func (s script) syncData(name string) { s.t.Helper(); s.with(name, vfs.File.SyncData) }

// tree writes a file system as one string, "name=content" or "name/" for an empty directory, sorted.
func tree(m *Mem) string {
	var parts []string
	var walk func(n *inode, name string)
	walk = func(n *inode, name string) {
		if !n.isDir() {
			parts = append(parts, name+"="+string(n.data))
			return
		}
		if len(n.entries) == 0 && name != "" {
			parts = append(parts, name+"/")
		}
		for base, child := range n.entries {
			walk(child, path.Join(name, base))
		}
	}
	walk(m.tree(), "")
	slices.Sort(parts)
	return strings.Join(parts, " ")
}

// statesAt returns the trees that a crash after k operations may leave, each with the name of the state.
func statesAt(c *Crasher, k int) map[string]string {
	states := make(map[string]string)
	for s := range c.At(k) {
		states[tree(s.FS)] = s.Name
	}
	return states
}

func rep(s string, n int) string { return strings.Repeat(s, n) }

func junk(n int) string { return string(garbageBytes(n)) }

// The expected sets are derived by hand from the model at the head of crash.go.
func TestCrashStates(t *testing.T) {
	for _, tc := range []struct {
		name   string
		before map[string]string // durable files
		do     func(s script)
		want   []string // every state after the last operation
	}{
		{
			name: "nothing",
			do:   func(s script) {},
			want: []string{""},
		}, {
			name: "file synced, directory not",
			do:   func(s script) { s.create("a"); s.write("a", "hello", 0); s.sync("a") },
			want: []string{"", "a=hello"},
		}, {
			name: "directory synced, file not",
			do:   func(s script) { s.create("a"); s.syncDir("."); s.write("a", "hello", 0) },
			want: []string{"a=", "a=hello", "a=" + rep("\x00", 5), "a=" + junk(5)},
		}, {
			name: "both synced",
			do: func(s script) {
				s.create("a")
				s.write("a", "hello", 0)
				s.syncData("a")
				s.syncDir(".")
			},
			want: []string{"a=hello"},
		}, {
			name: "directory synced before the create",
			do:   func(s script) { s.syncDir("."); s.create("a") },
			want: []string{"", "a="},
		}, {
			name: "file synced before the write",
			do:   func(s script) { s.create("a"); s.syncDir("."); s.sync("a"); s.write("a", "x", 0) },
			want: []string{"a=", "a=x", "a=\x00", "a=" + junk(1)},
		}, {
			name:   "overwrite",
			before: map[string]string{"a": "aaaa"},
			do:     func(s script) { s.write("a", "bb", 1) },
			want:   []string{"a=aaaa", "a=abba", "a=a\x00\x00a", "a=a" + junk(2) + "a"},
		}, {
			name:   "two writes, in any order",
			before: map[string]string{"a": ""},
			do:     func(s script) { s.write("a", rep("A", 512), 0); s.write("a", rep("B", 512), 512) },
			want: []string{
				"a=",
				"a=" + rep("A", 512),
				"a=" + rep("A", 512) + rep("B", 512),
				"a=" + rep("A", 512) + rep("\x00", 512),
				"a=" + rep("A", 512) + junk(512),
				"a=" + rep("\x00", 512) + rep("B", 512),
				"a=" + rep("\x00", 1024),
			},
		}, {
			name:   "overlapping writes",
			before: map[string]string{"a": "...."},
			do:     func(s script) { s.write("a", "12", 0); s.write("a", "34", 1) },
			want:   []string{"a=....", "a=12..", "a=134.", "a=.34.", "a=1\x00\x00.", "a=1" + junk(2) + "."},
		}, {
			name:   "truncate and write",
			before: map[string]string{"a": "hello"},
			do:     func(s script) { s.truncate("a", 2); s.write("a", "X", 4) },
			want: []string{
				"a=hello", "a=he", "a=hellX", "a=he\x00\x00X", "a=he\x00\x00\x00", "a=he\x00\x00" + junk(1),
			},
		}, {
			name:   "unlink",
			before: map[string]string{"a": "1", "b": "2"},
			do:     func(s script) { s.remove("a"); s.remove("b") },
			want:   []string{"a=1 b=2", "a=1", "b=2", ""},
		}, {
			name:   "replaced name",
			before: map[string]string{"a": "1"},
			do:     func(s script) { s.remove("a"); s.create("a"); s.write("a", "2", 0); s.sync("a") },
			want:   []string{"a=1", "", "a=2"},
		}, {
			name:   "rename, directory not synced",
			before: map[string]string{"cur": "old"},
			do: func(s script) {
				s.create("tmp")
				s.write("tmp", "new", 0)
				s.sync("tmp")
				s.rename("tmp", "cur")
			},
			want: []string{"cur=old", "cur=old tmp=new", "cur=new"},
		}, {
			name:   "rename, file not synced",
			before: map[string]string{"cur": "old"},
			do: func(s script) {
				s.create("tmp")
				s.write("tmp", "new", 0)
				s.rename("tmp", "cur")
				s.syncDir(".")
			},
			want: []string{"cur=", "cur=new", "cur=\x00\x00\x00", "cur=" + junk(3)},
		}, {
			name:   "rename, all synced",
			before: map[string]string{"cur": "old"},
			do: func(s script) {
				s.create("tmp")
				s.write("tmp", "new", 0)
				s.sync("tmp")
				s.rename("tmp", "cur")
				s.syncDir(".")
			},
			want: []string{"cur=new"},
		}, {
			name:   "rename twice",
			before: map[string]string{"a": "1"},
			do:     func(s script) { s.rename("a", "b"); s.rename("b", "c") },
			want:   []string{"a=1", "b=1", "c=1", "a=1 c=1"},
		}, {
			name:   "rename from a name whose removal was lost",
			before: map[string]string{"tmp": "1"},
			do:     func(s script) { s.remove("tmp"); s.create("tmp"); s.rename("tmp", "cur") },
			want:   []string{"tmp=1", "", "tmp=", "cur=", "cur= tmp=1"},
		}, {
			name:   "names and data in turn",
			before: map[string]string{"a": ""},
			do: func(s script) {
				s.rename("a", "b")
				s.write("b", "x", 0)
				s.write("b", "y", 1)
				s.link("b", "c")
			},
			want: []string{
				"b=xy c=xy", "a=", // all, synced
				"b= c=", "a=xy", "b=\x00\x00 c=\x00\x00", // names, data, grown
				"b=", "b=x", "b=xy", // through one
				"a=xy c=xy", "b=\x00y c=\x00y", "b=x c=x", // without one
				"a=x", "a=\x00y", "a= c=", // only one
				"b=x\x00 c=x\x00", "b=x" + junk(1) + " c=x" + junk(1), // torn
			},
		}, {
			name:   "rename between directories, old one synced",
			before: map[string]string{"d/a": "1", "e/b": "2"},
			do:     func(s script) { s.rename("d/a", "e/a"); s.syncDir("d") },
			want:   []string{"d/a=1 e/b=2", "d/ e/a=1 e/b=2"},
		}, {
			name:   "rename between directories, new one synced",
			before: map[string]string{"d/a": "1", "e/b": "2"},
			do:     func(s script) { s.rename("d/a", "e/a"); s.syncDir("e") },
			want:   []string{"d/ e/a=1 e/b=2"},
		}, {
			name:   "rename of a directory, file in it not synced",
			before: map[string]string{"d/a": "1"},
			do:     func(s script) { s.rename("d", "e"); s.create("e/b") },
			want:   []string{"d/a=1", "d/a=1 d/b=", "e/a=1", "e/a=1 e/b="},
		}, {
			name:   "directory renamed twice",
			before: map[string]string{"d/a": "1"},
			do:     func(s script) { s.rename("d", "e"); s.rename("e", "f") },
			want:   []string{"d/a=1", "e/a=1", "f/a=1"},
		}, {
			name: "new directory, its parent not synced",
			do: func(s script) {
				s.mkdir("d")
				s.create("d/a")
				s.write("d/a", "1", 0)
				s.sync("d/a")
				s.syncDir("d")
			},
			want: []string{"", "d/a=1"},
		}, {
			name: "new directories",
			do:   func(s script) { s.mkdir("d/e"); s.syncDir("d") },
			want: []string{"", "d/e/"},
		}, {
			name:   "link",
			before: map[string]string{"a": "1"},
			do:     func(s script) { s.link("a", "b"); s.remove("a") },
			want:   []string{"a=1", "a=1 b=1", "b=1", ""},
		}, {
			name: "unsynced data of a file that is gone for good",
			do: func(s script) {
				s.create("a")
				s.write("a", "1", 0)
				s.remove("a")
				s.syncDir(".")
			},
			want: []string{""},
		}, {
			name: "file removed for good, then synced through an open handle",
			do: func(s script) {
				s.create("a")
				s.with("a", func(f vfs.File) error {
					s.remove("a")
					s.syncDir(".")
					write(s.t, f, "1", 0)
					return f.Sync()
				})
			},
			want: []string{""},
		}, {
			name:   "mapped write",
			before: map[string]string{"a": "...."},
			do: func(s script) {
				s.with("a", func(f vfs.File) error {
					must(s.t, f.MapWrites(4))
					return second(f.WriteAt([]byte("x"), 3))
				})
			},
			want: []string{"a=....", "a=...x", "a=...\x00", "a=..." + junk(1)},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := memWith(t, tc.before)
			m.Record()
			tc.do(script{t, m})
			c := m.Crashes(1, 0)
			got := statesAt(c, c.OpCount())
			for _, want := range tc.want {
				if _, ok := got[want]; !ok {
					t.Errorf("no state %q", want)
				}
				delete(got, want)
			}
			for state, name := range got {
				t.Errorf("state %q, which cannot be, is %q", state, name)
			}
			if _, distinct := c.Counts(); distinct != len(tc.want) {
				t.Errorf("%d states yielded, %d of them different", distinct, len(tc.want))
			}
		})
	}
}

// memWith returns a file system that holds files.
func memWith(t *testing.T, files map[string]string) *Mem {
	t.Helper()
	m := NewMem()
	for name, content := range files {
		must(t, m.MkdirAll(path.Dir(name)))
		must(t, m.WriteFile(name, []byte(content)))
	}
	return m
}

// The rename protocol at every operation: the name always has the old content or the new, until the directory is synced;
// then only the new. Each step left out must show.
func TestCrashRenameProtocol(t *testing.T) {
	oldContent, newContent := rep("o", 700), rep("n", 1300)
	for _, tc := range []struct {
		name            string
		noSync, noDir   bool
		mixed, oldAtEnd bool
	}{
		{name: "whole"},
		{name: "no sync of the file", noSync: true, mixed: true},
		{name: "no sync of the directory", noDir: true, oldAtEnd: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := memWith(t, map[string]string{"db/cur": oldContent})
			m.Record()
			s := script{t, m}
			s.create("db/tmp")
			s.write("db/tmp", newContent, 0)
			if !tc.noSync {
				s.sync("db/tmp")
			}
			s.rename("db/tmp", "db/cur")
			if !tc.noDir {
				s.syncDir("db")
			}
			const seed = 7
			c := m.Crashes(seed, 20)
			var mixed, oldAtEnd bool
			for k := range c.OpCount() + 1 {
				for state := range c.At(k) {
					switch got, ok := get(t, state.FS, "db/cur"); {
					case ok && got == newContent:
					case ok && got == oldContent:
						oldAtEnd = oldAtEnd || k == c.OpCount()
					default:
						mixed = true
					}
				}
			}
			total, distinct := c.Counts()
			t.Logf("%d states, %d distinct", total, distinct)
			if mixed != tc.mixed || oldAtEnd != tc.oldAtEnd {
				t.Errorf("seed %d: mixed %v, want %v; old at the end %v, want %v", seed, mixed, tc.mixed, oldAtEnd, tc.oldAtEnd)
			}
		})
	}
}

func TestCrashTornSectors(t *testing.T) {
	const size, off, n = 2048, 256, 1536 // sectors of 256, 512, 512 and 256 bytes
	m := memWith(t, map[string]string{"a": rep("o", size)})
	m.Record()
	script{t, m}.write("a", rep("n", n), off)
	c := m.Crashes(1, 0)
	got := make(map[string]bool)
	for s := range c.At(1) {
		data, err := s.FS.ReadFile("a")
		must(t, err)
		if len(data) != size || string(data[:off]) != rep("o", off) || string(data[off+n:]) != rep("o", size-off-n) {
			t.Fatalf("%s: touches bytes that the write did not", s.Name)
		}
		var pattern strings.Builder
		for _, sector := range [][2]int{{256, 512}, {512, 1024}, {1024, 1536}, {1536, 1792}} {
			switch p := string(data[sector[0]:sector[1]]); p {
			case rep("o", len(p)), rep("n", len(p)), rep("\x00", len(p)):
				pattern.WriteByte(p[0])
			case junk(len(p)):
				pattern.WriteByte('?')
			default:
				t.Fatalf("%s: half a sector at %d", s.Name, sector[0])
			}
		}
		got[strings.ReplaceAll(pattern.String(), "\x00", "0")] = true
	}
	want := []string{
		"nnnn", "oooo",
		"nooo", "nnoo", "nnno", // a prefix
		"onnn", "oonn", "ooon", // only the later ones
		"0nnn", "n0nn", "nn0n", "nnn0", "?nnn", "n?nn", "nn?n", "nnn?",
	}
	slices.Sort(want)
	if patterns := slices.Sorted(maps.Keys(got)); !slices.Equal(patterns, want) {
		t.Errorf("torn into %q, want %q", patterns, want)
	}
}

func TestCrashTearsAreBounded(t *testing.T) {
	m := memWith(t, map[string]string{"a": ""})
	m.Record()
	script{t, m}.write("a", rep("n", 1<<20), 0)
	c := m.Crashes(1, 0)
	var prefixes []int
	for s := range c.At(1) {
		if size, err := s.FS.Size("a"); err != nil {
			t.Fatal(err)
		} else if strings.HasSuffix(s.Name, "and all after lost") {
			prefixes = append(prefixes, int(size))
		}
	}
	// The first sector's tear leaves nothing, which is "synced" over again.
	if len(prefixes) != maxTears-1 || !slices.Contains(prefixes, 1<<20-512) {
		t.Errorf("torn to lengths %d", prefixes)
	}
}

// A sync that failed leaves its writes in doubt for ever, whatever later syncs say; what is written afterwards is not.
func TestCrashFailedSync(t *testing.T) {
	m := memWith(t, map[string]string{"a": "...."})
	m.Record()
	f := NewFault(m)
	s := script{t, f}
	s.with("a", func(file vfs.File) error {
		write(t, file, "1", 0)
		f.Inject(FailNth(OpSync, "", 1, syscall.EIO))
		wantErr(t, "sync", file.Sync(), syscall.EIO)
		must(t, file.Sync())
		write(t, file, "2", 1)
		return file.SyncData()
	})
	s.create("b")
	f.Inject(FailNth(OpSyncDir, "", 1, syscall.EIO))
	wantErr(t, "syncdir", f.SyncDir("."), syscall.EIO)
	s.syncDir(".")
	s.create("c")
	s.syncDir(".")
	c := m.Crashes(1, 0)
	got := statesAt(c, c.OpCount())
	for _, want := range []string{"a=12.. b= c=", "a=.2.. c=", "a=12.. c=", "a=.2.. b= c="} {
		if _, ok := got[want]; !ok {
			t.Errorf("no state %q", want)
		}
	}
	for state, name := range got {
		if !strings.Contains(state, "2..") || !strings.Contains(state, "c=") {
			t.Errorf("%s lost what was synced after the failure: %q", name, state)
		}
	}
}

// A random script replayed: at every operation "all" is what the script had then, and every state keeps what was synced.
func TestCrashRandomScripts(t *testing.T) {
	for seed := uint64(0); seed < 16; seed += uint64(Step(4)) {
		rng := rand.New(rand.NewPCG(seed, 1))
		m := NewMem()
		m.Record()
		live := []*Mem{m.Clone()}
		synced := []map[string]string{{}} // by operation, the files that must be there whatever happens
		for len(live) < 120 {
			before := m.OpCount()
			sure := randomOp(t, m, rng, maps.Clone(synced[before]))
			for len(live) < m.OpCount() { // within the step of several operations there was nobody to look
				live, synced = append(live, nil), append(synced, synced[before])
			}
			if m.OpCount() > before {
				live, synced = append(live, m.Clone()), append(synced, sure)
			}
		}
		c, again := m.Crashes(seed, 5), m.Crashes(seed, 5)
		for _, k := range rng.Perm(c.OpCount() + 1)[:40] {
			var hashes, names []string
			for s := range c.At(k) {
				if s.Name == "all" && live[k] != nil {
					if d := live[k].Diff(s.FS); len(d) > 0 {
						t.Fatalf("seed %d: all of the first %d operations differs in %q", seed, k, d)
					}
				}
				for name, want := range synced[k] {
					if got, ok := get(t, s.FS, name); !ok || got != want {
						t.Fatalf("seed %d: %s after %d operations lost %s", seed, s.Name, k, name)
					}
				}
				hashes, names = append(hashes, fmt.Sprint(s.FS.hash())), append(names, s.Name)
			}
			i := 0
			for s := range again.At(k) {
				if hashes[i] != fmt.Sprint(s.FS.hash()) || names[i] != s.Name {
					t.Fatalf("seed %d: state %d after %d operations is %q, and %q the second time", seed, i, k, names[i], s.Name)
				}
				i++
			}
		}
		if total, distinct := c.Counts(); distinct < 100 || total <= distinct {
			t.Errorf("seed %d: %d states, %d distinct", seed, total, distinct)
		}
	}
}

// randomOp does one operation. It returns what sure becomes: the files that are synced, name and content, and have not
// been touched since.
func randomOp(t *testing.T, m *Mem, rng *rand.Rand, sure map[string]string) map[string]string {
	t.Helper()
	s := script{t, m}
	names := []string{"a", "b", "c", "d/a", "d/b", "d/e/a"}
	name, other := names[rng.IntN(len(names))], names[rng.IntN(len(names))]
	there := func(name string) bool { return second(m.Size(name)) == nil }
	switch op := rng.IntN(10); {
	case op == 0:
		s.mkdir("d/e")
	case op == 1 && there(name) && there(path.Dir(other)):
		delete(sure, name)
		delete(sure, other)
		s.rename(name, other)
	case op == 2 && there(name):
		delete(sure, name)
		s.remove(name)
	case op == 3 && there(name) && !there(other) && there(path.Dir(other)):
		delete(sure, name) // a write by the other name would change it
		s.link(name, other)
	case op == 4 && there(name):
		sure = map[string]string{} // it may be a second name of any
		s.truncate(name, rng.Int64N(1500))
	case op == 5 && there(name):
		s.syncData(name)
		for dir := name; dir != "."; {
			dir = path.Dir(dir)
			s.syncDir(dir)
		}
		sure[name], _ = get(t, m, name)
	case op >= 6 && there(name):
		sure = map[string]string{}
		s.write(name, rep(string(rune('A'+rng.IntN(26))), 1+rng.IntN(1500)), rng.Int64N(1500))
	case op >= 6 && there(path.Dir(name)):
		s.create(name)
	}
	return sure
}

// States and clones are independent of one another and of what they came from.
func TestCrashStatesAreIndependent(t *testing.T) {
	m := memWith(t, map[string]string{"a": "hello", "b": "world"})
	must(t, m.Link("a", "c"))
	m.Record()
	s := script{t, m}
	s.write("b", "W", 0)
	l, err := m.Lock("LOCK")
	must(t, err)
	defer l.Close()
	c := m.Crashes(1, 0)
	var states []*Mem
	for state := range c.At(c.OpCount()) {
		states = append(states, state.FS, state.FS.Clone())
	}
	before := make([]string, len(states))
	for i, state := range states {
		before[i] = tree(state)
	}
	for i, state := range states {
		if tree(state) != before[i] {
			t.Errorf("state %d changed with another", i)
		}
		script{t, state}.write("a", "J", 0)
		wantContent(t, state, "c", "Jello") // still one file
		script{t, state}.create("new")
		l, err := state.Lock("LOCK")
		if err != nil {
			t.Errorf("state %d is locked: %v", i, err)
		} else {
			must(t, l.Close())
		}
	}
	wantContent(t, m, "a", "hello")
	wantContent(t, m, "b", "World")
}

func TestCrashOfRecovery(t *testing.T) {
	m := memWith(t, map[string]string{"a": ""})
	m.Record()
	script{t, m}.write("a", "one", 0)
	first := m.Crashes(1, 0)
	for s := range first.At(1) {
		before := tree(s.FS)
		s.FS.Record()
		script{t, s.FS}.write("a", "two", 3)
		if n := s.FS.OpCount(); n != 1 || s.FS.OpString(0) != "#0 write a [3,6)" {
			t.Fatalf("recorded %d operations, the first %q", n, s.FS.OpString(0))
		}
		second := s.FS.Crashes(1, 0)
		if states := statesAt(second, 0); len(states) != 1 || states[before] == "" {
			t.Errorf("before the first operation: %q, want %q", states, before)
		}
		if states := statesAt(second, 1); states[before] != "synced" || states[tree(s.FS)] != "all" {
			t.Errorf("after it: %q", states)
		}
	}
}

func TestMemInspection(t *testing.T) {
	m := memWith(t, map[string]string{"a": "hello", "d/b": "world", "d/e/c": ""})
	same := m.Clone()
	if d := m.Diff(same); len(d) != 0 {
		t.Errorf("a clone differs in %q", d)
	}
	must(t, same.Corrupt("a", 4, 0x01))
	must(t, same.Remove("d/e/c"))
	must(t, same.Remove("d/e"))
	must(t, same.WriteFile("d/f", nil))
	want := []string{"a", "d/e", "d/e/c", "d/f"}
	if d := m.Diff(same); !slices.Equal(d, want) {
		t.Errorf("differs in %q, want %q", d, want)
	}
	if d := same.Diff(m); !slices.Equal(d, want) {
		t.Errorf("the other way round differs in %q, want %q", d, want)
	}
	if got, err := same.ReadFile("a"); string(got) != "helln" || err != nil {
		t.Errorf("corrupted to %q, %v", got, err)
	}
	wantContent(t, m, "a", "hello")
	for _, off := range []int64{-1, 5} {
		if err := m.Corrupt("a", off, 1); err == nil {
			t.Errorf("corrupting byte %d: no error", off)
		}
	}
	if m.hash() == same.hash() || m.hash() != m.Clone().hash() {
		t.Error("hashes do not follow the content")
	}
	if _, err := m.ReadFile("none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("reading nothing: %v", err)
	}
}

// What is gone for good leaves nothing pending, so that a long script does not slow down with every file it removes.
func TestCrashForgetsRemovedFiles(t *testing.T) {
	m := NewMem()
	m.Record()
	s := script{t, m}
	s.create("a")
	s.write("a", "unsynced", 0)
	s.remove("a")
	s.syncDir(".")
	c := m.Crashes(1, 10)
	states := statesAt(c, c.OpCount())
	if total, _ := c.Counts(); total != 1 || states[""] != "all" {
		t.Errorf("%d states built, among them %q", total, states)
	}
}

// The recording keeps the bytes as they were at the write.
func TestRecordCopiesData(t *testing.T) {
	m := memWith(t, map[string]string{"a": ""})
	m.Record()
	f, err := m.OpenWrite("a")
	must(t, err)
	defer f.Close()
	p := []byte("one")
	must(t, second(f.WriteAt(p, 0)))
	copy(p, "two")
	wantContent(t, m, "a", "one")
	if states := statesAt(m.Crashes(1, 0), 1); states["a=one"] != "all" {
		t.Errorf("states %q", states)
	}
}

// A mapping of Mem is not there after Close, as one of the system is not.
func TestMemMapEndsAtClose(t *testing.T) {
	m := memWith(t, map[string]string{"a": "hello"})
	f, err := m.Open("a")
	must(t, err)
	mem, err := f.Map()
	must(t, err)
	must(t, f.Close())
	if string(mem) == "hello" {
		t.Error("the mapping can still be read")
	}
	wantContent(t, m, "a", "hello")
}
