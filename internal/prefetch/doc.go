// Package prefetch asks the processor to fetch memory that is soon to be read, without waiting for it.
//
// Go has no such instruction but in the runtime. Where there is none, as with the build tag purego, it does nothing. What it is
// given may be mapped memory: a page that is not there, or not to be had, is no fault here.
package prefetch
