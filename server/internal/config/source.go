package config

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// prefix begins the names of the environment: EBBD_MAX_CLIENTS is -max-clients.
const prefix = "EBBD_"

// onlyArguments make no sense but on the command line.
var onlyArguments = []string{"check", "version"}

// source sets flags from one place after another. What one has set the next does not.
type source struct {
	flags *flag.FlagSet
	from  map[string]string // by name: which place has set it
}

// parse takes the arguments.
func (s *source) parse(args []string) error {
	s.flags.SetOutput(io.Discard)
	s.flags.Usage = func() {}
	if err := s.flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return ErrHelp
		}
		return &UsageError{err}
	}
	if rest := s.flags.Args(); len(rest) > 0 {
		return usage("%q is no flag", rest[0])
	}
	s.flags.Visit(func(f *flag.Flag) { s.from[f.Name] = "-" + f.Name })
	return nil
}

// set sets a flag from a place, unless one before has.
func (s *source) set(name, value, place string) error {
	if s.flags.Lookup(name) == nil || slices.Contains(onlyArguments, name) {
		return usage("%s: there is no %q%s", place, name, s.nearest(name))
	}
	if _, ok := s.from[name]; ok {
		return nil
	}
	if err := s.flags.Set(name, value); err != nil {
		return usage("%s: %s: %w", place, name, err)
	}
	return nil
}

// nearest suggests a name for one that there is not.
func (s *source) nearest(name string) (hint string) {
	plain := func(name string) string { return strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(name)) }
	s.flags.VisitAll(func(f *flag.Flag) {
		if plain(f.Name) == plain(name) {
			hint = fmt.Sprintf(", but %q", f.Name)
		}
	})
	return hint
}

// environment takes what is in the environment.
func (s *source) environment(environ []string) error {
	set := make(map[string]string)
	for _, line := range environ {
		name, value, _ := strings.Cut(line, "=")
		rest, ok := strings.CutPrefix(name, prefix)
		// Kubernetes sets these for a service that is called ebbd.
		if !ok || rest == "PORT" || strings.HasPrefix(rest, "PORT_") || strings.HasPrefix(rest, "SERVICE_") {
			continue
		}
		flagName := strings.ToLower(strings.ReplaceAll(rest, "_", "-"))
		if err := s.set(flagName, value, name); err != nil {
			return err
		}
		set[flagName] = name
	}
	for name, place := range set {
		if _, ok := s.from[name]; !ok {
			s.from[name] = place
		}
	}
	return nil
}

// read takes what is in a file: name = value, a line each.
func (s *source) read(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return &UsageError{err}
	}
	defer f.Close()
	seen := make(map[string]int)
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		place := fmt.Sprintf("%s:%d", name, n)
		key, value, ok := strings.Cut(line, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		switch {
		case !ok: // the line is not shown: it may be a password
			return usage("%s: no line of the form name = value", place)
		case key == "config":
			return usage("%s: a file does not name another", place)
		case seen[key] != 0:
			return usage("%s: %s is in line %d already", place, key, seen[key])
		}
		seen[key] = n
		if err := s.set(key, value, place); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return usage("%s: %w", name, err)
	}
	return nil
}

// readPassword reads the password's file.
func (c *Config) readPassword() error {
	if c.passwordFile == "" {
		return nil
	}
	if c.Password != "" {
		return usage("requirepass and requirepass-file: say one of them")
	}
	data, err := os.ReadFile(c.passwordFile)
	if err != nil {
		return &UsageError{err}
	}
	line, _, _ := strings.Cut(string(data), "\n")
	if c.Password = strings.TrimSuffix(line, "\r"); c.Password == "" {
		return usage("%s: the first line is empty, which is no password", c.passwordFile)
	}
	return nil
}

// Usage writes what can be said, with defaults.
func Usage(w io.Writer) {
	fmt.Fprint(w, "usage: ebbd -dir DIR [flags]\n\nServes an ebb database to clients of Redis. Each flag is a name of the environment, too, EBBD_MAX_CLIENTS for\n"+
		"-max-clients, and of the file that -config names. A flag counts before the environment, that before the file.\n\n")
	f := new(Config).flags()
	f.SetOutput(w)
	f.PrintDefaults()
}

// Names returns the names of all flags, in order.
func Names() (list []string) {
	new(Config).flags().VisitAll(func(f *flag.Flag) { list = append(list, f.Name) })
	return list
}
