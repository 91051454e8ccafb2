//go:build (amd64 || arm64) && !purego

package prefetch

// On reports whether Lines does anything.
const On = true

// Lines asks for the cache lines of b.
//
//go:noescape
func Lines(b []byte)
