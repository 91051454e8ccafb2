package vfs

import (
	"bufio"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"testing"
)

func TestOSModes(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no mode bits")
	}
	dir := t.TempDir()
	must(t, OS.MkdirAll(dir+"/d/e"))
	put(t, dir+"/d/a", "")
	l, err := OS.Lock(dir + "/d/LOCK")
	must(t, err)
	defer l.Close()
	for _, c := range []struct {
		name string
		want fs.FileMode
	}{{"/d", 0o700}, {"/d/e", 0o700}, {"/d/a", 0o600}, {"/d/LOCK", 0o600}} {
		t.Run(c.name, func(t *testing.T) {
			info, err := os.Stat(dir + c.name)
			must(t, err)
			if got := info.Mode().Perm(); got != c.want {
				t.Errorf("%s has mode %o, want %o", c.name, got, c.want)
			}
		})
	}
}

func TestNoSpace(t *testing.T) {
	for _, tc := range []struct {
		name string
		err  error
		want bool
	}{
		{"ENOSPC", syscall.ENOSPC, true},
		{"wrapped", &fs.PathError{Op: "write", Path: "a", Err: syscall.ENOSPC}, true},
		{"EIO", syscall.EIO, false},
		{"nil", nil, false},
	} {
		if got := NoSpace(tc.err); got != tc.want {
			t.Errorf("%s: %v", tc.name, got)
		}
	}
}

// lockHolderEnv makes the test binary a process that holds the lock it names until its input ends.
const lockHolderEnv = "VFS_TEST_LOCK"

func TestLockHolder(t *testing.T) {
	name := os.Getenv(lockHolderEnv)
	if name == "" {
		t.Skip("runs only as a child of TestLockOtherProcess")
	}
	l, err := OS.Lock(name)
	must(t, err)
	os.Stdout.WriteString("locked\n")
	bufio.NewReader(os.Stdin).ReadString('\n')
	must(t, l.Close())
}

func TestLockOtherProcess(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "LOCK")
	must(t, os.WriteFile(name, []byte("left by a much longer owner"), 0o600))
	child := exec.Command(os.Args[0], "-test.run=^TestLockHolder$")
	child.Env = append(os.Environ(), lockHolderEnv+"="+name)
	in, err := child.StdinPipe()
	must(t, err)
	out, err := child.StdoutPipe()
	must(t, err)
	must(t, child.Start())
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "locked\n" {
		t.Fatalf("the child said %q, %v", line, err)
	}
	_, err = OS.Lock(name)
	var locked *LockedError
	if !errors.As(err, &locked) || locked.PID != child.Process.Pid || !errors.Is(err, ErrLocked) {
		t.Errorf("got %v, want locked by %d", err, child.Process.Pid)
	}
	wantOwner(t, name, child.Process.Pid, true)
	// The lock goes with the process, however it ends.
	must(t, child.Process.Kill())
	_ = child.Wait()
	in.Close()
	wantOwner(t, name, child.Process.Pid, false)
	l, err := OS.Lock(name)
	must(t, err)
	wantOwner(t, name, os.Getpid(), true)
	wantErr(t, "lock after it was asked for", second(OS.Lock(name)), ErrLocked)
	must(t, l.Close())
	wantOwner(t, name, os.Getpid(), false)
	l, err = OS.Lock(name)
	must(t, err)
	must(t, l.Close())
	_, _, err = LockOwner(filepath.Join(dir, "NONE"))
	wantErr(t, "owner by no lock file", err, fs.ErrNotExist)
	_, _, err = LockOwner(dir)
	wantErr(t, "owner by a directory", err, errNotRegular)
}

func wantOwner(t *testing.T, name string, pid int, held bool) {
	t.Helper()
	if p, h, err := LockOwner(name); p != pid || h != held || err != nil {
		t.Errorf("the owner is %d, %v, %v, want %d, %v", p, h, err, pid, held)
	}
}

func TestLockSpellings(t *testing.T) {
	dir := t.TempDir()
	must(t, OS.MkdirAll(dir+"/db"))
	if err := os.Symlink(dir+"/db", dir+"/alias"); err != nil {
		t.Skipf("no symbolic links: %v", err)
	}
	l, err := OS.Lock(dir + "/db/LOCK")
	must(t, err)
	for _, name := range []string{"/db/LOCK", "/alias/LOCK", "/db/../alias/./LOCK"} {
		_, err := OS.Lock(dir + name)
		wantErr(t, name, err, ErrLocked)
	}
	must(t, l.Close())
	l, err = OS.Lock(dir + "/alias/LOCK")
	must(t, err)
	_, err = OS.Lock(dir + "/db/LOCK")
	wantErr(t, "the first spelling", err, ErrLocked)
	must(t, l.Close())
}

func TestLockErrorText(t *testing.T) {
	for _, tc := range []struct {
		err  LockedError
		want string
	}{
		{LockedError{Name: "db/LOCK"}, "vfs: db/LOCK is locked"},
		{LockedError{Name: "db/LOCK", PID: 7}, "vfs: db/LOCK is locked by process 7"},
	} {
		if got := tc.err.Error(); got != tc.want {
			t.Errorf("got %q, want %q", got, tc.want)
		}
	}
}

// mappedFile returns a file of a size with mapped writes up to a limit, and its name.
func mappedFile(t testing.TB, size, limit int64) (File, string) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "mapped")
	f, err := OS.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	if err := f.MapWrites(limit); err == ErrNotSupported {
		t.Skip("no mapped writes here")
	} else if err != nil {
		t.Fatal(err)
	}
	return f, name
}

