package store

import "fmt"

// silent is the logger of peers that have no other way to be quiet. What they call fatal still is.
type silent struct{}

func (silent) Debugf(string, ...any)   {}
func (silent) Infof(string, ...any)    {}
func (silent) Warningf(string, ...any) {}
func (silent) Errorf(string, ...any)   {}

func (silent) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
