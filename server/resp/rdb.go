package resp

import (
	"encoding/binary"
	"math"
)

// The payload of DUMP, as Redis writes strings:
//
//	0        the type, a string
//	string   of one of the encodings below
//	version  2 bytes, little endian
//	crc      8 bytes, little endian: the CRC-64 of Jones of all before
//
// The first byte of a string says by its two high bits how it goes on.
const (
	rdbTypeString = 0
	rdbVersion    = 10 // of Redis 7.0
	rdbNewest     = 12 // of Redis 8: strings are the same
	rdbFooter     = 2 + 8

	rdbLen6    = 0 // the low bits are the length
	rdbLen14   = 1 // and those of the next byte
	rdbLenLong = 2 // 0x80: 4 bytes, 0x81: 8 bytes, big endian
	rdbSpecial = 3 // the low bits are one of these:
	rdbInt8    = 0
	rdbInt16   = 1 // little endian
	rdbInt32   = 2
	rdbLZF     = 3 // the length compressed, the length, the bytes
)

// crcTable is that of the reflected polynomial of Jones.
var crcTable = func() (t [256]uint64) {
	for i := range t {
		crc := uint64(i)
		for range 8 {
			if crc&1 != 0 {
				crc = crc>>1 ^ 0x95ac9329ac4bc9b5
			} else {
				crc >>= 1
			}
		}
		t[i] = crc
	}
	return t
}()

func crcJones(b []byte) uint64 {
	crc := uint64(0)
	for _, c := range b {
		crc = crcTable[byte(crc)^c] ^ crc>>8
	}
	return crc
}

// rdbEncode returns the payload of a value. Short integers are written as such, nothing is compressed.
func rdbEncode(value []byte) []byte {
	b := []byte{rdbTypeString}
	n, isInt := int64(0), false
	if len(value) <= 11 {
		n, isInt = parseInt(value)
	}
	switch {
	case isInt && n >= math.MinInt8 && n <= math.MaxInt8:
		b = append(b, rdbSpecial<<6|rdbInt8, byte(n))
	case isInt && n >= math.MinInt16 && n <= math.MaxInt16:
		b = binary.LittleEndian.AppendUint16(append(b, rdbSpecial<<6|rdbInt16), uint16(n))
	case isInt && n >= math.MinInt32 && n <= math.MaxInt32:
		b = binary.LittleEndian.AppendUint32(append(b, rdbSpecial<<6|rdbInt32), uint32(n))
	case len(value) < 1<<6:
		b = append(append(b, byte(len(value))), value...)
	case len(value) < 1<<14:
		b = append(append(b, rdbLen14<<6|byte(len(value)>>8), byte(len(value))), value...)
	default:
		b = append(binary.BigEndian.AppendUint32(append(b, rdbLenLong<<6), uint32(len(value))), value...)
	}
	b = binary.LittleEndian.AppendUint16(b, rdbVersion)
	return binary.LittleEndian.AppendUint64(b, crcJones(b))
}

// rdbDecode returns the value of a payload, of at most limit bytes, or an error text.
func rdbDecode(payload []byte, limit int) (value []byte, refusal string) {
	const wrong, bad = "ERR DUMP payload version or checksum are wrong", "ERR Bad data format"
	n := len(payload) - rdbFooter
	if n < 1 {
		return nil, wrong
	}
	version := binary.LittleEndian.Uint16(payload[n:])
	crc := binary.LittleEndian.Uint64(payload[n+2:])
	if version > rdbNewest || crc != crcJones(payload[:n+2]) {
		return nil, wrong
	}
	if payload[0] != rdbTypeString {
		return nil, bad
	}
	value, rest, ok := rdbString(payload[1:n], limit)
	if !ok || len(rest) > 0 {
		return nil, bad
	}
	return value, ""
}

func rdbString(b []byte, limit int) (value, rest []byte, ok bool) {
	if len(b) > 0 && b[0]>>6 == rdbSpecial {
		return rdbEncoded(b[0]&0x3f, b[1:], limit)
	}
	n, b, ok := rdbLength(b)
	if !ok || n > uint64(len(b)) {
		return nil, nil, false
	}
	return b[:n], b[n:], true
}

func rdbLength(b []byte) (n uint64, rest []byte, ok bool) {
	switch {
	case len(b) >= 1 && b[0]>>6 == rdbLen6:
		return uint64(b[0]), b[1:], true
	case len(b) >= 2 && b[0]>>6 == rdbLen14:
		return uint64(b[0]&0x3f)<<8 | uint64(b[1]), b[2:], true
	case len(b) >= 5 && b[0] == rdbLenLong<<6:
		return uint64(binary.BigEndian.Uint32(b[1:])), b[5:], true
	case len(b) >= 9 && b[0] == rdbLenLong<<6|1:
		return binary.BigEndian.Uint64(b[1:]), b[9:], true
	}
	return 0, nil, false
}

