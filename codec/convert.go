package codec

// Convert encodes a T as the key that to makes of it, whose order it has, and from undoes that. It makes keys of named
// types, and of structs by way of a Pair. Distinct values must give distinct keys.
func Convert[T, S any](key Key[S], to func(T) S, from func(S) (T, error)) Key[T] {
	return convertedKey[T, S]{key, to, from}
}

type convertedKey[T, S any] struct {
	key  Key[S]
	to   func(T) S
	from func(S) (T, error)
}

func (k convertedKey[T, S]) Append(dst []byte, v T) ([]byte, error) {
	return k.key.Append(dst, k.to(v))
}

func (k convertedKey[T, S]) Decode(src []byte) (T, error) {
	s, err := k.key.Decode(src)
	if err != nil {
		var none T
		return none, err
	}
	return k.from(s)
}

func (k convertedKey[T, S]) Width() int { return k.key.Width() }
