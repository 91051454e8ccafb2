// Package snapfile owns the snapshot file: a database, or its operations since a sequence, as one stream.
//
// [Writer] makes the stream, [Reader] reads it back; format.go draws it. A Reader hands nothing out that it has not
// verified, but only io.EOF says that the file is whole: until then nothing that was read may be made visible. A size that a
// file claims costs no memory before that many bytes have arrived.
//
// The package knows no database and no file system: it writes to an io.Writer and reads from an io.Reader. A Writer and a
// Reader are for one goroutine each.
package snapfile
