// Package report turns what was measured into tables for a terminal and in Markdown, into JSON with everything in it, and into
// one HTML page with charts that needs nothing else.
package report
