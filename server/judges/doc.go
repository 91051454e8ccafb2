// Package judges holds ebbd against what others wrote for servers of the Redis protocol: data, suites, clients, and Redis itself.
// It has nothing but tests and the command beside, and is a module of its own, so that nobody who serves a database takes these
// dependencies with him. See README.md.
package judges
