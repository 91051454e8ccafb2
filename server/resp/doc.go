// Package resp serves an ebb database to clients of Redis: strings with deadlines, transactions, publish and subscribe, in the
// protocols RESP2 and RESP3.
//
// A Server owns connections and what they share: channels, the slow log, settings, figures. It owns no data: a Store has that,
// and NewStore makes one of an ebb.DB. Commands have the semantics of Redis 7.0, and its error texts; docs/REDIS.md lists them
// all, with the differences.
//
// # What a reply promises
//
// A reply to a write leaves after the write is as durable as the store's policy says. The writes of a pipeline share one sync:
// all commands that a read of the connection has brought are run, those that write without a sync of their own, then the store
// is synced once, and then all replies leave. If that sync fails no reply leaves, and the connection is closed: the client does
// not know whether its writes have happened, as after any lost connection.
//
// # What a client can cost
//
// Requests and replies are bounded by Options.MaxRequest and Options.MaxReplyBuffer, connections by Options.MaxClients. A
// declared length takes no memory before its bytes arrive. A client that does not read its replies is not read from, and is
// closed after Options.WriteTimeout; a subscriber that falls behind by MaxReplyBuffer is closed at once.
//
// # redcon
//
// Replies are encoded by github.com/tidwall/redcon. Its server loop and its reader are not used: the reader panics on the
// length 9223372036854775805, spins on that count of arguments, has no bound for a request, reads what is incomplete from its
// beginning again and again, and allocates three times for each command. Tests hold the reader of this package to redcon's on
// what both accept.
package resp
