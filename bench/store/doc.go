// Package store puts ebb and its peers behind one small interface, each with the settings that its own users would pick.
//
// A file a store. What is chosen, and why, stands in the Info of each, and from there goes into every report. Reads use the
// form of each store that allocates least.
package store
