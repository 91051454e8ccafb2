//go:build !invariants

package invariant

// On says whether invariants are checked.
const On = false
