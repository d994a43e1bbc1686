package transport

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const (
	idA = "00000001-0000-4000-8000-000000000000"
	idB = "00000002-0000-4000-8000-000000000000"
)

// holder says whose certificate a test wants.
type holder struct {
	common string
	names  []string
	uri    string
	ends   time.Duration // default an hour
	usage  []x509.ExtKeyUsage
}

// certify signs a certificate for h, and returns it with its key.
func (a *authority) certify(t *testing.T, h holder) tls.Certificate {
	t.Helper()
	key := newKey(t)
	ends := time.Now().Add(time.Hour)
	if h.ends != 0 {
		ends = time.Now().Add(h.ends)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: h.common}, DNSNames: h.names,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		NotBefore:   time.Now().Add(-2 * time.Hour), NotAfter: ends,
	}
	if h.usage != nil {
		template.ExtKeyUsage = h.usage
	}
	if h.uri != "" {
		u, err := url.Parse(h.uri)
		if err != nil {
			t.Fatal(err)
		}
		template.URIs = []*url.URL{u}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func peerTLS(t *testing.T, cfg PeerTLSConfig, cert tls.Certificate, authorities ...*authority) *PeerTLS {
	t.Helper()
	p, err := NewPeerTLS(cfg, credentialsOf(cert, authorities...))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func credentialsOf(cert tls.Certificate, authorities ...*authority) Credentials {
	c := Credentials{Certificate: cert}
	for _, a := range authorities {
		c.Authorities = append(c.Authorities, a.cert)
	}
	return c
}

func secureHub(t *testing.T, cfg HubConfig, h http.Handler) *Hub {
	t.Helper()
	hub, err := NewHub(cfg, h)
	if err != nil {
		t.Fatal(err)
	}
	run(t, hub.Run)
	return hub
}

// matrixHolders are those whose certificates are tried: by name, in the order of the table's lines.
func matrixHolders(ca, other *authority, t *testing.T) []struct {
	name string
	cert tls.Certificate
} {
	both := []string{"server.global.nomad"}
	type line = struct {
		name string
		cert tls.Certificate
	}
	return []line{
		{"server", ca.certify(t, holder{names: both})},
		{"server with its ID", ca.certify(t, holder{names: both, uri: "nomadish://global/server/" + idA})},
		{"server with another ID", ca.certify(t, holder{names: both, uri: "nomadish://global/server/" + idB})},
		{"server of another region", ca.certify(t, holder{names: []string{"server.eu.nomad"}})},
		{"client", ca.certify(t, holder{names: []string{"client.global.nomad"}})},
		{"client with its ID", ca.certify(t, holder{names: []string{"client.global.nomad"}, uri: "nomadish://global/client/" + idA})},
		{"client with another ID", ca.certify(t, holder{names: []string{"client.global.nomad"}, uri: "nomadish://global/client/" + idB})},
		{"client of another region", ca.certify(t, holder{names: []string{"client.eu.nomad"}})},
		{"server by its URI alone", ca.certify(t, holder{uri: "nomadish://global/server/" + idA})},
		{"cli", ca.certify(t, holder{names: []string{"cli.global.nomad"}})},
		{"expired", ca.certify(t, holder{names: both, ends: -time.Minute})},
		{"self-signed", other.certify(t, holder{names: both})},
		{"wrong name", ca.certify(t, holder{names: []string{"server.global.example"}})},
		{"common name alone", ca.certify(t, holder{common: "server.global.nomad"})},
		{"wildcard", ca.certify(t, holder{names: []string{"*.global.nomad"}})},
		{"for servers of the web", ca.certify(t, holder{names: both, usage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})},
		{"none", tls.Certificate{}},
	}
}

// ways are what a certificate may give access to, in the order of the table's columns: raft, a
// session as a server of this region and of another, one as a node, joining, the API over HTTPS
// where callers need certificates, and being taken for a server by who dials.
var ways = []string{"raft", "server", "server of eu", "node", "join", "https", "dialled"}

// matrix is what is expected. With AnyName, certificates of the authority without a role are
// good for all, as Nomad has it without verify_server_hostname.
const matrix = `
server                    raft server - node join https dialled
server with its ID        raft server - - join https dialled
server with another ID    raft - - - join https -
server of another region  - - eu - join https -
client                    - - - node join https -
client with its ID        - - - node join https -
client with another ID    - - - - join https -
client of another region  - - - - join https -
server by its URI alone   - - - - join https -
cli                       - - - - join https -
expired                   - - - - join - -
self-signed               - - - - join - -
wrong name                - - - - join https -
common name alone         - - - - join https -
wildcard                  - - - - join https -
for servers of the web    - - - - join - dialled
none                      - - - - join - -
`

// Who holds which certificate gets where: every combination.
func TestCertificateMatrix(t *testing.T) {
	ca, other := newAuthority(t, "ca"), newAuthority(t, "other")
	own := ca.certify(t, holder{names: []string{"server.global.nomad"}})
	joined := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "joined") })
	strict := secureHub(t, HubConfig{
		Self: Hello{Kind: "server", ID: "s1", Region: "global"}, Listen: "127.0.0.1:0", Joins: joined, TLS: peerTLS(t, PeerTLSConfig{}, own, ca),
	}, whoami)
	raftEcho(t, strict)
	https := httpsServer(t, ca)
	lines := []string{""}
	for _, h := range matrixHolders(ca, other, t) {
		p := prober{t: t, ca: ca, cert: h.cert, addr: strict.Addr().String()}
		line := fmt.Sprintf("%-25s", h.name)
		for i, way := range []func() error{
			p.raft, p.session("server", "global"), p.session("server", "eu"), p.session("node", "global"), p.join, p.https(https), p.dialled,
		} {
			word := strings.Fields(ways[i])[len(strings.Fields(ways[i]))-1]
			if err := way(); err != nil {
				word = "-"
			}
			line += " " + word
		}
		lines = append(lines, line)
	}
	if diff := cmp.Diff(strings.Split(matrix, "\n"), append(lines, "")); diff != "" {
		t.Errorf("who gets where (-want +got):\n%s", diff)
	}
}

