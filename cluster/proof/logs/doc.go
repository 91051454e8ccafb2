// Package logs holds package raftlog against what others have written about raft logs: the verifier of raft-wal, which checks
// that a LogStore gives back what it was given, and raft's own benchmarks, with raft-boltdb and raft-wal beside it. It has
// tests only.
package logs
