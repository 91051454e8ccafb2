package batch

import "errors"

// Errors of Parse and Decode about the header.
var (
	// ErrIncomplete means that src ends before the batch does: more bytes may make it whole.
	ErrIncomplete = errors.New("batch: incomplete")
	// ErrBadLength means a Length that is negative or leaves no room for the header.
	ErrBadLength = errors.New("batch: bad length")
	// ErrBadMagic means a Magic other than 0.
	ErrBadMagic = errors.New("batch: bad magic")
	// ErrCRCMismatch means that the CRC does not match the bytes it covers.
	ErrCRCMismatch = errors.New("batch: crc mismatch")
	// ErrReservedAttributes means that a bit of Attributes is set. None is defined, and one may change the layout.
	ErrReservedAttributes = errors.New("batch: reserved attributes")
	// ErrNegativeCount means that RecordCount is negative.
	ErrNegativeCount = errors.New("batch: negative record count")
)

// Errors of Decode and Iterator.Err about the records. The checksum was right, so the bytes are as they were written: the
// writer does not follow the format.
var (
	// ErrCountTooHigh means that the batch ends before RecordCount records. Parse reports it too if RecordCount is more
	// than the number of bytes that follow the header.
	ErrCountTooHigh = errors.New("batch: record count too high")
	// ErrTrailingBytes means that bytes follow the last record.
	ErrTrailingBytes = errors.New("batch: trailing bytes after the last record")
	// ErrBadRecordLength means that a record's Length is negative.
	ErrBadRecordLength = errors.New("batch: bad record length")
	// ErrRecordExceedsBatch means that a record, or its Length, runs past the end of the batch.
	ErrRecordExceedsBatch = errors.New("batch: record exceeds batch")
	// ErrTruncatedVarint means that a record ends before its KeyLength or ValueLength does.
	ErrTruncatedVarint = errors.New("batch: truncated varint")
	// ErrVarintOverflow means a KeyLength or ValueLength of more than 32 bits or five bytes.
	ErrVarintOverflow = errors.New("batch: varint overflows 32 bits")
	// ErrKeyExceedsRecord means that a key runs past the end of its record.
	ErrKeyExceedsRecord = errors.New("batch: key length exceeds record")
	// ErrValueExceedsRecord means that a value runs past the end of its record.
	ErrValueExceedsRecord = errors.New("batch: value length exceeds record")
	// ErrTrailingRecordBytes means that a value ends before its record does.
	ErrTrailingRecordBytes = errors.New("batch: trailing bytes in record")
)

// Errors of a Builder. It is unchanged after any of them.
var (
	// ErrSealed means a change after Build and before Reset.
	ErrSealed = errors.New("batch: builder is sealed")
	// ErrFull means that the record does not fit beside the records before it: build, reset and put it again.
	ErrFull = errors.New("batch: full")
	// ErrTooLarge means that the record does not fit the builder's limit even alone.
	ErrTooLarge = errors.New("batch: record too large")
	// ErrSchemaRange means a schema id below 0 or above MaxSchemaID.
	ErrSchemaRange = errors.New("batch: schema id out of range")
)