func rdbEncoded(kind byte, b []byte, limit int) (value, rest []byte, ok bool) {
	switch {
	case kind == rdbInt8 && len(b) >= 1:
		return appendInt(nil, int64(int8(b[0]))), b[1:], true
	case kind == rdbInt16 && len(b) >= 2:
		return appendInt(nil, int64(int16(binary.LittleEndian.Uint16(b)))), b[2:], true
	case kind == rdbInt32 && len(b) >= 4:
		return appendInt(nil, int64(int32(binary.LittleEndian.Uint32(b)))), b[4:], true
	case kind == rdbLZF:
		packed, b, ok := rdbLength(b)
		if !ok {
			return nil, nil, false
		}
		size, b, ok := rdbLength(b)
		if !ok || packed > uint64(len(b)) || size > uint64(limit) {
			return nil, nil, false
		}
		value, ok = unpackLZF(b[:packed], int(size))
		return value, b[packed:], ok
	}
	return nil, nil, false
}

// unpackLZF unpacks what Marc Lehmann's LZF has packed: runs of up to 32 bytes as they are, and references to what was before.
// size bytes have to come of it. Each byte packed becomes 264 at most, so it takes no memory for what cannot come.
func unpackLZF(b []byte, size int) ([]byte, bool) {
	if size/264 > len(b) {
		return nil, false
	}
	out := make([]byte, 0, size)
	for len(b) > 0 {
		ctrl := int(b[0])
		b = b[1:]
		if ctrl < 32 {
			n := ctrl + 1
			if n > len(b) || len(out)+n > size {
				return nil, false
			}
			out = append(out, b[:n]...)
			b = b[n:]
			continue
		}
		n := ctrl >> 5
		if n == 7 && len(b) > 0 {
			n += int(b[0])
			b = b[1:]
		}
		if len(b) == 0 {
			return nil, false
		}
		from := len(out) - (ctrl&0x1f)<<8 - int(b[0]) - 1
		b = b[1:]
		if n += 2; from < 0 || len(out)+n > size {
			return nil, false
		}
		for i := range n {
			out = append(out, out[from+i])
		}
	}
	return out, len(out) == size
}

func dump(x *exec, args [][]byte) {
	e, ok := x.entry(args[1])
	if !ok {
		x.out.null()
		return
	}
	x.out.bulk(rdbEncode(e.Value))
}

// restoreArgs are the options of RESTORE; those for eviction are checked and mean nothing.
func restoreArgs(args [][]byte) (replace, absolute bool, refusal string) {
	for i := 4; i < len(args); i++ {
		more := i+1 < len(args)
		switch {
		case equalFold(args[i], "replace"):
			replace = true
		case equalFold(args[i], "absttl"):
			absolute = true
		case equalFold(args[i], "idletime") && more:
			i++
			if n, ok := parseInt(args[i]); !ok {
				return false, false, errNotInteger
			} else if n < 0 {
				return false, false, "ERR Invalid IDLETIME value, must be >= 0"
			}
		case equalFold(args[i], "freq") && more:
			i++
			if n, ok := parseInt(args[i]); !ok {
				return false, false, errNotInteger
			} else if n < 0 || n > 255 {
				return false, false, "ERR Invalid FREQ value, must be >= 0 and <= 255"
			}
		default:
			return false, false, errSyntax
		}
	}
	return replace, absolute, ""
}

func restore(x *exec, args [][]byte) {
	replace, absolute, refusal := restoreArgs(args)
	if refusal != "" {
		x.out.err(refusal)
		return
	}
	if _, there := x.stat(args[1]); there && !replace {
		x.out.err("BUSYKEY Target key name already exists.")
		return
	}
	ms, ok := parseInt(args[2])
	switch {
	case !ok:
		x.out.err(errNotInteger)
		return
	case ms < 0:
		x.out.err("ERR Invalid TTL value, must be >= 0")
		return
	}
	value, refusal := rdbDecode(args[3], x.srv.opts.MaxRequest)
	if refusal != "" {
		x.out.err(refusal)
		return
	}
	until := ms
	if ms != 0 && !absolute {
		if until, ok = deadline(unitPX, ms, x.now); !ok {
			until = math.MaxInt64
		}
	}
	if x.put(args[1], value, until) {
		x.notify(notifyGeneric, "restore", args[1])
		x.out.ok()
	}
}
