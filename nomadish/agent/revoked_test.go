package agent

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/certificate"
)

// sessionWith says whether an agent has a session with another one.
func sessionWith(m *machine, id string) bool {
	for _, s := range m.hub.Secured() {
		if names, err := certificate.ParseNames(s.Certificate); err == nil && names.Agent.ID == id {
			return true
		}
	}
	return false
}

// revoke has an agent's certificates be refused, and waits until no other agent has a session with it.
func (s *secured) revoke(role certificate.Role, id string, others ...*machine) {
	s.t.Helper()
	manage, _ := s.management()
	resp, err := manage.Authorities().Revoke(s.t.Context(), &nomadish.RevokeRequest{Role: string(role), AgentID: id, Reason: "stolen"})
	if err != nil || resp.Revoked.Reason != "stolen" || resp.Revoked.Name == "" {
		s.t.Fatalf("revoked %+v: %v", resp, err)
	}
	s.until("no agent having a session with "+id, func() error {
		for _, m := range others {
			if sessionWith(m, id) {
				return errors.New(m.cfg.Name)
			}
		}
		return nil
	})
}

// A node whose certificate is revoked is refused by every server, gets no other certificate, also not after it
// and they have started again; with a join token it comes back as the node that it was.
func TestRevokedNode(t *testing.T) {
	s := found(t)
	dir := t.TempDir()
	second := s.joinServer("second")
	node := s.joinNode("node", dir)
	id := node.client.NodeID()
	s.revoke(certificate.Client, id, s.first, second)
	refused := func() {
		t.Helper()
		for _, server := range []*machine{s.first, second} {
			server := server
			s.until(server.cfg.Name+" refusing the node", func() error {
				_, err := node.peer.NodeAgent().Heartbeat(t.Context(), id, "ready")
				if err == nil || sessionWith(server, id) {
					return fmt.Errorf("a heartbeat: %w", err)
				}
				return nil
			})
		}
	}
	refused()
	who := certificate.Identity{Role: certificate.Client, Region: nomadish.DefaultRegion, ID: id}
	if _, err := s.first.server.PKI().Certify(t.Context(), who, &nomadish.CertificateRequest{Trusts: "x"}, ""); nomadish.KindOf(err) != nomadish.KindDenied {
		t.Errorf("another certificate: %v, want it denied", err)
	}
	node.stop()
	second.stop()
	second = s.run(second.cfg)
	node = s.run(node.cfg)
	refused()
	node.stop()
	if again := s.joinNode("node", dir); again.client.NodeID() != id {
		t.Errorf("it comes back as %s, was %s", again.client.NodeID(), id)
	}
	status, err := s.first.server.PKI().Status(nil)
	if err != nil || len(status.Revoked) != 1 {
		t.Errorf("%d entries, %v; want the former certificates to stay revoked", len(status.Revoked), err)
	}
}

// A server whose certificate is revoked is refused by the other servers, by raft and by nodes. When the
// authority is replaced, which does not wait for it, nothing has to be remembered of it any more.
func TestRevokedServer(t *testing.T) {
	s := found(t)
	second, third := s.joinServer("second"), s.joinServer("third")
	node := s.joinNode("node", t.TempDir())
	manage, _ := s.management()
	if _, err := manage.Authorities().Revoke(t.Context(), &nomadish.RevokeRequest{Role: "server", AgentID: s.first.id}); nomadish.KindOf(err) != nomadish.KindConflict {
		t.Errorf("the leader revokes itself: %v", err)
	}
	if _, err := manage.Authorities().Revoke(t.Context(), &nomadish.RevokeRequest{Role: "server", AgentID: third.id, Reason: "stolen"}); err != nil {
		t.Fatal(err)
	}
	s.until("the server being cut off", func() error {
		for _, m := range []*machine{s.first, second, node} {
			if sessionWith(m, third.id) {
				return errors.New(m.cfg.Name)
			}
		}
		return nil
	})
	at := s.first.server.Store().Reader().Index()
	if _, err := s.first.server.PKI().CreateToken(t.Context(), &nomadish.JoinTokenRequest{Role: "client"}); err != nil {
		t.Fatal(err)
	}
	s.until("the other server having what comes after", func() error {
		if second.server.Store().Reader().Index() <= at {
			return errors.New("not yet")
		}
		return nil
	})
	if third.server.Store().Reader().Index() > at {
		t.Error("raft goes on with the server")
	}
	s.until("the node knowing of it", func() error {
		rows, err := Certificates(node.cfg.DataDir).Revoked()
		if err == nil && !slices.ContainsFunc(rows, func(r *nomadish.RevokedCertificate) bool { return r.AgentID == third.id && r.Reason == "" }) {
			err = errors.New("not yet")
		}
		return err
	})
	if _, err := s.first.server.PKI().Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.until("the authority being replaced, and nothing being revoked", func() error {
		status, err := s.first.server.PKI().Status(nil)
		if err == nil && (len(status.Authorities) != 1 || len(status.Revoked) != 0) {
			err = fmt.Errorf("%d authorities, %d revoked, waits for %s", len(status.Authorities), len(status.Revoked), strings.Join(status.Waiting, ", "))
		}
		return err
	})
}
