// Package config is how ebbd is told what to do: flags, the environment and a file, in that order of precedence. It owns names,
// defaults and the rules that refuse a dangerous setup, and starts nothing.
package config
