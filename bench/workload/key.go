package workload

// KeySize is the length of the keys of records.
const KeySize = 24

const digits = "00010203040506070809101112131415161718192021222324252627282930313233343536373839404142434445464748" +
	"4950515253545556575859606162636465666768697071727374757677787980818283848586878889909192939495969798" + "99"

// AppendKey appends the key of a record: "user" and a number of twenty digits that has the records in no order.
func AppendKey(dst []byte, record uint64) []byte {
	return AppendNumber(append(dst, "user"...), FNV64(record))
}

// AppendNumber appends a number in twenty digits, so that the keys are in the order of the numbers.
func AppendNumber(dst []byte, n uint64) []byte {
	const half = 1e8
	low, rest := n%half, n/half
	mid, high := rest%half, rest/half
	return appendEight(appendEight(appendPair(appendPair(dst, high/100), high%100), mid), low)
}

// appendEight appends a number below 1e8. Its parts do not wait for each other.
func appendEight(dst []byte, n uint64) []byte {
	high, low := n/10000, n%10000
	return appendPair(appendPair(appendPair(appendPair(dst, high/100), high%100), low/100), low%100)
}

func appendPair(dst []byte, n uint64) []byte { return append(dst, digits[2*n], digits[2*n+1]) }
