package config

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ebbdb/ebb"
)

func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A flag counts before the environment, that before the file, that before the default.
func TestPrecedence(t *testing.T) {
	conf := file(t, "ebbd.conf", "# of the file\n\ndir = file\nlisten=127.0.0.1:1\n  memory = 64MiB\nmax-clients = 3\nsync = never\n")
	c, err := Load([]string{"-dir", "flag", "-config", conf},
		[]string{"PATH=/bin", "EBBD_DIR=environment", "EBBD_LISTEN=127.0.0.1:2", "EBBD_MAX_CLIENTS=2", "EBBD_PORT=tcp://10.0.0.1:6379",
			"EBBD_SERVICE_HOST=10.0.0.1", "EBBD_PORT_6379_TCP_ADDR=10.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	if c.Dir != "flag" || c.Listen != "127.0.0.1:2" || c.MaxClients != 2 || c.Memory != 64<<20 || c.Sync != ebb.SyncNever ||
		c.Metrics != "127.0.0.1:9379" || c.MaxReply != 64<<20 || !c.Create {
		t.Errorf("%+v", c)
	}
	c, err = Load(nil, []string{"EBBD_CONFIG=" + conf})
	if err != nil || c.Dir != "file" || c.MaxClients != 3 || c.Listen != "127.0.0.1:1" {
		t.Errorf("%+v, %v", c, err)
	}
}

// Each wrong word is an error that says where it stands, and none shows a password.
func TestRefused(t *testing.T) {
	conf := func(text string) []string { return []string{"-config", file(t, "c", text), "-dir", "d"} }
	dir := func(args ...string) []string { return append([]string{"-dir", "d"}, args...) }
	for _, row := range []struct {
		name    string
		args    []string
		environ []string
		want    string
	}{
		{"no directory", nil, nil, "no directory"},
		{"unknown flag", dir("-frob"), nil, "-frob"},
		{"an argument", dir("serve"), nil, `"serve" is no flag`},
		{"value of a flag", dir("-memory", "12 parsecs"), nil, "no size"},
		{"size of two meanings", dir("-memory", "64mb"), nil, "KiB"},
		{"unknown in the environment", dir(), []string{"EBBD_FROB=1"}, "EBBD_FROB"},
		{"value in the environment", dir(), []string{"EBBD_SYNC=sometimes"}, "EBBD_SYNC"},
		{"unknown in the file", conf("dir = d\nfrob = 1\n"), nil, `:2: there is no "frob"`},
		{"nearly known in the file", conf("maxclients = 1\n"), nil, `but "max-clients"`},
		{"value in the file", conf("dir = d\n\n# x\nidle-timeout = soon\n"), nil, ":4: idle-timeout"},
		{"twice in the file", conf("dir = d\ndir = e\n"), nil, ":2: dir is in line 1"},
		{"check in the file", conf("check = true\n"), nil, ":1:"},
		{"file in the file", conf("config = other\n"), nil, ":1:"},
		{"password without =", conf("requirepass hunter2\n"), nil, ":1:"},
		{"no file", dir("-config", "/nowhere/x"), nil, "/nowhere/x"},
		{"no address", dir("-listen", "6379"), nil, "listen"},
		{"no port", dir("-listen", "127.0.0.1:redis"), nil, "redis"},
		{"one address", dir("-listen", "127.0.0.1:7", "-metrics", "127.0.0.1:7"), nil, "both"},
		{"too much memory", dir("-memory", "100TiB"), nil, "memory"},
		{"too large a request", dir("-max-request", "2GiB"), nil, "max-request"},
		{"no clients", dir("-max-clients", "0"), nil, "max-clients"},
		{"negative time", dir("-drain", "-1s"), nil, "drain"},
		{"format of the log", dir("-log-format", "xml"), nil, "log-format"},
		{"half of TLS", dir("-tls-cert", "x"), nil, "need each other"},
		{"authorities alone", dir("-tls-ca", "x"), nil, "tls-ca needs"},
		{"two passwords", dir("-requirepass", "hunter2", "-requirepass-file", "x"), nil, "say one"},
		{"empty password file", dir("-requirepass-file", file(t, "p", "\nhunter2")), nil, "empty"},
		{"eviction without a bound", dir("-maxmemory-policy", "volatile-ttl"), nil, "needs max-disk"},
		{"another eviction", dir("-max-disk", "1GiB", "-maxmemory-policy", "allkeys-lru"), nil, "not there"},
		{"bound without eviction", dir("-max-disk", "1GiB"), nil, "volatile-ttl alone"},
		{"too small a bound", dir("-max-disk", "9MiB", "-retain-log", "1025KiB", "-maxmemory-policy", "volatile-ttl"), nil, "9438208 and more"},
		{"no policy of Redis", dir("-maxmemory-policy", "lru"), nil, "allowed:"},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := Load(row.args, row.environ)
			var usage *UsageError
			if !errors.As(err, &usage) || !strings.Contains(err.Error(), row.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%v, want a UsageError with %q", err, row.want)
			}
		})
	}
}

