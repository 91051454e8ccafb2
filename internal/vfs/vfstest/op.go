package vfstest

// OpKind names what an operation does, in a recording of Mem and to an Injector of Fault.
type OpKind uint8

// The kinds of operation. OpOpen is Open and OpenWrite; OpSync is Sync and SyncData; OpSize is Size of a name or a file.
const (
	OpAny OpKind = iota // stands for every kind
	OpCreate
	OpOpen
	OpClose
	OpRead
	OpWrite
	OpTruncate
	OpSync
	OpSyncDir
	OpRename
	OpLink
	OpRemove
	OpMkdir
	OpReadDir
	OpSize
	OpMap
	OpMapWrites
	OpLock
	OpCheck
	opSyncFailed // in a recording: a sync that returned an error
	opKinds      // how many there are
)

var opNames = [opKinds]string{
	"any", "create", "open", "close", "read", "write", "truncate", "sync", "syncdir", "rename", "link", "remove", "mkdir",
	"readdir", "size", "map", "mapwrites", "lock", "check", "failed sync",
}

func (k OpKind) String() string { return opNames[k] }
