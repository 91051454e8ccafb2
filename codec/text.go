package codec

// String encodes a string as its bytes.
func String() Key[string] { return stringKey{} }

// Bytes encodes a byte slice as it is, nil as an empty one. Decode returns a copy.
func Bytes() Key[[]byte] { return bytesKey{} }

type stringKey struct{}

func (stringKey) Append(dst []byte, v string) ([]byte, error) { return append(dst, v...), nil }
func (stringKey) Decode(src []byte) (string, error)           { return string(src), nil }
func (stringKey) Width() int                                  { return 0 }

type bytesKey struct{}

func (bytesKey) Append(dst, v []byte) ([]byte, error) { return append(dst, v...), nil }
func (bytesKey) Decode(src []byte) ([]byte, error) {
	return append(make([]byte, 0, len(src)), src...), nil
}
func (bytesKey) Width() int { return 0 }
