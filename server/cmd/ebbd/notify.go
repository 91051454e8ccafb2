package main

import (
	"errors"
	"net"
	"strings"
)

// notify tells systemd of a service with Type=notify how the process is. socket is NOTIFY_SOCKET; without one nobody is told.
func notify(socket, state string) error {
	if socket == "" {
		return nil
	}
	if name, ok := strings.CutPrefix(socket, "@"); ok {
		socket = "\x00" + name
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		return err
	}
	_, err = c.Write([]byte(state))
	return errors.Join(err, c.Close())
}