// The file is cut behind the File's back, so that the write is taken for a mapped one.
func TestMappedWriteFault(t *testing.T) {
	f, name := mappedFile(t, 1<<16, 1<<16)
	write(t, f, "before", 1<<15)
	must(t, os.Truncate(name, 0))
	n, err := f.WriteAt([]byte("x"), 1<<15)
	wantErr(t, "write into a page that is gone", err, ErrFault)
	wantFaultsFatal(t)
	if n != 0 {
		t.Errorf("%d bytes written", n)
	}
	var pathErr *fs.PathError
	if !errors.As(err, &pathErr) || pathErr.Path != name {
		t.Errorf("error does not name the file: %v", err)
	}
	must(t, os.Truncate(name, 1<<16))
	write(t, f, "after", 1<<15)
	wantContent(t, name, strings.Repeat("\x00", 1<<15)+"after"+strings.Repeat("\x00", 1<<15-5))
}

// The length that decides between copy and system call follows the file.
func TestMappedLength(t *testing.T) {
	f, _ := mappedFile(t, 100, 1<<16)
	length := &f.(*osFile).length
	for _, step := range []struct {
		name string
		do   func() error
		want int64
	}{
		{"mapped", func() error { return nil }, 100},
		{"write inside", func() error { return second(f.WriteAt(make([]byte, 10), 50)) }, 100},
		{"write over the end", func() error { return second(f.WriteAt(make([]byte, 10), 95)) }, 105},
		{"write past the limit", func() error { return second(f.WriteAt(make([]byte, 10), 1<<17)) }, 1<<17 + 10},
		{"write inside, past the limit", func() error { return second(f.WriteAt(make([]byte, 10), 1<<17-100)) }, 1<<17 + 10},
		{"truncate", func() error { return f.Truncate(50) }, 50},
		{"extend", func() error { return f.Truncate(150) }, 150},
	} {
		must(t, step.do())
		size, err := f.Size()
		must(t, err)
		if got := length.Load(); got != step.want || size != step.want {
			t.Errorf("%s: length known %d, true %d, want %d", step.name, got, size, step.want)
		}
	}
	// A truncation that fails may leave the length too low, never too high.
	if err := f.Truncate(-1); err == nil || length.Load() > 150 {
		t.Errorf("failed truncation: error %v, length %d", err, length.Load())
	}
	write(t, f, "x", 140)
}

// wantFaultsFatal checks that a guard has put back how the goroutine takes a fault.
func wantFaultsFatal(t *testing.T) {
	t.Helper()
	if debug.SetPanicOnFault(false) {
		t.Error("faults of this goroutine still panic")
	}
}

func TestReadFault(t *testing.T) {
	name := filepath.Join(t.TempDir(), "a")
	put(t, name, strings.Repeat("x", 1<<16))
	f, err := OS.Open(name)
	must(t, err)
	mem, err := f.Map()
	if err == ErrNotSupported {
		t.Skip("no mappings here")
	}
	must(t, err)
	var b byte
	must(t, Guard(func() { b = mem[1<<15] }))
	if b != 'x' {
		t.Errorf("mapped byte is %q", b)
	}
	must(t, os.Truncate(name, 0))
	wantFaultsFatal(t)
	wantErr(t, "read of a file cut short", Guard(func() { b = mem[1<<15] }), ErrFault)
	wantFaultsFatal(t)
	must(t, f.Close())
}

func TestGuardPassesPanics(t *testing.T) {
	var none *int
	for _, tc := range []struct {
		name string
		fn   func()
	}{
		{"value", func() { panic("mine") }},
		{"error", func() { panic(ErrNotSupported) }},
		{"nil pointer", func() { *none = 1 }},
		{"index", func() { _ = make([]int, 1)[len(tcIndex)] }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("the panic was swallowed")
				}
			}()
			err := Guard(tc.fn)
			t.Errorf("Guard returned %v", err)
		})
	}
}

const tcIndex = "longer than one"

// Zeroing runs ahead of the mapped writer, past the length that the file had when it was mapped.
func TestMappedWritesBehindZeroing(t *testing.T) {
	const step, steps = 8192, 64
	f, name := mappedFile(t, step, step*steps)
	var wg sync.WaitGroup
	ahead := make(chan int64, steps)
	wg.Go(func() {
		defer close(ahead)
		zeros := make([]byte, step)
		ahead <- step
		for i := int64(1); i < steps; i++ {
			if _, err := f.WriteAt(zeros, i*step); err != nil {
				t.Errorf("zeroing step %d: %v", i, err)
				return
			}
			ahead <- (i + 1) * step
		}
	})
	record := []byte("a record of 32 bytes, written ..")
	var off int64
	for end := range ahead {
		for ; off < end; off += int64(len(record)) {
			if _, err := f.WriteAt(record, off); err != nil {
				t.Fatalf("write at %d: %v", off, err)
			}
		}
	}
	wg.Wait()
	wantContent(t, name, strings.Repeat(string(record), step*steps/len(record)))
}

func TestAllocs(t *testing.T) {
	f, _ := mappedFile(t, 1<<16, 1<<16)
	plain, err := OS.Create(filepath.Join(t.TempDir(), "plain"))
	must(t, err)
	defer plain.Close()
	p, sum, mem := make([]byte, 128), 0, make([]byte, 100)
	for _, tc := range []struct {
		name string
		fn   func()
	}{
		{"mapped write", func() { _, err = f.WriteAt(p, 4096) }},
		{"plain write", func() { _, err = plain.WriteAt(p, 4096) }},
		{"read", func() { _, err = f.ReadAt(p, 4096) }},
		{"guard", func() { err = Guard(func() { sum += int(mem[10]) }) }},
	} {
		if n := testing.AllocsPerRun(100, tc.fn); n != 0 || err != nil {
			t.Errorf("%s: %v allocations, error %v", tc.name, n, err)
		}
	}
}
