// Package invariant holds what must always be true to account. A build with the tag invariants panics where it is not; the
// models run so in CI. Without the tag [On] is false, and what stands under it is not compiled in.
package invariant

import "fmt"

// Check panics if something that must hold does not. Call it under On.
func Check(ok bool, format string, args ...any) {
	if !ok {
		panic("ebb: invariant: " + fmt.Sprintf(format, args...))
	}
}
