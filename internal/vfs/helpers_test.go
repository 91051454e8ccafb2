package vfs

import (
	"errors"
	"os"
	"testing"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got error %v, want %v", what, err, want)
	}
}

// put makes a file with a content.
func put(t *testing.T, name, content string) {
	t.Helper()
	f, err := OS.Create(name)
	must(t, err)
	write(t, f, content, 0)
	must(t, f.Close())
}

func write(t *testing.T, f File, content string, off int64) {
	t.Helper()
	if n, err := f.WriteAt([]byte(content), off); n != len(content) || err != nil {
		t.Fatalf("write at %d: %d, %v", off, n, err)
	}
}

func wantContent(t *testing.T, name, want string) {
	t.Helper()
	if got, err := os.ReadFile(name); string(got) != want || err != nil {
		t.Errorf("%s holds %q, %v, want %q", name, got, err, want)
	}
}

func second[T any](_ T, err error) error { return err }
