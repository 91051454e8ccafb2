package resp

import (
	"testing"

	"github.com/ebbdb/ebb"
)

func TestConnection(t *testing.T) {
	f := serve(t, Options{}, ebb.Options{})
	p := f.dial()
	p.expect(`
		PING -> PONG
		ping hello -> "hello"
		PING a b -> -ERR wrong number of arguments for 'ping' command
		ECHO x -> "x"
		SELECT 0 -> OK
		SELECT 1 -> -ERR DB index is out of range
		SELECT x -> -ERR value is not an integer or out of range
		NOSUCH a b -> -ERR unknown command 'NOSUCH', with args beginning with: 'a' 'b' 
		CLIENT GETNAME -> nil
		CLIENT SETNAME me -> OK
		CLIENT GETNAME -> "me"
		CLIENT ID -> 1
		CLIENT NOSUCH -> -ERR unknown subcommand 'NOSUCH'. Try CLIENT HELP.
		CLIENT -> -ERR wrong number of arguments for 'client' command
		CLIENT SETINFO lib-name x -> OK
		AUTH x -> -ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?
		HELLO 4 -> -NOPROTO unsupported protocol version
		HELLO 3 -> %["server" "redis" "version" "7.0.15" "proto" 3 "id" 1 "mode" "standalone" "role" "master" "modules" []]
		GET nothing -> nil
		RESET -> RESET
		CLIENT GETNAME -> nil
		QUIT -> OK`)
	if _, err := p.r.ReadByte(); err == nil {
		t.Error("open after QUIT")
	}
}

func TestStrings(t *testing.T) {
	f := serve(t, Options{}, ebb.Options{})
	f.dial().expect(`
		SET k v -> OK
		GET k -> "v"
		SET k w NX -> nil
		SET k w XX GET -> "v"
		SET k w EX 0 -> -ERR invalid expire time in 'set' command
		SET k w EX 10 PX 10 -> -ERR syntax error
		SET k w EX 10 -> OK
		TTL k -> 10
		PTTL k -> 10000
		SET k v KEEPTTL -> OK
		TTL k -> 10
		APPEND k 12 -> 3
		TTL k -> 10
		GETSET k n -> "v12"
		TTL k -> -1
		TTL none -> -2
		STRLEN k -> 1
		SET k v IFEQ x -> nil
		SET k v IFEQ n -> OK
		SET k v2 IFNE v -> nil
		DELEX k IFEQ x -> 0
		DELEX k IFEQ v -> 1
		INCR n -> 1
		INCRBY n 41 -> 42
		DECR n -> 41
		DECRBY n 9223372036854775807 -> -9223372036854775766
		DECRBY n 50 -> -ERR increment or decrement would overflow
		INCRBYFLOAT f 1 -> "1"
		INCRBYFLOAT f -1.1 -> "-0.1"
		SET x 007 -> OK
		INCR x -> -ERR value is not an integer or out of range
		MSET a 1 b 2 -> OK
		MGET a b c -> ["1" "2" nil]
		MSETNX c 1 a 2 -> 0
		SETRANGE r 3 abc -> 6
		GETRANGE r -3 -1 -> "abc"
		GETDEL r -> "\x00\x00\x00abc"
		EXISTS a b c a -> 3
		DEL a b c -> 2
	`)
}

func TestTransactions(t *testing.T) {
	f := serve(t, Options{}, ebb.Options{})
	p, other := f.dial(), f.dial()
	p.expect(`
		EXEC -> -ERR EXEC without MULTI
		MULTI -> OK
		MULTI -> -ERR MULTI calls can not be nested
		SET a 1 -> QUEUED
		INCR a -> QUEUED
		GET a -> QUEUED
		EXEC -> [OK 2 "2"]
		WATCH a -> OK
	`)
	other.expect(`SET a 5 -> OK`)
	p.expect(`
		MULTI -> OK
		SET a 6 -> QUEUED
		EXEC -> nil
		GET a -> "5"
		MULTI -> OK
		NOSUCH -> -ERR unknown command 'NOSUCH', with args beginning with: 
		EXEC -> -EXECABORT Transaction discarded because of previous errors.
		GET a -> "5"
	`)
}
