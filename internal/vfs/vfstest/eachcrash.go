package vfstest

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"regexp"
	"runtime/debug"
	"strings"
	"testing"
)

var (
	crashSeed   = flag.Uint64("crashseed", 1, "seed of the random crash states")
	crashRandom = flag.Int("crashrandom", -1, "random crash states at each operation; as many as each test asks for if negative")
)

// defaultRandom is how many random states are tried at each operation unless a test or the flag says otherwise.
const defaultRandom = 2

// CrashPoints says which crashes of a recording are tried. The zero value is all states of a crash after any number of
// operations.
type CrashPoints struct {
	From   int // the first crash is after so many operations
	Step   int // operations from one crash to the next; 0 is 1
	OneIn  int // of all states before the end one in so many is tried, chosen by the seed; 0 is 1
	Random int // random states of each crash, beside the systematic ones; 0 is 2, and a negative number none
}

// Crash is a file system as a crash may have left it.
type Crash struct {
	CrashState
	Op   int  // the crash came after so many operations of the recording
	Last bool // which were all that it has

	skipped bool
}

// Killed reports whether the state is the one that the death of the process alone leaves: the system has written everything.
func (c *Crash) Killed() bool { return c.Name == "all" }

// Tried remembers crash states that were tried, and what each was held against. Most states that a crash may leave after one
// operation it may leave after the next as well, and recoveries from different crashes leave the same: a check that depends on
// nothing but the state and what it is held against finds nothing new in them. The zero value has tried none.
type Tried struct {
	states map[triedState]bool
}

type triedState struct {
	sum     uint64
	against any
}

// Before reports whether the state of a crash was tried before against the same, which must be comparable and all that the
// check knows of the crash beside its state. It is to be asked before the check changes the state.
func (t *Tried) Before(c *Crash, against any) bool {
	if t.states == nil {
		t.states = make(map[triedState]bool)
	}
	s := triedState{c.sum, against}
	c.skipped = t.states[s]
	t.states[s] = true
	return c.skipped
}

// shortOneIn is the OneIn of long recordings with -short.
const shortOneIn = 24

// gcPercent lets garbage collections be rarer while crash states are tried: next to nothing of one is kept, and a fifth of the
// time would go to collecting a heap of a few megabytes again and again.
const gcPercent = 400

// Step returns 1, or with -short what it is given: how far it is from one case to the next in a test that goes through many,
// one after another. CI runs the race detector so, which takes ten times as long and finds nothing in one goroutine.
func Step(short int) int {
	if testing.Short() {
		return short
	}
	return 1
}

// EachCrash calls check with crashes of what mem has recorded, and fails the test at once where check returns an error, with
// where that was and how to run it again. The file systems belong to check. If check ends the test itself, it is logged in
// which crash that was. With -short one in 24 of the states is tried unless points say otherwise or there are few crashes.
func EachCrash(t testing.TB, mem *Mem, points CrashPoints, check func(c *Crash) error) {
	t.Helper()
	defer debug.SetGCPercent(debug.SetGCPercent(gcPercent))
	var in *Crash
	defer func() {
		if in != nil {
			t.Logf("%s\n%s", describeCrash(mem, in), runAgain(t.Name()))
		}
	}()
	crashes := mem.Crashes(*crashSeed, points.random())
	if testing.Short() && points.OneIn == 0 && crashes.OpCount()-points.From > 10*shortOneIn {
		points.OneIn = shortOneIn
	}
	tried := 0
	err := points.each(crashes, func(c *Crash) error {
		in = c
		err := check(c)
		in = nil
		if !c.skipped {
			tried++
		}
		if err != nil {
			err = fmt.Errorf("%s: %w", describeCrash(mem, c), err)
		}
		return err
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, runAgain(t.Name()))
	}
	total, distinct := crashes.Counts()
	t.Logf("%d operations, %d crash states, %d distinct, %d tried", crashes.OpCount(), total, distinct, tried)
}

// TryCrashes is EachCrash for a check within a check, of a crash of the recovery from a crash: it returns the first error.
func TryCrashes(mem *Mem, points CrashPoints, check func(c *Crash) error) error {
	return points.each(mem.Crashes(*crashSeed, points.random()), func(c *Crash) error {
		if err := check(c); err != nil {
			return fmt.Errorf("%s: %w", describeCrash(mem, c), err)
		}
		return nil
	})
}

func (p CrashPoints) random() int {
	switch {
	case *crashRandom >= 0:
		return *crashRandom
	case p.Random == 0:
		return defaultRandom
	}
	return max(p.Random, 0)
}

func (p CrashPoints) each(crashes *Crasher, try func(c *Crash) error) error {
	oneIn := max(p.OneIn, 1)
	for k := p.From; k <= crashes.OpCount(); k += max(p.Step, 1) {
		choice := rand.New(rand.NewPCG(crashes.seed, uint64(k)))
		for state := range crashes.At(k) {
			if choice.IntN(oneIn) != 0 && k < crashes.OpCount() {
				continue
			}
			if err := try(&Crash{CrashState: state, Op: k, Last: k == crashes.OpCount()}); err != nil {
				return err
			}
		}
	}
	return nil
}

func describeCrash(mem *Mem, c *Crash) string {
	if c.Op == 0 {
		return "crash before any operation, " + c.Name
	}
	return fmt.Sprintf("crash after operation %s, %s", mem.OpString(c.Op-1), c.Name)
}

// runAgain returns the command that repeats a test with its random states.
func runAgain(name string) string {
	levels := strings.Split(name, "/")
	for i, level := range levels {
		levels[i] = "^" + regexp.QuoteMeta(level) + "$"
	}
	again := fmt.Sprintf("go test -run '%s' -crashseed=%d", strings.Join(levels, "/"), *crashSeed)
	if *crashRandom >= 0 {
		again += fmt.Sprintf(" -crashrandom=%d", *crashRandom)
	}
	if testing.Short() {
		again += " -short"
	}
	return "again: " + again
}
