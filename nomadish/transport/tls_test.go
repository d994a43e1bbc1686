package transport

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
	"strings"
	"testing"
	"time"
)

// authority signs certificates for tests.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{}
	a.key = newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

// issue signs a certificate and returns it with its key, in PEM.
func (a *authority) issue(t *testing.T, usage x509.ExtKeyUsage, serial int64, ends time.Time) (cert, key []byte) {
	t.Helper()
	private := newKey(t)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "test"}, ExtKeyUsage: []x509.ExtKeyUsage{usage},
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: ends,
	}, a.cert, private.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return encodePEM("CERTIFICATE", der), encodePEM("EC PRIVATE KEY", keyDER)
}

func encodePEM(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func (a *authority) pair(t *testing.T, usage x509.ExtKeyUsage, ends time.Time) tls.Certificate {
	t.Helper()
	cert, key := a.issue(t, usage, 7, ends)
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

// secure serves over TLS with files in a directory that tests may change.
func secure(t *testing.T, ca *authority, serial int64, verify bool) (s *Server, config *TLS, dir string) {
	t.Helper()
	dir = t.TempDir()
	writeFiles(t, dir, ca, ca, serial)
	config, err := LoadTLS(TLSConfig{
		CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem"),
		CAFile: filepath.Join(dir, "ca.pem"), VerifyClient: verify,
	})
	if err != nil {
		t.Fatal(err)
	}
	s, err = Listen(ServerConfig{Addrs: []string{"127.0.0.1:0"}, TLS: config}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "hello")
	}))
	if err != nil {
		t.Fatal(err)
	}
	run(t, s.Run)
	return s, config, dir
}

// writeFiles writes a server's certificate of one authority, and the certificate of the one
// that callers have to be of.
func writeFiles(t *testing.T, dir string, server, callers *authority, serial int64) {
	t.Helper()
	cert, key := server.issue(t, x509.ExtKeyUsageServerAuth, serial, time.Now().Add(time.Hour))
	for name, b := range map[string][]byte{"cert.pem": cert, "key.pem": key, "ca.pem": encodePEM("CERTIFICATE", callers.cert.Raw)} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func browser(t *testing.T, roots *authority, pairs ...tls.Certificate) *http.Client {
	t.Helper()
	rt := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots.pool(), Certificates: pairs}}
	t.Cleanup(rt.CloseIdleConnections)
	return &http.Client{Transport: rt}
}

func visit(t *testing.T, c *http.Client, s *Server) (status int, body string, err error) {
	t.Helper()
	resp, err := c.Get("https://" + s.Addrs()[0].String() + "/")
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

// A listener that verifies callers takes those whose certificate its authority signed for
// callers, and no others: none at all, another authority's, a server's, one that has ended.
func TestCallersCertificates(t *testing.T) {
	ours, theirs := newAuthority(t, "ours"), newAuthority(t, "theirs")
	s, _, _ := secure(t, ours, 1, true)
	later := time.Now().Add(time.Hour)
	for _, tt := range []struct {
		name  string
		pairs []tls.Certificate
		want  bool
	}{
		{"ours", []tls.Certificate{ours.pair(t, x509.ExtKeyUsageClientAuth, later)}, true},
		{"none", nil, false},
		{"another authority's", []tls.Certificate{theirs.pair(t, x509.ExtKeyUsageClientAuth, later)}, false},
		{"a server's", []tls.Certificate{ours.pair(t, x509.ExtKeyUsageServerAuth, later)}, false},
		{"ended", []tls.Certificate{ours.pair(t, x509.ExtKeyUsageClientAuth, time.Now().Add(-time.Hour))}, false},
	} {
		status, body, err := visit(t, browser(t, ours, tt.pairs...), s)
		if got := err == nil && status == http.StatusOK && body == "hello"; got != tt.want {
			t.Errorf("%s: taken %v, want %v (%d %q %v)", tt.name, got, tt.want, status, body, err)
		}
	}
}

// Without a wish for certificates a caller needs none; what is not TLS, or too old, is refused.
func TestEncryptedOnly(t *testing.T) {
	ca := newAuthority(t, "ours")
	s, _, _ := secure(t, ca, 1, false)
	if status, _, err := visit(t, browser(t, ca), s); err != nil || status != http.StatusOK {
		t.Errorf("without a certificate: %d, %v", status, err)
	}
	resp, err := http.Get("http://" + s.Addrs()[0].String() + "/")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusBadRequest {
		t.Errorf("unencrypted: %s, want 400", resp.Status)
	}
	old := browser(t, ca)
	old.Transport.(*http.Transport).TLSClientConfig.MaxVersion = tls.VersionTLS11
	if _, _, err := visit(t, old, s); err == nil {
		t.Error("TLS 1.1 was taken")
	}
}

// After a reload the new certificate is shown, and a caller of the former authority is cut
// off, also on a connection that is open. Files that can't be read change nothing.
func TestReloadTLS(t *testing.T) {
	ours, theirs := newAuthority(t, "ours"), newAuthority(t, "theirs")
	s, config, dir := secure(t, ours, 1, true)
	later := time.Now().Add(time.Hour)
	caller := browser(t, ours, ours.pair(t, x509.ExtKeyUsageClientAuth, later))
	if status, _, err := visit(t, caller, s); err != nil || status != http.StatusOK {
		t.Fatalf("before: %d, %v", status, err)
	}

	if err := os.WriteFile(filepath.Join(dir, "ca.pem"), []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := config.Reload(); err == nil || !strings.Contains(err.Error(), "ca_file") {
		t.Errorf("reload of a damaged ca_file: %v, want an error that names it", err)
	}
	if status, _, err := visit(t, caller, s); err != nil || status != http.StatusOK {
		t.Errorf("after a reload that failed: %d, %v", status, err)
	}

	writeFiles(t, dir, ours, theirs, 2)
	if err := config.Reload(); err != nil {
		t.Fatal(err)
	}
	if status, body, err := visit(t, caller, s); err != nil || status != http.StatusForbidden {
		t.Errorf("on the open connection: %d %q, %v; want 403", status, body, err)
	}
	if _, _, err := visit(t, caller, s); err == nil {
		t.Error("a new connection of the former authority was taken")
	}
	next := browser(t, ours, theirs.pair(t, x509.ExtKeyUsageClientAuth, later))
	resp, err := next.Get("https://" + s.Addrs()[0].String() + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got := resp.TLS.PeerCertificates[0].SerialNumber.Int64(); got != 2 || resp.StatusCode != http.StatusOK {
		t.Errorf("after the reload: certificate %d, %s; want 2, 200", got, resp.Status)
	}
}

// What is missing is named.
func TestLoadTLSRefuses(t *testing.T) {
	dir := t.TempDir()
	writeFiles(t, dir, newAuthority(t, "a"), newAuthority(t, "b"), 1)
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for want, cfg := range map[string]TLSConfig{
		"cert_file and key_file": {CertFile: cert},
		"no such file":           {CertFile: cert, KeyFile: filepath.Join(dir, "none.pem")},
		"ca_file must be set":    {CertFile: cert, KeyFile: key, VerifyClient: true},
		"private key":            {CertFile: cert, KeyFile: cert},
	} {
		if _, err := LoadTLS(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want an error with %q", cfg, err, want)
		}
	}
}
