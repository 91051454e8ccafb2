// Package manifest owns the one file that says which files of a database are live.
//
// The manifest is small and rewritten whole, so there is no history to replay and nothing to compact: a crash leaves the
// old one or the new one. It is a stream of records like every file of a database; format.go draws it. [Load] accepts
// nothing but a whole and unchanged manifest.
//
// The package keeps no state and no lock: the owner serializes its calls of [Store]. It opens none of the files that it
// names.
package manifest
