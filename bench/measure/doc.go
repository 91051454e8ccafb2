// Package measure reads what a process has used, from the operating system and the runtime, and says what is reported of a
// phase. What a system does not tell is 0.
package measure
