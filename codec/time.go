package codec

import (
	"encoding/binary"
	"fmt"
	"time"
)

// Time encodes a time, to the nanosecond, as 12 bytes: the seconds since the year 1 as Int64 does, and the
// nanoseconds as 4 bytes, big-endian. Location and monotonic reading are left out; Decode returns UTC.
func Time() Key[time.Time] { return timeKey{} }

// year1 is the Unix time of time.Time{}. Counted from there, and only from there, no time overflows: it is how
// time.Time counts itself.
const year1 = -62135596800

type timeKey struct{}

func (timeKey) Append(dst []byte, v time.Time) ([]byte, error) {
	dst, _ = int64Key{}.Append(dst, v.Unix()-year1)
	return binary.BigEndian.AppendUint32(dst, uint32(v.Nanosecond())), nil
}

func (timeKey) Decode(src []byte) (time.Time, error) {
	if err := checkWidth("a time", src, 12); err != nil {
		return time.Time{}, err
	}
	sec, err := int64Key{}.Decode(src[:8])
	if err != nil {
		return time.Time{}, err
	}
	nsec := binary.BigEndian.Uint32(src[8:])
	if nsec >= 1e9 {
		return time.Time{}, fmt.Errorf("%w: a time with %d nanoseconds", ErrInvalid, nsec)
	}
	return time.Unix(sec+year1, int64(nsec)).UTC(), nil
}

func (timeKey) Width() int { return 12 }
