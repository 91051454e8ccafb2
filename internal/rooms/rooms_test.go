// Package rooms holds the structure of the code to what docs/ARCHITECTURE.md says of it. It has tests only.
package rooms

import (
	"go/ast"
	"go/build"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// What the root package has at most. The figures go down, and a change that needs more says why
// in its commit: what they are to be is 45 files, a knot of 7, 45 methods, some 14 fields.
const (
	maxFiles     = 55
	maxKnot      = 3  // files that all reach one another
	maxDBMethods = 42 // unexported methods of *DB
	maxDBFields  = 18

	rootImportPath = "github.com/ebbdb/ebb"
)

// What any file of the core has at most.
const (
	maxFileLines  = 400
	maxFuncLines  = 60
	maxLineLength = 130
)

// source is the root package, type-checked, without its tests.
type source struct {
	fset  *token.FileSet
	files []*ast.File
	info  types.Info
	pkg   *types.Package
}

func load(t *testing.T) *source {
	t.Helper()
	root := filepath.Join("..", "..")
	dir, err := build.ImportDir(root, 0)
	if err != nil {
		t.Fatal(err)
	}
	s := &source{fset: token.NewFileSet()}
	for _, name := range dir.GoFiles {
		f, err := parser.ParseFile(s.fset, filepath.Join(root, name), nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		s.files = append(s.files, f)
	}
	s.info = types.Info{
		Uses:       make(map[*ast.Ident]types.Object),
		Selections: make(map[*ast.SelectorExpr]*types.Selection),
	}
	c := types.Config{Importer: importer.ForCompiler(s.fset, "source", nil)}
	if s.pkg, err = c.Check(rootImportPath, s.fset, s.files, &s.info); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *source) file(p token.Pos) string { return filepath.Base(s.fset.Position(p).Filename) }

// arrows returns which files each file reaches: those that define what it uses. The name DB does not count, which every file
// uses.
func (s *source) arrows() map[string]map[string]bool {
	arrows := make(map[string]map[string]bool)
	for _, f := range s.files {
		arrows[s.file(f.Pos())] = make(map[string]bool)
	}
	db := s.pkg.Scope().Lookup("DB")
	for id, obj := range s.info.Uses {
		if obj.Pkg() != s.pkg || obj == db || !obj.Pos().IsValid() {
			continue
		}
		if from, to := s.file(id.Pos()), s.file(obj.Pos()); from != to {
			arrows[from][to] = true
		}
	}
	return arrows
}

// knot returns the largest set of nodes that all reach one another (Tarjan, "Depth-first search and linear graph
// algorithms", 1972).
func knot(arrows map[string]map[string]bool) []string {
	var (
		stack, largest []string
		index          = make(map[string]int)
		low            = make(map[string]int)
		visit          func(string)
	)
	visit = func(n string) {
		index[n] = len(index) + 1
		low[n] = index[n]
		stack = append(stack, n)
		for m := range arrows[n] {
			if index[m] == 0 {
				visit(m)
				low[n] = min(low[n], low[m])
			} else if slices.Contains(stack, m) {
				low[n] = min(low[n], index[m])
			}
		}
		if low[n] != index[n] {
			return
		}
		at := slices.Index(stack, n)
		if len(stack)-at > len(largest) {
			largest = slices.Clone(stack[at:])
		}
		stack = stack[:at]
	}
	for n := range arrows {
		if index[n] == 0 {
			visit(n)
		}
	}
	slices.Sort(largest)
	return largest
}

func TestKnot(t *testing.T) {
	graph := func(edges ...string) map[string]map[string]bool {
		g := make(map[string]map[string]bool)
		for _, e := range edges {
			from, to, _ := strings.Cut(e, ">")
			for _, n := range []string{from, to} {
				if g[n] == nil {
					g[n] = make(map[string]bool)
				}
			}
			g[from][to] = true
		}
		return g
	}
	for _, c := range []struct {
		edges []string
		want  string
	}{
		{[]string{"a>b", "b>c"}, ""},
		{[]string{"a>b", "b>a", "b>c"}, "a b"},
		{[]string{"a>b", "b>c", "c>a", "c>d", "d>e", "e>d", "f>a"}, "a b c"},
		{[]string{"a>b", "b>c", "c>d", "d>b", "b>a"}, "a b c d"},
	} {
		got := knot(graph(c.edges...))
		if c.want == "" && len(got) == 1 {
			continue
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%v: %v, not %s", c.edges, got, c.want)
		}
	}
}

// TestRoot holds the root package to its limits.
func TestRoot(t *testing.T) {
	s := load(t)
	arrows := s.arrows()
	count := 0
	for _, to := range arrows {
		count += len(to)
	}
	k := knot(arrows)
	db := s.pkg.Scope().Lookup("DB").Type()
	methods := 0
	for m := range db.(*types.Named).Methods() {
		if !m.Exported() {
			methods++
		}
	}
	fields := db.Underlying().(*types.Struct).NumFields()
	t.Logf("%d files, %d arrows, a knot of %d, %d unexported methods and %d fields of DB",
		len(s.files), count, len(k), methods, fields)
	for _, c := range []struct {
		what     string
		got, max int
	}{
		{"files", len(s.files), maxFiles}, {"files in the knot", len(k), maxKnot},
		{"unexported methods of DB", methods, maxDBMethods}, {"fields of DB", fields, maxDBFields},
	} {
		if c.got > c.max {
			t.Errorf("%d %s, at most %d are allowed", c.got, c.what, c.max)
		}
	}
	if len(k) > maxKnot {
		t.Logf("the knot: %s", strings.Join(k, " "))
	}
}

// TestSizes holds every file of the core, but for tests, to the sizes above, and away from the file systems of tests.
func TestSizes(t *testing.T) {
	root := filepath.Join("..", "..")
	fset := token.NewFileSet()
	files := 0
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != root && (d.Name()[0] == '.' || nested(name)):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		files++
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		lines := strings.Split(string(text), "\n")
		if n := len(lines) - 1; n > maxFileLines {
			t.Errorf("%s has %d lines", name, n)
		}
		for i, line := range lines {
			if n := utf8.RuneCountInString(line); n > maxLineLength {
				t.Errorf("%s:%d: %d characters", name, i+1, n)
			}
		}
		f, err := parser.ParseFile(fset, name, text, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, imp := range f.Imports {
			if strings.HasSuffix(imp.Path.Value, `/vfstest"`) {
				t.Errorf("%s imports %s, which is for tests", name, imp.Path.Value)
			}
		}
		for _, decl := range f.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok {
				if n := fset.Position(fn.End()).Line - fset.Position(fn.Pos()).Line + 1; n > maxFuncLines {
					t.Errorf("%s: %s has %d lines", name, fn.Name.Name, n)
				}
			}
		}
		return nil
	})
	if err != nil || files < 100 {
		t.Errorf("%d files, %v", files, err)
	}
}

// nested reports whether a directory is a module of its own.
func nested(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil
}
