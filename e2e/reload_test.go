//go:build linux

package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nomadish/nomadish/e2e/machine"
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/api"
)

// authority signs certificates.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	next int64 // serial number
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{t: t, next: 1}
	a.cert = &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), SerialNumber: big.NewInt(a.next),
	}
	var der []byte
	a.key, der = a.sign(a.cert)
	var err error
	a.cert, err = x509.ParseCertificate(der)
	must(t, err)
	return a
}

// sign makes a key and signs a certificate for it.
func (a *authority) sign(cert *x509.Certificate) (*ecdsa.PrivateKey, []byte) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(a.t, err)
	signer := a.key
	if signer == nil {
		signer = key
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, a.cert, &key.PublicKey, signer)
	must(a.t, err)
	return key, der
}

// issue writes a certificate for this machine, with the next serial number, and its key.
func (a *authority) issue(certFile, keyFile string) int64 {
	a.t.Helper()
	a.next++
	key, der := a.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: "somebody"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, SerialNumber: big.NewInt(a.next),
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
	private, err := x509.MarshalPKCS8PrivateKey(key)
	must(a.t, err)
	writePEM(a.t, certFile, "CERTIFICATE", der)
	writePEM(a.t, keyFile, "PRIVATE KEY", private)
	return a.next
}

func (a *authority) write(file string) {
	a.t.Helper()
	writePEM(a.t, file, "CERTIFICATE", a.cert.Raw)
}

func writePEM(t *testing.T, file, kind string, data []byte) {
	t.Helper()
	must(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: data}), 0o600))
}

// encrypted is a node that serves TLS and takes only callers with a certificate.
type encrypted struct {
	*machine.Node
	dir             string
	servers, people *authority // who signs the agent's certificates, and the callers'
	serial          int64      // of the agent's certificate
}

func (e *encrypted) path(name string) string { return filepath.Join(e.dir, name) }

func newEncrypted(t *testing.T) *encrypted {
	t.Helper()
	e := &encrypted{dir: t.TempDir(), servers: newAuthority(t, "servers"), people: newAuthority(t, "people")}
	e.servers.write(e.path("servers.pem"))
	e.people.write(e.path("people.pem"))
	e.serial = e.servers.issue(e.path("cert.pem"), e.path("key.pem"))
	e.people.issue(e.path("mine.pem"), e.path("mine-key.pem"))
	n, err := machine.New(machine.Config{Dir: t.TempDir(), Agent: map[string]any{"tls": map[string]any{
		"http": true, "verify_https_client": true,
		"ca_file": e.path("people.pem"), "cert_file": e.path("cert.pem"), "key_file": e.path("key.pem"),
	}}})
	must(t, err)
	e.Node = n
	t.Cleanup(func() {
		n.Report(t)
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	n.API = e.client(t, "mine")
	restart(t, n)
	return e
}

// client asks with one of the callers' certificates.
func (e *encrypted) client(t *testing.T, name string) *api.Client {
	t.Helper()
	c, err := api.New(api.Config{Address: "https://" + e.Addr, TLS: api.TLSConfig{
		CACert: e.path("servers.pem"), ClientCert: e.path(name + ".pem"), ClientKey: e.path(name + "-key.pem"),
	}})
	must(t, err)
	return c
}

// reload sends what "systemctl reload" sends, and waits until the agent says in its log what
// came of it.
func (e *encrypted) reload(t *testing.T, says string) {
	t.Helper()
	before := strings.Count(e.LogTail(1<<30), says)
	must(t, syscall.Kill(e.PID(), syscall.SIGHUP))
	must(t, machine.Until(testContext(t), "the agent says "+says, func(context.Context) error {
		if strings.Count(e.LogTail(1<<30), says) == before {
			return errors.New("it does not")
		}
		return nil
	}))
}

// presented is the serial number of the certificate that new connections are shown.
func (e *encrypted) presented(t *testing.T) int64 {
	t.Helper()
	dialer := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // what is presented is looked at below
	conn, err := dialer.DialContext(testContext(t), "tcp", e.Addr)
	must(t, err)
	defer conn.Close()
	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber.Int64()
}

// A reload by SIGHUP gives effect to new certificates: the agent's own, and those of whom it
// takes requests. Where they can't be read, all stays as it was. Tasks and open connections go on.
func TestReloadOfCertificates(t *testing.T) {
	const reloaded, refused = `msg="configuration reloaded"`, `msg="the configuration is not reloaded"`
	e := newEncrypted(t)
	ctx := testContext(t)
	_, err := e.Register(ctx, machine.Shell("stays", nomadish.JobTypeService, "exec sleep 1000"))
	must(t, err)
	before := running(t, e.Node, "stays", 1)
	if got := e.presented(t); got != e.serial {
		t.Fatalf("the agent shows certificate %d, want %d", got, e.serial)
	}

	e.serial = e.servers.issue(e.path("cert.pem"), e.path("key.pem"))
	e.reload(t, reloaded)
	if got := e.presented(t); got != e.serial {
		t.Errorf("after a reload the agent shows certificate %d, want %d", got, e.serial)
	}

	must(t, os.WriteFile(e.path("cert.pem"), []byte("no certificate"), 0o600))
	e.reload(t, refused)
	if got := e.presented(t); got != e.serial {
		t.Errorf("after a reload that failed the agent shows certificate %d, want %d", got, e.serial)
	}
	if after := running(t, e.Node, "stays", 1); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("allocations and processes are %v, want %v", after, before)
	}

	// From now on others sign the certificates of callers: who has one of before is cut off, on
	// connections that are open, too.
	held := e.API
	others := newAuthority(t, "others")
	others.write(e.path("people.pem"))
	others.issue(e.path("new.pem"), e.path("new-key.pem"))
	e.servers.issue(e.path("cert.pem"), e.path("key.pem"))
	e.reload(t, reloaded)
	if _, _, err := held.Jobs().List(ctx, nil); err == nil {
		t.Error("a caller whose certificate is not trusted any more is still answered")
	}
	e.API = e.client(t, "new")
	if after := running(t, e.Node, "stays", 1); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("to a caller with a new certificate allocations and processes are %v, want %v", after, before)
	}
	must(t, e.Stopped(ctx, "stays", true))
}

// A connection outlives a reload that leaves its caller trusted.
func TestReloadKeepsConnections(t *testing.T) {
	e := newEncrypted(t)
	pair, err := tls.LoadX509KeyPair(e.path("mine.pem"), e.path("mine-key.pem"))
	must(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(e.servers.cert)
	var dials atomic.Int64
	transport := &http.Transport{TLSClientConfig: &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: roots, MinVersion: tls.VersionTLS12}}
	transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		dials.Add(1)
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}
	defer transport.CloseIdleConnections()
	get := func() error {
		req, err := http.NewRequestWithContext(testContext(t), http.MethodGet, "https://"+e.Addr+"/v1/status/leader", nil)
		if err != nil {
			return err
		}
		resp, err := (&http.Client{Transport: transport}).Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		_, err = io.Copy(io.Discard, resp.Body) // else the connection is not used again
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("status %s", resp.Status)
		}
		return err
	}
	must(t, get())
	e.servers.issue(e.path("cert.pem"), e.path("key.pem"))
	e.reload(t, `msg="configuration reloaded"`)
	must(t, get())
	if n := dials.Load(); n != 1 {
		t.Errorf("%d connections, want one", n)
	}
}
