package batch

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const vectorsFormat = "Fluss KV record batch"

// vector is one case of any kind; the kinds' meanings stand in the file's meta.kinds.
type vector struct {
	Name string `json:"name"`
	Kind string `json:"kind"`

	SchemaID      json.Number    `json:"schema_id"`
	WriterID      json.Number    `json:"writer_id"`
	BatchSequence json.Number    `json:"batch_sequence"`
	RecordCount   int            `json:"record_count"`
	CRC           string         `json:"crc32c_hex"`
	Records       []vectorRecord `json:"records"`
	RecordsGen    *recordsRule   `json:"records_gen"`
	Encoded       *blob          `json:"encoded"`
	Key           *blob          `json:"key"`
	Value         *blob          `json:"value"`
	N             json.Number    `json:"n"`
	Error         string         `json:"error"`
	ErrorAny      []string       `json:"error_any"`
	Base          *blob          `json:"base"`
	Count         int            `json:"count"`
	StrictDecoder map[string]int `json:"strict_decoder"`
	Batches       int            `json:"batches"`
	RecordCounts  []int          `json:"record_counts"`
	Consumed      int            `json:"consumed"`
	Stop          string         `json:"stop"`
	Limit         *int           `json:"limit"`
	ReferenceText string         `json:"reference_text"`
}

type vectorRecord struct {
	Key   *blob `json:"key"`
	Value *blob `json:"value"` // null for a delete
}

type vectorFile struct {
	Meta struct {
		Format string            `json:"format"`
		Kinds  map[string]string `json:"kinds"`
	} `json:"meta"`
	Vectors []json.RawMessage `json:"vectors"`
}

// errorClasses are the vectors' names for our errors.
var errorClasses = []struct {
	err   error
	class string
}{
	{ErrIncomplete, "incomplete"},
	{ErrBadLength, "bad_length"},
	{ErrBadMagic, "bad_magic"},
	{ErrCRCMismatch, "crc_mismatch"},
	{ErrReservedAttributes, "reserved_attributes"},
	{ErrNegativeCount, "negative_count"},
	{ErrCountTooHigh, "count_too_high"},
	{ErrTrailingBytes, "trailing_bytes"},
	{ErrBadRecordLength, "bad_record_length"},
	{ErrRecordExceedsBatch, "record_exceeds_batch"},
	{ErrTruncatedVarint, "truncated_varint"},
	{ErrVarintOverflow, "varint_overflow"},
	{ErrKeyExceedsRecord, "key_length_exceeds_record"},
	{ErrValueExceedsRecord, "value_length_exceeds_record"},
	{ErrTrailingRecordBytes, "trailing_bytes_in_record"},
}

// errorClass returns the one class err belongs to.
func errorClass(err error) string {
	var classes []string
	for _, c := range errorClasses {
		if errors.Is(err, c.err) {
			classes = append(classes, c.class)
		}
	}
	if len(classes) != 1 {
		return fmt.Sprintf("%d classes for error %v", len(classes), err)
	}
	return classes[0]
}

// readVectors returns the vectors of all files of our format in dir.
func readVectors(t testing.TB, dir string) []*vector {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	var vectors []*vector
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var file vectorFile
		if err := json.Unmarshal(data, &file); err != nil {
			t.Logf("%s is not a file of vectors: %v", name, err)
			continue
		}
		if !strings.HasPrefix(file.Meta.Format, vectorsFormat) {
			continue
		}
		for kind := range file.Meta.Kinds {
			if vectorKinds[kind] == nil {
				t.Errorf("%s announces the unknown kind %q", name, kind)
			}
		}
		for i, raw := range file.Vectors {
			v := new(vector)
			if err := json.Unmarshal(raw, v); err != nil {
				t.Fatalf("%s: vector %d: %v", name, i, err)
			}
			vectors = append(vectors, v)
		}
	}
	return vectors
}

// records returns the vector's records, given one by one or by a rule.
func (v *vector) records(t *testing.T) []Record {
	t.Helper()
	if v.RecordsGen != nil {
		return v.RecordsGen.records(t)
	}
	records := make([]Record, len(v.Records))
	for i := range v.Records {
		records[i] = v.Records[i].record(t)
	}
	return records
}

func (r *vectorRecord) record(t *testing.T) Record {
	t.Helper()
	if r.Value == nil {
		return Record{Key: r.Key.bytes(t), Delete: true}
	}
	return Record{Key: r.Key.bytes(t), Value: r.Value.bytes(t)}
}

func (v *vector) errorAny() []string {
	if len(v.ErrorAny) > 0 {
		return v.ErrorAny
	}
	return []string{v.Error}
}

func number(t *testing.T, n json.Number) int64 {
	t.Helper()
	i, err := n.Int64()
	if err != nil {
		t.Fatalf("number in vector: %v", err)
	}
	return i
}
