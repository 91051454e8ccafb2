package main

import (
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ebbdb/ebb/server/internal/config"
)

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

const (
	unit      = "../../deploy/ebbd.service"
	container = "../../deploy/Containerfile"
	conf      = "../../deploy/ebbd.conf"
	manual    = "../../../docs/EBBD.md"
)

// What the files of deploy and the manual name is there: flags and variables.
func TestDeployedNames(t *testing.T) {
	names := config.Names()
	for _, file := range []string{unit, container, manual} {
		text := read(t, file)
		for _, m := range regexp.MustCompile(`\bEBBD_([A-Z_]+)`).FindAllStringSubmatch(text, -1) {
			name := strings.ToLower(strings.ReplaceAll(m[1], "_", "-"))
			if !slices.Contains(names, name) && name != "port" && name != "service-host" { // which are Kubernetes's
				t.Errorf("%s: there is no %s", file, m[0])
			}
		}
		for _, m := range regexp.MustCompile("(?m)\\bebbd((?: -[a-z-]+(?:[ =][^-\\s`'][^\\s`']*)?)+)").FindAllStringSubmatch(text, -1) {
			for _, f := range regexp.MustCompile(` -([a-z-]+)`).FindAllStringSubmatch(m[1], -1) {
				if !slices.Contains(names, f[1]) && f[1] != "h" {
					t.Errorf("%s: there is no %s in %q", file, f[1], m[0])
				}
			}
		}
	}
	rows := regexp.MustCompile("(?m)^\\| ((?:`[a-z-]+`(?:, )?)+) \\|").FindAllStringSubmatch(read(t, manual), -1)
	var told []string
	for _, row := range rows {
		for _, name := range strings.Split(row[1], ", ") {
			told = append(told, strings.Trim(name, "`"))
		}
	}
	slices.Sort(told)
	if !slices.Equal(told, names) {
		t.Errorf("%s has a row for %v, there are %v", manual, told, names)
	}
}

// The unit's command and the container's environment are understood.
func TestDeployedCommands(t *testing.T) {
	command := regexp.MustCompile(`(?m)^ExecStart=\S+/ebbd (.*)$`).FindStringSubmatch(read(t, unit))
	if command == nil {
		t.Fatal("no command in the unit")
	}
	args := strings.Fields(strings.ReplaceAll(command[1], "/etc/ebbd/ebbd.conf", conf))
	if c, err := config.Load(args, nil); err != nil || c.Dir != "/var/lib/ebbd" {
		t.Errorf("%v: %+v, %v", args, c, err)
	}
	environ := regexp.MustCompile(`EBBD_[A-Z_]+=[^\s\\]+`).FindAllString(regexp.MustCompile(`(?ms)^ENV .*?[^\\]$`).FindString(read(t, container)), -1)
	if len(environ) < 4 {
		t.Fatalf("%q", environ)
	}
	var usage *config.UsageError
	if _, err := config.Load(nil, environ); !errors.As(err, &usage) || !strings.Contains(err.Error(), "neither a password nor TLS") {
		t.Errorf("the container without a password: %v", err)
	}
	if c, err := config.Load(nil, append(environ, "EBBD_REQUIREPASS=x")); err != nil || c.Dir != "/data" || c.LogFormat != "json" {
		t.Errorf("the container: %+v, %v", c, err)
	}
}
