package agent

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/certificate"
	"github.com/nomadish/nomadish/nomadish/transport"
)

// office issues certificates by hand.
type office struct {
	t   *testing.T
	ca  *certificate.Authority
	dir string
}

func newOffice(t *testing.T) *office {
	t.Helper()
	ca, err := certificate.NewAuthority(certificate.AuthorityConfig{})
	if err != nil {
		t.Fatal(err)
	}
	return &office{t, ca, t.TempDir()}
}

// issue writes a certificate for an agent to a file, with its key and the authority.
func (o *office) issue(name string, who certificate.Identity) string {
	o.t.Helper()
	key, err := certificate.NewKey()
	if err != nil {
		o.t.Fatal(err)
	}
	c, err := o.ca.Issue(certificate.Order{Identity: who, Hosts: []string{"localhost"}, Key: key.Public(), TTL: time.Hour})
	if err != nil {
		o.t.Fatal(err)
	}
	private, err := certificate.EncodeKey(key)
	if err != nil {
		o.t.Fatal(err)
	}
	path := filepath.Join(o.dir, name+".pem")
	if err := os.WriteFile(path, append(certificate.EncodePEM(c, o.ca.Certificate), private...), 0o600); err != nil {
		o.t.Fatal(err)
	}
	return path
}

func (o *office) agent(role string) *PeerTLS {
	file := o.issue(role, certificate.Identity{Role: certificate.Role(role), Region: "global"})
	ca := filepath.Join(o.dir, "ca.pem")
	if err := os.WriteFile(ca, certificate.EncodePEM(o.ca.Certificate), 0o600); err != nil {
		o.t.Fatal(err)
	}
	return &PeerTLS{CertFile: file, KeyFile: file, CAFile: ca}
}

// hub is somebody with a certificate who says who it is.
func (o *office) hub(who certificate.Identity, self transport.Hello) *transport.Hub {
	o.t.Helper()
	file := o.issue("stranger", who)
	pair, err := tls.LoadX509KeyPair(file, file)
	if err != nil {
		o.t.Fatal(err)
	}
	secure, err := transport.NewPeerTLS(transport.PeerTLSConfig{}, transport.Credentials{Certificate: pair, Authorities: []*x509.Certificate{o.ca.Certificate}})
	if err != nil {
		o.t.Fatal(err)
	}
	hub, err := transport.NewHub(transport.HubConfig{Self: self, TLS: secure}, http.NotFoundHandler())
	if err != nil {
		o.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- hub.Run(ctx) }()
	o.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			o.t.Error(err)
		}
	})
	return hub
}

// With a certificate of its role and a session, an agent still has no rights but its own: of what the
// table refuses to somebody without a token, a node gets only what is that very node's, and another node nothing.
// Who shows a certificate for less than it says it is gets no session.
func TestAccessOverSessions(t *testing.T) {
	o := newOffice(t)
	g := newGuardedWith(t, o.agent)
	addr := g.server.RPCAddr().String()
	client := certificate.Identity{Role: certificate.Client, Region: "global"}
	other := o.hub(client, transport.Hello{Kind: "node", ID: nomadish.NewID(), Region: "global", Secret: nomadish.NewID()})
	asked := 0
	for name, way := range map[string]http.RoundTripper{"its own session": g.node.servers, "another node's session": other.Dial(addr)} {
		via := &asker{g: g, name: name, addr: stringAddr("127.0.0.1"), http: &http.Client{Transport: way}}
		for _, l := range readAccess(t) {
			own := strings.Contains(l.needs, "that-node") && name == "its own session"
			if l.columns[slices.Index(askers, "none")] == '+' || own {
				continue
			}
			path, body := g.example(l)
			asked++
			if status, text := via.do("none", l.method, path, body); status != http.StatusForbidden {
				t.Errorf("over %s: %s %s: %d %.120s, want it refused", name, l.method, path, status, text)
			}
		}
	}
	t.Logf("%d requests", asked)
	server := certificate.Identity{Role: certificate.Server, Region: "global"}
	nodeID := g.node.client.NodeID()
	for name, hub := range map[string]*transport.Hub{
		"a client as a server":               o.hub(client, transport.Hello{Kind: "server", ID: g.server.id, Region: "global"}),
		"a server that nobody knows":         o.hub(server, transport.Hello{Kind: "server", ID: nomadish.NewID(), Region: "global"}),
		"a server of another region as ours": o.hub(certificate.Identity{Role: certificate.Server, Region: "eu"}, transport.Hello{Kind: "server", ID: g.server.id, Region: "global"}),
		"a node without its secret":          o.hub(client, transport.Hello{Kind: "node", ID: nodeID, Region: "global", Secret: "x"}),
		"another agent's certificate":        o.hub(certificate.Identity{Role: certificate.Client, Region: "global", ID: nomadish.NewID()}, transport.Hello{Kind: "node", ID: nodeID, Region: "global", Secret: g.node.client.SecretID().Reveal()}),
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1/v1/agent/health", nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp, err := hub.Dial(addr).RoundTrip(req); err == nil {
			_ = resp.Body.Close()
			t.Errorf("%s has a session", name)
		} else if !strings.Contains(err.Error(), "refused") {
			t.Errorf("%s: %v, want to be refused", name, err)
		}
	}
}

// stringAddr is an address by its text.
type stringAddr string

func (stringAddr) Network() string  { return "session" }
func (a stringAddr) String() string { return string(a) }
