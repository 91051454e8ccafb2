package main

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// longUnits are those that time.ParseDuration does not know, as a day is not always 24 hours long; here it is.
var longUnits = regexp.MustCompile(`^([0-9]+(?:\.[0-9]+)?)([wd])`)

// parseDuration is time.ParseDuration with weeks and days before the other units, as in 1w2d or 1.5d12h.
func parseDuration(s string) (time.Duration, error) {
	rest, hours := strings.TrimLeft(s, "+-"), ""
	sign := s[:len(s)-len(rest)]
	for m := longUnits.FindStringSubmatch(rest); m != nil; m = longUnits.FindStringSubmatch(rest) {
		n, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			return 0, noDuration(s)
		}
		if n *= 24; m[2] == "w" {
			n *= 7
		}
		hours, rest = hours+strconv.FormatFloat(n, 'f', -1, 64)+"h", rest[len(m[0]):]
	}
	d, err := time.ParseDuration(sign + hours + rest)
	if err != nil {
		return 0, noDuration(s)
	}
	return d, nil
}

func noDuration(s string) error {
	return &usageError{fmt.Errorf("%q is no duration such as 90s, 12h or 7d", s), nil}
}

// timeForms are the ways in which a time can be written. Those without a zone are local.
var timeForms = []string{time.RFC3339Nano, time.DateTime, "2006-01-02T15:04:05", "2006-01-02 15:04", "2006-01-02T15:04",
	time.DateOnly}

var errNoTime = errors.New("no time such as 2006-01-02, \"2006-01-02 15:04:05\" or 2006-01-02T15:04:05Z")

// parseTime returns a time that was typed.
func parseTime(s string) (time.Time, error) {
	for _, form := range timeForms {
		if t, err := time.ParseInLocation(form, s, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is %w", s, errNoTime)
}
