package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync/atomic"
)

// checkAddresses refuses addresses that are none, and those that others reach without saying who they are.
func (c *Config) checkAddresses() error {
	for _, a := range []struct{ name, address string }{{"listen", c.Listen}, {"metrics", c.Metrics}} {
		if a.address == "" && a.name == "metrics" {
			continue
		}
		host, port, err := net.SplitHostPort(a.address)
		if err != nil {
			return usage("%s: %w", a.name, err)
		}
		if n, err := strconv.ParseUint(port, 10, 16); err != nil {
			return usage("%s: %q is no port, which are 0 to 65535", a.name, port)
		} else if c.Listen == c.Metrics && n != 0 {
			return usage("listen and metrics are both %s", a.address)
		}
		if !Loopback(host) && !c.Insecure && c.Password == "" && c.TLSCert == "" {
			return usage("%s is %s, which others reach, and there is neither a password nor TLS: set requirepass-file, or "+
				"tls-cert and tls-key; -insecure does it all the same", a.name, a.address)
		}
	}
	return nil
}

// Loopback reports whether a host is reached from this machine only. A name other than localhost may be anything.
func Loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Warnings says what is allowed and yet dangerous.
func (c *Config) Warnings() (list []string) {
	exposed := false
	for _, address := range []string{c.Listen, c.Metrics} {
		host, _, err := net.SplitHostPort(address)
		exposed = exposed || err == nil && !Loopback(host)
	}
	if exposed && c.Password == "" && c.TLSCA == "" {
		list = append(list, "whoever reaches the address reads and writes: there is no password, and clients need no certificate")
	}
	if exposed && c.TLSCert == "" {
		list = append(list, "others on the way read what is sent, the password too: there is no TLS")
	}
	if info, err := os.Stat(c.passwordFile); c.passwordFile != "" && err == nil && info.Mode().Perm()&0o007 != 0 {
		list = append(list, fmt.Sprintf("every user of the machine may open %s, which has the password", c.passwordFile))
	}
	return list
}

// checkTLS refuses half of what TLS needs.
func (c *Config) checkTLS() error {
	switch {
	case (c.TLSCert == "") != (c.TLSKey == ""):
		return usage("tls-cert and tls-key need each other")
	case c.TLSCA != "" && c.TLSCert == "":
		return usage("tls-ca needs tls-cert and tls-key")
	}
	return nil
}

// TLS is the certificate that a server shows, and those that it asks for.
type TLS struct {
	certFile, keyFile string
	authorities       *x509.CertPool // nil: clients need no certificate
	shown             atomic.Pointer[tls.Certificate]
}

// TLS reads the files of TLS. It returns nil where there are none.
func (c *Config) TLS() (*TLS, error) {
	if c.TLSCert == "" {
		return nil, nil
	}
	t := &TLS{certFile: c.TLSCert, keyFile: c.TLSKey}
	if err := t.Reload(); err != nil {
		return nil, err
	}
	if c.TLSCA != "" {
		pem, err := os.ReadFile(c.TLSCA)
		if err != nil {
			return nil, &UsageError{err}
		}
		t.authorities = x509.NewCertPool()
		if !t.authorities.AppendCertsFromPEM(pem) {
			return nil, usage("%s: no certificate of an authority, PEM", c.TLSCA)
		}
	}
	return t, nil
}

// Reload reads the certificate and its key again. Connections that are there keep the old one; after an error all do.
func (t *TLS) Reload() error {
	cert, err := tls.LoadX509KeyPair(t.certFile, t.keyFile)
	if err != nil {
		return &UsageError{fmt.Errorf("%s, %s: %w", t.certFile, t.keyFile, err)}
	}
	t.shown.Store(&cert)
	return nil
}

// Strict returns the configuration of a server whose clients need a certificate if there are authorities.
func (t *TLS) Strict() *tls.Config {
	auth := tls.NoClientCert
	if t.authorities != nil {
		auth = tls.RequireAndVerifyClientCert
	}
	return t.server(auth)
}

// Lenient returns the configuration of a server that asks for a certificate, and itself decides what to do without one.
func (t *TLS) Lenient() *tls.Config {
	auth := tls.NoClientCert
	if t.authorities != nil {
		auth = tls.VerifyClientCertIfGiven
	}
	return t.server(auth)
}

// AsksClients reports whether clients need a certificate.
func (t *TLS) AsksClients() bool { return t != nil && t.authorities != nil }

var errNoCertificate = errors.New("config: no certificate")

func (t *TLS) server(auth tls.ClientAuthType) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		ClientAuth: auth,
		ClientCAs:  t.authorities,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			if cert := t.shown.Load(); cert != nil {
				return cert, nil
			}
			return nil, errNoCertificate
		},
	}
}
