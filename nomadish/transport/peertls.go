package transport

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/certificate"
)

// What an encrypted connection between agents is for is settled with its handshake, by ALPN.
const (
	alpnAPI  = "nomadish-api"  // a session; a Hello follows
	alpnRaft = "nomadish-raft" // raft's own
	alpnJoin = "nomadish-join" // HTTP of somebody who has no certificate yet
)

// PeerTLSConfig says how the connections between agents are encrypted.
type PeerTLSConfig struct {
	Region string // of this agent; default global
	// AnyName takes certificates that name no role, in every role. Those that name one are held
	// to it in any case.
	AnyName bool
	// Upgrade takes connections also unencrypted, and dials unencrypted who can't do better:
	// while the agents of a cluster are given certificates, one after the other.
	Upgrade      bool
	MinVersion   uint16           // default TLS 1.2
	CipherSuites []uint16         // of TLS 1.2; default: those that package tls calls secure
	Now          func() time.Time // wall clock, for the ends of certificates; default time.Now
}

// Credentials are what an agent shows to others, and whose certificates it takes.
type Credentials struct {
	Certificate tls.Certificate // with its Leaf
	Authorities []*x509.Certificate
	// Elsewhere are authorities of other regions: who has a certificate of theirs is a server of another
	// region, and nothing else.
	Elsewhere []*x509.Certificate
}

// PeerTLS holds the credentials with which agents talk to each other. They can be replaced
// while they are in use.
type PeerTLS struct {
	cfg PeerTLSConfig

	mu      sync.Mutex
	current *credentials
	refuse  func(*x509.Certificate) error
	changed chan struct{} // closed when current or refuse is replaced
}

// credentials are one state of the credentials in use.
type credentials struct {
	Credentials
	own   *x509.CertPool // Authorities
	roots *x509.CertPool // and Elsewhere
}

// NewPeerTLS returns credentials for a hub.
func NewPeerTLS(cfg PeerTLSConfig, c Credentials) (*PeerTLS, error) {
	cfg.Region = cmp.Or(cfg.Region, nomadish.DefaultRegion)
	cfg.MinVersion = cmp.Or(cfg.MinVersion, tls.VersionTLS12)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	t := &PeerTLS{cfg: cfg, changed: make(chan struct{})}
	return t, t.Replace(c)
}

// Replace has new connections use other credentials. Open sessions are shown the new
// certificate; those whose peer is not trusted any more end within seconds. After an error
// everything stays as it was.
func (t *PeerTLS) Replace(c Credentials) error {
	if len(c.Certificate.Certificate) == 0 || len(c.Authorities) == 0 {
		return errors.New("tls: there must be a certificate, and authorities to trust")
	}
	if c.Certificate.Leaf == nil {
		leaf, err := x509.ParseCertificate(c.Certificate.Certificate[0])
		if err != nil {
			return fmt.Errorf("tls: %w", err)
		}
		c.Certificate.Leaf = leaf
	}
	if _, err := certificate.ParseNames(c.Certificate.Leaf); err != nil {
		return fmt.Errorf("tls: %w", err)
	}
	next := &credentials{Credentials: c, own: x509.NewCertPool(), roots: x509.NewCertPool()}
	for _, a := range c.Authorities {
		next.own.AddCert(a)
		next.roots.AddCert(a)
	}
	for _, a := range c.Elsewhere {
		next.roots.AddCert(a)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.current = next
	close(t.changed)
	t.changed = make(chan struct{})
	return nil
}

// Refuse has certificates be refused that are otherwise good: those for which refuse returns why. Sessions
// and connections whose peers have shown such end at once, and nobody is asked for another certificate.
func (t *PeerTLS) Refuse(refuse func(*x509.Certificate) error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.refuse = refuse
	close(t.changed)
	t.changed = make(chan struct{})
}

// refused says why the certificate of a chain is refused.
func (t *PeerTLS) refused(chain []*x509.Certificate) error {
	t.mu.Lock()
	refuse := t.refuse
	t.mu.Unlock()
	if refuse == nil || len(chain) == 0 {
		return nil
	}
	return refuse(chain[0])
}

// Credentials returns what is in use.
func (t *PeerTLS) Credentials() Credentials { return t.state().Credentials }

func (t *PeerTLS) state() *credentials {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.current
}

func (t *PeerTLS) change() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.changed
}

