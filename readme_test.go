package ebb_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ebbdb/ebb"
	"github.com/ebbdb/ebb/codec"
)

// The functions with names of the form readme... are what README shows, and compile: TestReadme holds both to each other.

func readmeSessions(token []byte) error {
	db, err := ebb.Open("sessions", nil) // every write is on the disk when it returns
	if err != nil {
		return err
	}
	defer db.Close()
	if err := db.Put([]byte("session:1"), token, ebb.TTL(30*time.Minute)); err != nil {
		return err
	}
	user, err := db.Get([]byte("session:1")) // ebb.ErrNotFound once it has expired
	if err == nil {
		user, err = db.GetTouch([]byte("session:1"), 30*time.Minute) // and it lives for another half hour
	}
	if err != nil {
		return err
	}
	for entry, err := range db.Range(&ebb.IterOptions{Prefix: []byte("session:")}) {
		if err != nil {
			return err
		}
		fmt.Printf("%s = %s, the last user %s\n", entry.Key, entry.Value, user)
	}
	return err
}

type User struct{ Name string }

func readmeTyped(db *ebb.DB) error {
	users := ebb.NewTyped(db, []byte("user/"), codec.Uint64(), codec.JSON[User]())
	if err := users.Put(7, User{Name: "Alice"}, ebb.TTL(time.Hour)); err != nil {
		return err
	}
	alice, err := users.Get(7)
	if err != nil {
		return err
	}
	for entry, err := range users.Range(users.From(5)) {
		if err != nil {
			return err
		}
		fmt.Println(entry.Key, entry.Value.Name, alice)
	}
	return err
}

// TestReadme checks that every Go snippet of README is the body of one of the functions above, all but its last return.
func TestReadme(t *testing.T) {
	var _, _ = readmeSessions, readmeTyped
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("readme_test.go")
	if err != nil {
		t.Fatal(err)
	}
	bodies := make(map[string]bool)
	for _, m := range regexp.MustCompile(`(?ms)^func readme\w+\(.*?\{\n(.*?)\treturn err\n\}`).FindAllSubmatch(source, -1) {
		bodies[strings.ReplaceAll("\n"+string(m[1]), "\n\t", "\n")] = true
	}
	snippets := regexp.MustCompile("(?s)```go(\n.*?)```").FindAllSubmatch(readme, -1)
	if len(snippets) != len(bodies) || len(bodies) == 0 {
		t.Errorf("%d snippets, and %d functions", len(snippets), len(bodies))
	}
	for _, m := range snippets {
		if !bodies[string(m[1])] {
			t.Errorf("not the body of a function here:\n%s", m[1])
		}
	}
}

// TestTestsDocumented checks that every test which docs/TESTING.md names is there, in the package that it names.
func TestTestsDocumented(t *testing.T) {
	doc, err := os.ReadFile("docs/TESTING.md")
	if err != nil {
		t.Fatal(err)
	}
	sources := make(map[string]string) // by package
	pkg, named := "", 0
	for _, word := range regexp.MustCompile("`\\.(?:/[a-z/]+)?`|\\bTest[A-Z]\\w+|\\n\\|").FindAllString(string(doc), -1) {
		switch {
		case word == "\n|":
			pkg = ""
		case word[0] == '`':
			if pkg = strings.Trim(word, "`"); sources[pkg] != "" {
				continue
			}
			files, err := filepath.Glob(filepath.Join(pkg, "*_test.go"))
			if err != nil || len(files) == 0 {
				t.Fatalf("no tests in %s: %v", pkg, err)
			}
			for _, f := range files {
				text, err := os.ReadFile(f)
				if err != nil {
					t.Fatal(err)
				}
				sources[pkg] += string(text)
			}
		case pkg != "":
			named++
			if !strings.Contains(sources[pkg], "\nfunc "+word+"(t *testing.T) {") {
				t.Errorf("there is no %s in %s", word, pkg)
			}
		}
	}
	if named < 50 {
		t.Errorf("only %d tests are named", named)
	}
}
