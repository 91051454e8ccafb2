// Package ops is what ebbd serves beside the Redis protocol: Prometheus, probes, the live page and profiles, over HTTP and behind
// one authentication. It owns who may see what, and the figures' names; it changes nothing of what it shows.
package ops
