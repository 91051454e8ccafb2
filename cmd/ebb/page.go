package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/ebbdb/ebb"
)

// page is what of a list a person can see at once.
type page struct {
	rows, width int // of the terminal; 0 rows: there is no limit
	used        int
	last        []byte // the last key that was listed
}

const (
	leastRows   = 10 // of a page, however low the terminal is
	promptRows  = 3  // for the line that tells of the rest, and the prompt
	tabStop     = 8
	assumedRows = 24
)

// page returns how much a list may show: all of it, but to a person who has not said how much is wanted.
func (s *session) page(flags *flag.FlagSet) *page {
	p := &page{}
	if !s.interactive {
		return p
	}
	limited := false
	flags.Visit(func(f *flag.Flag) { limited = limited || f.Name == "limit" })
	if limited {
		return p
	}
	p.width, p.rows = helpWidth, assumedRows
	if f, ok := s.out.to.(*os.File); ok {
		if w, h, err := term.GetSize(int(f.Fd())); err == nil && w > 0 && h > 0 {
			p.width, p.rows = w, h
		}
	}
	p.rows = max(p.rows-promptRows, leastRows)
	return p
}

// room takes the rows of a line, if there are as many. The first line always has room.
func (p *page) room(line string) bool {
	if p.rows == 0 {
		return true
	}
	columns := utf8.RuneCountInString(line) + (tabStop-1)*strings.Count(line, "\t")
	rows := 1 + max(columns-1, 0)/p.width
	if p.used > 0 && p.used+rows > p.rows {
		return false
	}
	p.used += rows
	return true
}

// errEnough ends a list that is cut.
var errEnough = errors.New("enough")

// cut tells how to see the rest of a list that was cut before a key.
func (s *session) cut(p *page, next []byte, o *ebb.IterOptions) error {
	on := "-start " + quote(next)
	if o.Reverse {
		on = "-end " + quote(p.last)
	}
	if err := s.out.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(s.stderr, "... there is more: %s goes on, -limit 0 shows all\n", on)
	return errEnough
}
