package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// authority signs certificates of servers and of clients.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
	next int64
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{dir: t.TempDir(), pool: x509.NewCertPool()}
	der := a.sign(t, "ca", &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	a.cert = cert
	a.pool.AddCert(cert)
	return a
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

// sign writes a certificate and its key, name.crt and name.key.
func (a *authority) sign(t *testing.T, name string, c *x509.Certificate) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a.next++
	c.SerialNumber, c.Subject = big.NewInt(a.next), pkix.Name{CommonName: name}
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer, a.key = c, key, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{name + ".crt": {Type: "CERTIFICATE", Bytes: der}, name + ".key": {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(a.file(file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return der
}

func (a *authority) server(t *testing.T) {
	a.sign(t, "server", &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
}

func (a *authority) client(t *testing.T) tls.Certificate {
	a.sign(t, "client", &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	cert, err := tls.LoadX509KeyPair(a.file("client.crt"), a.file("client.key"))
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// Clients and figures come over TLS, and with tls-ca by certificate only; SIGHUP brings a new certificate.
func TestTLS(t *testing.T) {
	a := newAuthority(t)
	a.server(t)
	c := start(t, nil, "-dir", t.TempDir(), "-tls-cert", a.file("server.crt"), "-tls-key", a.file("server.key"), "-tls-ca", a.file("ca.crt"))
	with := &tls.Config{RootCAs: a.pool, Certificates: []tls.Certificate{a.client(t)}}
	without := &tls.Config{RootCAs: a.pool}
	ping := func(config *tls.Config) (serial int64, reply string) {
		nc, err := tls.Dial("tcp", c.clients, config)
		if err != nil {
			return 0, err.Error()
		}
		client := clientOf(t, nc)
		if _, err = io.WriteString(client, "PING\r\n"); err == nil {
			reply, err = client.reply()
		}
		if err != nil {
			return 0, err.Error()
		}
		return nc.ConnectionState().PeerCertificates[0].SerialNumber.Int64(), reply
	}
	first, reply := ping(with)
	if reply != "+PONG" {
		t.Errorf("%q", reply)
	}
	if _, reply := ping(without); reply == "+PONG" {
		t.Error("served without a certificate")
	}
	for _, row := range []struct {
		path   string
		config *tls.Config
		code   int
	}{{"/readyz", without, 200}, {"/metrics", without, 403}, {"/metrics", with, 200}, {"/", with, 200}} {
		client := http.Client{Transport: &http.Transport{TLSClientConfig: row.config}, Timeout: patience}
		answer, err := client.Get("https://" + c.figures + row.path)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		client.CloseIdleConnections()
		if answer.StatusCode != row.code {
			t.Errorf("%s: %d, want %d", row.path, answer.StatusCode, row.code)
		}
	}
	a.server(t)
	c.signal(syscall.SIGHUP)
	c.await("the certificate was read again")
	if second, reply := ping(with); reply != "+PONG" || second == first {
		t.Errorf("certificate %d after %d: %s", second, first, reply)
	}
	if err := os.WriteFile(a.file("server.key"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c.signal(syscall.SIGHUP)
	c.await("the certificate stays as it was")
	if _, reply := ping(with); reply != "+PONG" {
		t.Errorf("after a bad certificate: %s", reply)
	}
	c.stop()
}
