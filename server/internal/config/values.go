package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/ebbdb/ebb"
)

// size is a number of bytes in words: 1048576, 512KiB, 64MiB, 2GiB, 1TiB.
type size int64

var sizeUnits = []struct {
	name  string
	bytes int64
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}, {"", 1}}

// UnmarshalText implements encoding.TextUnmarshaler. kb and MB are refused: Redis and others do not mean the same by them.
func (s *size) UnmarshalText(text []byte) error {
	for _, u := range sizeUnits {
		digits, ok := strings.CutSuffix(string(text), u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
		if err != nil || n < 0 || n > (1<<63-1)/u.bytes {
			break
		}
		*s = size(n * u.bytes)
		return nil
	}
	return fmt.Errorf("%q is no size: a number of bytes, or of KiB, MiB, GiB or TiB", text)
}

// MarshalText implements encoding.TextMarshaler.
func (s size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

func (s size) String() string {
	for _, u := range sizeUnits {
		if s >= size(u.bytes) && int64(s)%u.bytes == 0 && u.bytes > 1 {
			return strconv.FormatInt(int64(s)/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

var (
	policies     = []string{ebb.SyncAlways: "always", ebb.SyncInterval: "interval", ebb.SyncNever: "never"}
	compressions = []string{ebb.CompressionNone: "none", ebb.CompressionLZ4: "lz4", ebb.CompressionZstd: "zstd"}
)

// choice is a value that has one of some names.
type choice[T ~uint8] struct {
	value *T
	names []string
}

// Set implements flag.Value.
func (c *choice[T]) Set(text string) error {
	i := slices.Index(c.names, text)
	if i < 0 {
		return fmt.Errorf("%q is none of %s", text, strings.Join(c.names, ", "))
	}
	*c.value = T(i)
	return nil
}

func (c *choice[T]) String() string {
	if c.value == nil { // of the zero choice, which package flag makes
		return ""
	}
	return c.names[*c.value]
}

// evictionPolicies are the names of maxmemory-policy in Redis.
var evictionPolicies = []string{"noeviction", "allkeys-lru", "allkeys-lfu", "allkeys-random", "volatile-lru", "volatile-lfu",
	"volatile-random", "volatile-ttl"}

// leastDisk is the smallest max-disk, beside retain-log: that of ebb.Options.MaxDisk.
const leastDisk = 8 << 20

// checkEviction refuses what the database does not do: it evicts by deadline, if it has a bound.
func (c *Config) checkEviction() error {
	switch {
	case !slices.Contains(evictionPolicies, c.Policy):
		return usage("maxmemory-policy is %q, allowed: %s", c.Policy, strings.Join(evictionPolicies, ", "))
	case c.Policy != "noeviction" && c.Policy != "volatile-ttl":
		return usage("maxmemory-policy %s is not there: keys that have a TTL go by that, with volatile-ttl", c.Policy)
	case c.MaxDisk != 0 && c.Policy == "noeviction":
		return usage("max-disk is for maxmemory-policy volatile-ttl alone: it evicts keys that have a TTL")
	case c.MaxDisk == 0 && c.Policy != "noeviction":
		return usage("maxmemory-policy %s needs max-disk: nothing is evicted without a bound", c.Policy)
	case c.MaxDisk != 0 && c.MaxDisk < leastDisk+c.RetainLog:
		return usage("max-disk is %d, allowed: 0, and %d and more, which is 8MiB and retain-log", c.MaxDisk, leastDisk+c.RetainLog)
	}
	return nil
}
