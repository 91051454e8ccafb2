//go:build invariants

package ebb

// invariants says whether what must always hold is looked at where it may have changed.
const invariants = true
