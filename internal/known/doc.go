// Package known holds what loads know of keys: which keys are being loaded, and which were found to be nowhere, for a time. A
// write to a key undoes what is known of it.
//
//	Set    the keys that loads know something of
//	Mark   one load of one key
//
// # What holds
//
// Every write is told to the Set, by Touch, TouchRange or Forget, in the order of the sequences, by whoever makes writes, one at
// a time. Who begins a load does so between two writes, and says up to which sequence all was written. So as long as
// [Set.Unchanged] is true, nothing has written to the key after that sequence, up to the last write that the Set was told of. An
// absence that [Set.Get] returns is that of a load after whose begin nothing has written to the key.
//
// Nothing is read, and nothing is known of the database but keys and sequences: so a load holds no view of it, however long it
// takes.
//
// The memory for absences is bounded: of too many the oldest go. That of loads under way is as large as they are many.
package known
