// Package page is the live page of ebbd: one document that asks for figures each second and draws them. It reads the figures of
// a database and of a server, changes nothing, and costs nothing while nobody looks: whatever it shows is worked out when a
// browser asks. It needs nothing from elsewhere: script and style are its own, and the policy it sends allows no others.
package page
