// Package codec turns typed keys and values into bytes and back, for [github.com/ebbdb/ebb.Typed].
//
// A [Key] keeps order: encoded keys compare as bytes the way the keys compare. [PairOf] joins two keys into one that
// is ordered by its first part and then by its second, and [Convert] makes the key of a struct or a named type of
// another. Keys with the same first part have the prefix that [PairKey.First] returns. Every Key serves as a [Value]
// too; [JSON], [Binary] and [Counter] are for values alone.
//
// The encodings are on disk: they do not change. No two encodings decode to the same key, and what a Key of this
// package cannot have made it refuses, with an error that matches [ErrInvalid].
//
// Codecs have no state: all of them may be used from any goroutine.
package codec
