package transport

import (
	"crypto/x509"
	"io"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/certificate"
)

// revoking refuses the agents with these IDs, as a cluster does that has revoked their certificates.
func revoking(ids ...string) func(*x509.Certificate) error {
	var rows []*nomadish.RevokedCertificate
	for _, id := range ids {
		for _, role := range []string{"server", "client"} {
			rows = append(rows, &nomadish.RevokedCertificate{Role: role, AgentID: id, Time: time.Now().UnixNano()})
		}
	}
	return certificate.NewRevoked("global", rows).Check
}

// A revoked certificate gives access to nothing, in whichever way it is shown; who has it can only join, as
// everybody can who has a token. Other certificates are as good as before.
func TestRevokedCertificates(t *testing.T) {
	ca := newAuthority(t, "ca")
	own := peerTLS(t, PeerTLSConfig{}, ca.certify(t, holder{names: []string{"server.global.nomad"}}), ca)
	own.Refuse(revoking(idA))
	joined := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "joined") })
	strict := secureHub(t, HubConfig{
		Self: Hello{Kind: "server", ID: "s1", Region: "global"}, Listen: "127.0.0.1:0", Joins: joined, TLS: own,
	}, whoami)
	raftEcho(t, strict)
	https, conf, _ := secure(t, ca, 7, true)
	conf.Refuse(revoking(idA))
	for _, role := range []string{"server", "client"} {
		for id, revoked := range map[string]bool{idA: true, idB: false} {
			cert := ca.certify(t, holder{names: []string{role + ".global.nomad"}, uri: "nomadish://global/" + role + "/" + id})
			p := prober{t: t, ca: ca, cert: cert, addr: strict.Addr().String(), id: id, refuse: revoking(idA)}
			var got []string
			for i, way := range []func() error{
				p.raft, p.session("server", "global"), p.session("server", "eu"), p.session("node", "global"), p.join, p.https(https.Addrs()[0].String()), p.dialled,
			} {
				if way() == nil {
					got = append(got, ways[i])
				}
			}
			want := []string{"join"}
			switch {
			case !revoked && role == "server":
				want = []string{"raft", "server", "join", "https", "dialled"}
			case !revoked:
				want = []string{"node", "join", "https"}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s, revoked: %t: gets %q, want %q", role, revoked, got, want)
			}
		}
	}
}

// Open sessions and raft's connections with an agent end within a second when its certificate is revoked, and
// to prove that it has got another one does not help it when that is revoked as well.
func TestRevokedPeersAreCut(t *testing.T) {
	p := newPair(t, lines)
	raftEcho(t, p.server)
	say := talk(t, p.node.Dial(p.server.Addr().String()))
	names := holder{names: []string{"server.global.nomad"}, uri: "nomadish://global/server/" + idB}
	peer := secureHub(t, HubConfig{
		Self: Hello{Kind: "server", ID: idB, Region: "global"}, TLS: peerTLS(t, PeerTLSConfig{}, p.ca.certify(t, names), p.ca),
	}, whoami)
	raft, err := NewRaft(peer, func(string) (string, error) { return p.server.Addr().String(), nil }).Dial(t.Context(), idA)
	if err != nil {
		t.Fatal(err)
	}
	if err := say("x"); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	p.tls[p.server].Refuse(revoking(idB))
	until(t, "no connection being left", func() bool { return len(conns(p.server)) == 0 })
	if took := time.Since(begin); took > doubt {
		t.Errorf("it took %s, want no time to prove anything", took)
	}
	if err := say("x"); err == nil {
		t.Error("the stream goes on")
	}
	if _, err := raft.Read(make([]byte, 1)); err == nil {
		t.Error("raft's connection goes on")
	}
	if _, err := ask(t, p.node.Dial(p.server.Addr().String())); err == nil {
		t.Error("it has another session")
	}
}

// A certificate that is revoked is not taken as the next one of a session either.
func TestRevokedProof(t *testing.T) {
	p := newPair(t, lines)
	say := talk(t, p.node.Dial(p.server.Addr().String()))
	next := p.ca.certify(t, nodeNames)
	serial := certificate.Serial(next.Leaf)
	p.tls[p.server].Refuse(certificate.NewRevoked("global", []*nomadish.RevokedCertificate{{Serial: serial}}).Check)
	before := p.tls[p.node].Credentials().Certificate.Leaf
	if err := p.tls[p.node].Replace(credentialsOf(next, p.ca)); err != nil {
		t.Fatal(err)
	}
	tried := func() bool {
		for _, s := range conns(p.node) {
			s.mu.Lock()
			attempts := s.attempts
			s.mu.Unlock()
			if attempts > 0 {
				return true
			}
		}
		return false
	}
	until(t, "the node having shown the certificate", tried)
	for _, s := range conns(p.server) {
		if !s.proven()[0].Equal(before) {
			t.Error("the server takes the revoked certificate")
		}
	}
	if err := say("x"); err != nil {
		t.Errorf("the session, whose certificate is good: %v", err)
	}
}
