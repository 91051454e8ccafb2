package copies

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// gate is a reader that lets one read through for each value sent.
type gate struct {
	asked chan struct{} // a read has begun
	open  chan int      // how many bytes it gets
}

func (g gate) Read(p []byte) (int, error) {
	g.asked <- struct{}{}
	n, ok := <-g.open
	if !ok {
		return 0, io.EOF
	}
	return copy(p, strings.Repeat("x", n)), nil
}

func TestPatient(t *testing.T) {
	want := bytes.Repeat([]byte("what is read is what is there, whoever is in no hurry. "), 5000)
	cause := errors.New("cable cut")
	for _, c := range []struct {
		name string
		from io.Reader
		want []byte
		err  error
	}{
		{"whole", bytes.NewReader(want), want, nil},
		{"byte by byte", iotest.OneByteReader(bytes.NewReader(want[:500])), want[:500], nil},
		{"end with the last bytes", iotest.DataErrReader(bytes.NewReader(want)), want, nil},
		{"failing", io.MultiReader(bytes.NewReader(want[:70_000]), iotest.ErrReader(cause)), want[:70_000], cause},
		{"empty", bytes.NewReader(nil), nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := io.ReadAll(iotest.HalfReader(NewPatient(t.Context(), c.from)))
			if !bytes.Equal(got, c.want) || !errors.Is(err, c.err) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
		})
	}
}

// A read that blocks ends with the context, and what it reads later goes nowhere.
func TestPatientGivesUp(t *testing.T) {
	g := gate{make(chan struct{}), make(chan int)}
	ctx, cancel := context.WithCancel(t.Context())
	r := NewPatient(ctx, g)
	buf := make([]byte, 10)
	done := make(chan error)
	go func() {
		_, err := io.ReadFull(r, buf)
		done <- err
	}()
	<-g.asked
	g.open <- 4
	<-g.asked
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	read := string(buf)
	g.open <- 6 // the read that was under way ends
	close(g.open)
	if string(buf) != read || strings.Contains(read, "xxxxx") {
		t.Errorf("%q, and then %q", read, buf)
	}
}

type named struct{ io.Reader }

func (named) Name() string { return "a.snap" }

func TestPatientName(t *testing.T) {
	if name := NewPatient(t.Context(), named{}).Name(); name != "a.snap" {
		t.Error(name)
	}
	if name := NewPatient(t.Context(), bytes.NewReader(nil)).Name(); name != "file 1" {
		t.Error(name)
	}
}