// An address that others reach needs a password or TLS, or to be forced.
func TestAddresses(t *testing.T) {
	for _, row := range []struct {
		name     string
		args     string
		ok       bool
		warnings int
	}{
		{"loopback", "-listen 127.0.0.1:6379", true, 0},
		{"loopback of IPv6", "-listen [::1]:6379 -metrics localhost:9379", true, 0},
		{"another loopback", "-listen 127.9.9.9:6379", true, 0},
		{"all", "-listen :6379", false, 0},
		{"all of IPv4", "-listen 0.0.0.0:6379", false, 0},
		{"a name", "-listen db.example:6379", false, 0},
		{"metrics", "-metrics 0.0.0.0:9379", false, 0},
		{"no metrics", "-metrics=", true, 0},
		{"forced", "-listen :6379 -insecure", true, 2},
		{"with a password", "-listen :6379 -requirepass x", true, 1},
		{"with TLS", "-listen :6379 -tls-cert x -tls-key y", true, 1},
		{"with TLS and a password", "-listen :6379 -tls-cert x -tls-key y -requirepass x", true, 0},
		{"with certificates of clients", "-listen :6379 -tls-cert x -tls-key y -tls-ca z", true, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			c, err := Load(append(strings.Fields(row.args), "-dir", "d"), nil)
			if (err == nil) != row.ok {
				t.Fatalf("%v", err)
			}
			if err == nil && len(c.Warnings()) != row.warnings {
				t.Errorf("%q, want %d", c.Warnings(), row.warnings)
			}
		})
	}
}

func TestPassword(t *testing.T) {
	for _, row := range []struct {
		name          string
		args, environ []string
		want          string
	}{
		{"flag", []string{"-requirepass", "a b"}, nil, "a b"},
		{"environment", nil, []string{"EBBD_REQUIREPASS=b=c"}, "b=c"},
		{"file", []string{"-requirepass-file", file(t, "p", " c \r\nmore")}, nil, " c "},
		{"configuration", []string{"-config", file(t, "c", "requirepass = a # b\n")}, nil, "a # b"},
	} {
		t.Run(row.name, func(t *testing.T) {
			c, err := Load(append(row.args, "-dir", "d"), row.environ)
			if err != nil || c.Password != row.want {
				t.Errorf("%v, %v", c, err)
			}
		})
	}
	open := file(t, "open", "x")
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	c, err := Load([]string{"-dir", "d", "-requirepass-file", open}, nil)
	if err != nil || len(c.Warnings()) != 1 {
		t.Errorf("%v, %v", c, err)
	}
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]size{"0": 0, "1000": 1000, "5B": 5, "64KiB": 64 << 10, "2 MiB": 2 << 20, "3GiB": 3 << 30, "1TiB": 1 << 40} {
		var s, again size
		if err := s.UnmarshalText([]byte(text)); err != nil || s != want {
			t.Errorf("%s: %d, %v", text, s, err)
		}
		if err := again.UnmarshalText([]byte(s.String())); err != nil || again != s {
			t.Errorf("%s: %s", text, s)
		}
	}
	for _, text := range []string{"", "B", "-1", "1k", "1KB", "1.5MiB", "9000000TiB", "0x10"} {
		if err := new(size).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is a size", text)
		}
	}
}

