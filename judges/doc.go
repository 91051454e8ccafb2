// Package judges has nothing but tests, and those are of others: suites and benchmarks that come as modules of their own and
// would be a heavy dependency elsewhere. See README.md.
package judges
