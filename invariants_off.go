//go:build !invariants

package ebb

// invariants says whether what must always hold is looked at where it may have changed. It is a constant, so that a build
// without the tag has none of it.
const invariants = false