// Usage names every flag.
func TestUsage(t *testing.T) {
	var out bytes.Buffer
	Usage(&out)
	for _, want := range []string{"-dir", "-requirepass-file", "(default 256MiB)", "(default always)", "(default INFO)"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %s in %s", want, out.String())
		}
	}
	if _, err := Load([]string{"-h"}, nil); err != ErrHelp {
		t.Errorf("%v", err)
	}
}

// certificate writes a certificate of its own authority, and returns the names of its files.
func certificate(t *testing.T, name string) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotAfter: time.Now().Add(time.Hour), IsCA: true,
		BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return file(t, "cert", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))),
		file(t, "key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})))
}

func TestTLS(t *testing.T) {
	cert, key := certificate(t, "a")
	otherCert, otherKey := certificate(t, "b")
	if got, err := (&Config{}).TLS(); got != nil || err != nil || got.AsksClients() {
		t.Errorf("without: %v, %v", got, err)
	}
	for _, c := range []Config{{TLSCert: cert, TLSKey: otherKey}, {TLSCert: key, TLSKey: cert}, {TLSCert: cert, TLSKey: "/nowhere/x"},
		{TLSCert: cert, TLSKey: key, TLSCA: key}, {TLSCert: cert, TLSKey: key, TLSCA: "/nowhere/x"}} {
		var usage *UsageError
		if _, err := c.TLS(); !errors.As(err, &usage) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	c := Config{TLSCert: cert, TLSKey: key, TLSCA: cert}
	on, err := c.TLS()
	if err != nil || !on.AsksClients() {
		t.Fatalf("%v, %v", on, err)
	}
	shown := func() string {
		got, err := on.Strict().GetCertificate(nil)
		if err != nil {
			t.Fatal(err)
		}
		return got.Leaf.DNSNames[0]
	}
	if shown() != "a" {
		t.Errorf("%s is shown", shown())
	}
	for from, to := range map[string]string{otherCert: cert, otherKey: key} {
		data, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(to, data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := on.Reload(); err != nil || shown() != "b" {
		t.Errorf("after Reload: %v, %s", err, shown())
	}
	if err := os.WriteFile(key, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := on.Reload(); err == nil || shown() != "b" {
		t.Errorf("after a bad Reload: %v, %s", err, shown())
	}
}

// The configuration file has every name, behind # with its default: without the # it says what it says with it.
func TestDeployedConfiguration(t *testing.T) {
	const conf = "../../deploy/ebbd.conf"
	text, err := os.ReadFile(conf)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	var lines bytes.Buffer
	for _, m := range regexp.MustCompile(`(?m)^#([a-z-]+) =(.*)$`).FindAllStringSubmatch(string(text), -1) {
		names = append(names, m[1])
		if m[1] != "dir" && m[1] != "requirepass-file" {
			lines.WriteString(m[1] + " =" + m[2] + "\n")
		}
	}
	want := slices.DeleteFunc(Names(), func(name string) bool { return name == "config" || name == "check" || name == "version" })
	slices.Sort(names)
	if !slices.Equal(names, want) {
		t.Errorf("%v, want %v", names, want)
	}
	file := filepath.Join(t.TempDir(), "ebbd.conf")
	if err := os.WriteFile(file, lines.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := Load([]string{"-dir", "d", "-config", file}, nil)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := Load([]string{"-dir", "d", "-config", conf}, nil)
	if err != nil {
		t.Fatal(err)
	}
	got.file, plain.file = "", ""
	if *got != *plain {
		t.Errorf("%+v\n%+v", got, plain)
	}
}
