package memfs

func allocate(n int) []byte { return make([]byte, n) }

func free([]byte) {}