// Without names to go by, an authority's certificates are good for every role; those that name a
// role or region are held to it all the same.
func TestAnyName(t *testing.T) {
	ca, other := newAuthority(t, "ca"), newAuthority(t, "other")
	own := ca.certify(t, holder{names: []string{"localhost"}})
	hub := secureHub(t, HubConfig{
		Self: Hello{Kind: "server", ID: "s1", Region: "global"}, Listen: "127.0.0.1:0", TLS: peerTLS(t, PeerTLSConfig{AnyName: true}, own, ca),
	}, whoami)
	raftEcho(t, hub)
	unnamed := []string{"cli", "wrong name", "common name alone", "wildcard"}
	for _, h := range matrixHolders(ca, other, t) {
		if h.name == "none" {
			continue
		}
		p := prober{t: t, ca: ca, cert: h.cert, addr: hub.Addr().String(), any: true}
		want := slices.Contains(unnamed, h.name) || h.name == "server" || h.name == "server with its ID"
		if err := p.session("server", "global")(); (err == nil) != want {
			t.Errorf("%s as a server: %v, want it let in: %t", h.name, err, want)
		}
		if err := p.raft(); (err == nil) != (want || h.name == "server with another ID") {
			t.Errorf("%s for raft: %v", h.name, err)
		}
	}
}

// An authority of another region makes servers of other regions, and nothing of this one.
func TestAuthoritiesElsewhere(t *testing.T) {
	ca, other := newAuthority(t, "ca"), newAuthority(t, "other")
	own, err := NewPeerTLS(PeerTLSConfig{}, Credentials{
		Certificate: ca.certify(t, holder{names: []string{"server.global.nomad"}}), Authorities: []*x509.Certificate{ca.cert}, Elsewhere: []*x509.Certificate{other.cert},
	})
	if err != nil {
		t.Fatal(err)
	}
	hub := secureHub(t, HubConfig{Self: Hello{Kind: "server", ID: idA, Region: "global"}, Listen: "127.0.0.1:0", TLS: own}, whoami)
	raftEcho(t, hub)
	for _, tt := range []struct {
		name, kind, region string
		session, raft      bool
	}{
		{"server.eu.nomad", "server", "eu", true, false},
		{"server.global.nomad", "server", "global", false, false},
		{"server.global.nomad", "node", "global", false, false},
		{"client.global.nomad", "node", "global", false, false},
		{"client.eu.nomad", "server", "eu", false, false},
		{"server.eu.nomad", "server", "global", false, false},
	} {
		theirs, err := NewPeerTLS(PeerTLSConfig{Region: tt.region}, Credentials{
			Certificate: other.certify(t, holder{names: []string{tt.name}}), Authorities: []*x509.Certificate{other.cert, ca.cert},
		})
		if err != nil {
			t.Fatal(err)
		}
		peer := secureHub(t, HubConfig{Self: Hello{Kind: tt.kind, ID: idB, Region: tt.region}, TLS: theirs}, whoami)
		if _, err := ask(t, peer.Dial(hub.Addr().String())); (err == nil) != tt.session {
			t.Errorf("%s as %s of %s: %v, want a session: %t", tt.name, tt.kind, tt.region, err, tt.session)
		}
		c, err := NewRaft(peer, func(string) (string, error) { return hub.Addr().String(), nil }).Dial(t.Context(), idA)
		if err == nil {
			_, _ = io.WriteString(c, "raft")
			_, err = io.ReadFull(c, make([]byte, 4))
			_ = c.Close()
		}
		if (err == nil) != tt.raft {
			t.Errorf("%s of %s for raft: %v, want it: %t", tt.name, tt.region, err, tt.raft)
		}
	}
}

