package codec

import (
	"encoding"
	"encoding/json"
)

// JSON encodes a value by encoding/json.
func JSON[T any]() Value[T] { return jsonValue[T]{} }

// Binary encodes a value by its own methods. It is called with the type alone, as in Binary[url.URL]().
func Binary[T any, P interface {
	*T
	encoding.BinaryMarshaler
	encoding.BinaryUnmarshaler
}]() Value[T] {
	return binaryValue[T, P]{}
}

type jsonValue[T any] struct{}

func (jsonValue[T]) Append(dst []byte, v T) ([]byte, error) {
	data, err := json.Marshal(v)
	return append(dst, data...), err
}

func (jsonValue[T]) Decode(src []byte) (T, error) {
	var v T
	if err := json.Unmarshal(src, &v); err != nil {
		var none T // not a value that was decoded half
		return none, err
	}
	return v, nil
}

type binaryValue[T any, P interface {
	*T
	encoding.BinaryMarshaler
	encoding.BinaryUnmarshaler
}] struct{}

func (binaryValue[T, P]) Append(dst []byte, v T) ([]byte, error) {
	if a, ok := any(P(&v)).(encoding.BinaryAppender); ok {
		return a.AppendBinary(dst)
	}
	data, err := P(&v).MarshalBinary()
	return append(dst, data...), err
}

func (binaryValue[T, P]) Decode(src []byte) (T, error) {
	var v T
	if err := P(&v).UnmarshalBinary(src); err != nil {
		var none T
		return none, err
	}
	return v, nil
}
