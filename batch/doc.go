// Package batch builds and reads KV record batches: many puts and deletes in one checksummed run of bytes.
//
// It owns the batch format (format.go), the Builder that writes it and the Batch and Iterator that read it. Keys and
// values are opaque: an empty key and an empty value are legal, and an empty value is not a delete. What a schema id
// means, how duplicate keys are resolved and what the writer id and batch sequence are compared with is for the caller.
//
// Writing is explicit. A batch exists once Build has returned it; records of a builder that is dropped before Build
// were never promised to anyone. Building seals the builder, so bytes handed out cannot change until Reset.
//
// Reading is strict and copies nothing. Decode accepts a batch only if header, checksum and every record are exactly
// right: each record fills its length, the records fill the batch, and their number is the header's. A batch that passes can
// be iterated without an error. Parse stops after header and checksum and leaves the records to the iterator, for bytes
// that were verified before. No allocation is sized by what was read.
//
// The package does no I/O, knows no file and no offset in one (a caller wraps its errors with those), keeps no state
// and puts no key or value bytes into errors.
//
// A Builder and an Iterator belong to one goroutine at a time. A Batch is immutable and may be shared, as long as
// nobody writes to the bytes it was read from.
package batch