// prober tries what a certificate gives access to.
type prober struct {
	t    *testing.T
	ca   *authority
	cert tls.Certificate
	addr string
	any  bool

	id     string                        // of the holder; default idA
	refuse func(*x509.Certificate) error // of who dials it; nil: nobody is refused
}

func (p prober) self() string {
	if p.id == "" {
		return idA
	}
	return p.id
}

// hub is one whose holder has the certificate.
func (p prober) hub(self Hello, listen string) (*Hub, error) {
	if len(p.cert.Certificate) == 0 {
		return nil, errors.New("a hub needs a certificate")
	}
	hub := secureHub(p.t, HubConfig{Self: self, Listen: listen, TLS: peerTLS(p.t, PeerTLSConfig{AnyName: p.any}, p.cert, p.ca)}, whoami)
	return hub, nil
}

func (p prober) session(kind, region string) func() error {
	return func() error {
		hub, err := p.hub(Hello{Kind: kind, ID: p.self(), Region: region}, "")
		if err != nil {
			return err
		}
		_, err = ask(p.t, hub.Dial(p.addr))
		return err
	}
}

func (p prober) raft() error {
	hub, err := p.hub(Hello{Kind: "server", ID: p.self()}, "")
	if err != nil {
		return err
	}
	c, err := NewRaft(hub, func(string) (string, error) { return p.addr, nil }).Dial(p.t.Context(), "s1")
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := io.WriteString(c, "raft"); err != nil {
		return err
	}
	_, err = io.ReadFull(c, make([]byte, 4))
	return err
}

func (p prober) join() error {
	conf := &tls.Config{RootCAs: p.ca.pool(), ServerName: "server.global.nomad", NextProtos: []string{alpnJoin}}
	if len(p.cert.Certificate) > 0 {
		conf.Certificates = []tls.Certificate{p.cert}
	}
	return fetch(p.t, conf, p.addr)
}

func (p prober) https(addr string) func() error {
	return func() error {
		conf := &tls.Config{RootCAs: p.ca.pool(), ServerName: "localhost"}
		if len(p.cert.Certificate) > 0 {
			conf.Certificates = []tls.Certificate{p.cert}
		}
		return fetch(p.t, conf, addr)
	}
}

// dialled says whether somebody who dials takes the holder for the server that it says it is.
func (p prober) dialled() error {
	hub, err := p.hub(Hello{Kind: "server", ID: p.self(), Region: "global"}, "127.0.0.1:0")
	if err != nil {
		return err
	}
	good := p.ca.certify(p.t, holder{names: []string{"client.global.nomad"}})
	own := peerTLS(p.t, PeerTLSConfig{}, good, p.ca)
	own.Refuse(p.refuse)
	node := secureHub(p.t, HubConfig{Self: Hello{Kind: "node", ID: idB, Region: "global"}, TLS: own}, whoami)
	_, err = ask(p.t, node.Dial(hub.Addr().String()))
	return err
}

func fetch(t *testing.T, conf *tls.Config, addr string) error {
	t.Helper()
	tr := &http.Transport{TLSClientConfig: conf}
	defer tr.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+addr+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return nil
}

// raftEcho returns on each of raft's connections what comes in.
func raftEcho(t *testing.T, hub *Hub) {
	t.Helper()
	raft := NewRaft(hub, nil)
	run(t, func(ctx context.Context) error {
		for {
			c, err := raft.Accept(ctx)
			if err != nil {
				return nil
			}
			_, _ = io.CopyN(c, c, 4)
			_ = c.Close()
		}
	})
}

func httpsServer(t *testing.T, ca *authority) string {
	t.Helper()
	s, _, _ := secure(t, ca, 7, true)
	return s.Addrs()[0].String()
}