// ReadCredentials reads credentials from files in PEM.
func ReadCredentials(certFile, keyFile, caFile string) (Credentials, error) {
	if certFile == "" || keyFile == "" || caFile == "" {
		return Credentials{}, errors.New("tls: ca_file, cert_file and key_file must be set")
	}
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return Credentials{}, fmt.Errorf("tls: %w", err)
	}
	text, err := os.ReadFile(caFile)
	if err != nil {
		return Credentials{}, fmt.Errorf("tls: ca_file: %w", err)
	}
	authorities, err := certificate.ParsePEM(text)
	if err != nil {
		return Credentials{}, fmt.Errorf("tls: ca_file: %s: %w", caFile, err)
	}
	return Credentials{Certificate: pair, Authorities: authorities}, nil
}

// server returns how connections are accepted. Who only joins has no certificate.
func (t *PeerTLS) server(joins bool) *tls.Config {
	protocols := []string{alpnAPI, alpnRaft}
	if joins {
		protocols = append(protocols, alpnJoin)
	}
	return &tls.Config{
		MinVersion: t.cfg.MinVersion, NextProtos: protocols,
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			now := t.state()
			c := t.base(now)
			if joins && slices.Equal(hello.SupportedProtos, []string{alpnJoin}) {
				c.NextProtos = []string{alpnJoin}
				return c, nil
			}
			c.NextProtos = []string{alpnAPI, alpnRaft}
			c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, now.roots
			c.VerifyConnection = func(s tls.ConnectionState) error { return t.refused(s.PeerCertificates) }
			return c, nil
		},
	}
}

func (t *PeerTLS) base(now *credentials) *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{now.Certificate}, MinVersion: t.cfg.MinVersion, CipherSuites: t.cfg.CipherSuites, Time: t.cfg.Now,
		// What was trusted when a session was set up may not be now.
		SessionTicketsDisabled: true,
	}
}

// client returns how a connection is dialled. Its certificate is checked by its authority and by
// what it names, which is a role and no host.
func (t *PeerTLS) client(protocol string) *tls.Config {
	now := t.state()
	c := t.base(now)
	c.NextProtos = []string{protocol}
	c.ServerName = certificate.Server.Name(t.cfg.Region)
	c.InsecureSkipVerify = true // VerifyConnection does it
	c.VerifyConnection = func(s tls.ConnectionState) error {
		if s.NegotiatedProtocol != protocol {
			return fmt.Errorf("the other side does not speak %s", protocol)
		}
		return t.verify(now.roots, s.PeerCertificates, x509.ExtKeyUsageServerAuth)
	}
	return c
}

// verify says why a chain of certificates is not trusted.
func (t *PeerTLS) verify(roots *x509.CertPool, chain []*x509.Certificate, usage x509.ExtKeyUsage) error {
	if len(chain) == 0 {
		return errors.New("no certificate was shown")
	}
	if err := t.refused(chain); err != nil {
		return err
	}
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: t.cfg.Now(), KeyUsages: []x509.ExtKeyUsage{usage},
	})
	return err
}

// check says why the holder of a certificate, which was verified, can't be who it says it is.
func (t *PeerTLS) check(chain []*x509.Certificate, usage x509.ExtKeyUsage, kind nomadish.CallerKind, region, id string) error {
	if len(chain) == 0 {
		return nomadish.Errorf(nomadish.KindDenied, "no certificate was shown")
	}
	names, err := certificate.ParseNames(chain[0])
	if err != nil {
		return nomadish.Errorf(nomadish.KindDenied, "%w", err)
	}
	if kind != nomadish.CallerServer || strings.EqualFold(region, t.cfg.Region) {
		if err := t.verify(t.state().own, chain, usage); err != nil {
			return nomadish.Errorf(nomadish.KindDenied, "the certificate is of no authority of the region %s: %w", t.cfg.Region, err)
		}
	}
	if t.cfg.AnyName && names.Unnamed() {
		return nil
	}
	role := certificate.Client
	if kind == nomadish.CallerServer {
		role = certificate.Server
	}
	return names.Check(certificate.Identity{Role: role, Region: region, ID: id})
}

// region is the one that an agent says it is of.
func (t *PeerTLS) region(said string) string { return cmp.Or(said, t.cfg.Region) }

// recordHandshake is the first byte of a connection in TLS.
const recordHandshake = 0x16

// prefixed is a connection of which the beginning has been read already.
type prefixed struct {
	net.Conn
	prefix []byte
}

func (c *prefixed) Read(p []byte) (int, error) {
	if len(c.prefix) > 0 {
		n := copy(p, c.prefix)
		c.prefix = c.prefix[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}
