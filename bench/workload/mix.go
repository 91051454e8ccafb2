package workload

// Kind is a kind of operation.
type Kind uint8

// The kinds of operations. Modify is a read and then a write of the same key; Pop is a look for the first key and its
// delete; Batch is many writes at once.
const (
	Read Kind = iota
	Update
	Insert
	Scan
	Modify
	Push
	Pop
	Batch
	Kinds // how many there are
)

var kindNames = [Kinds]string{"read", "update", "insert", "scan", "modify", "push", "pop", "batch"}

func (k Kind) String() string { return kindNames[k] }

// Distribution says how a record is chosen.
type Distribution uint8

// The distributions of the core workloads.
const (
	ByZipf   Distribution = iota // scrambled zipfian over all records
	ByLatest                     // zipfian, the newest most often
)

// MaxScan is the longest scan; lengths are uniform from 1.
const MaxScan = 100

// A Mix is a core workload: per cent of each kind, and how records are chosen.
type Mix struct {
	Read, Update, Insert, Scan, Modify int
	Keys                               Distribution
}

// Core are YCSB's core workloads. E2 is E again, for after A.
var Core = map[string]Mix{
	"a":  {Read: 50, Update: 50},
	"b":  {Read: 95, Update: 5},
	"c":  {Read: 100},
	"d":  {Read: 95, Insert: 5, Keys: ByLatest},
	"e":  {Scan: 95, Insert: 5},
	"e2": {Scan: 95, Insert: 5},
	"f":  {Read: 50, Modify: 50},
}

// Chooser draws kinds.
type Chooser [100]Kind

// Chooser returns what draws the mix.
func (m *Mix) Chooser() *Chooser {
	c := new(Chooser)
	rest := c[:]
	for _, part := range [...]struct {
		percent int
		kind    Kind
	}{{m.Read, Read}, {m.Update, Update}, {m.Insert, Insert}, {m.Scan, Scan}, {m.Modify, Modify}} {
		for i := range part.percent {
			rest[i] = part.kind
		}
		rest = rest[part.percent:]
	}
	return c
}

// Next draws a kind.
func (c *Chooser) Next(r *Rand) Kind { return c[r.Below(100)] }
