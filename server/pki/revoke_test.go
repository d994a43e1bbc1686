package pki_test

import (
	"testing"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/certificate"
	"github.com/nomadish/nomadish/server/fsm"
)

// check says why the servers refuse a certificate.
func (w *world) check(der []byte) error {
	w.t.Helper()
	return certificate.NewRevoked("global", w.Revoked(nil)).Check(parse(w.t, der))
}

func (w *world) revoke(req nomadish.RevokeRequest) *nomadish.RevokedCertificate {
	w.t.Helper()
	resp, err := w.Revoke(w.t.Context(), &req)
	if err != nil {
		w.t.Fatal(err)
	}
	return resp.Revoked
}

// All certificates of a revoked agent are refused, the newest and those before; it gets no other one until it joins
// again, in the very same second too, and that one is good and renewed as others are. Other agents are not concerned.
func TestRevokeAgent(t *testing.T) {
	w := newWorld(t)
	who, other := w.join(certificate.Client), w.join(certificate.Client)
	var former [][]byte
	for range 2 {
		w.pass(time.Hour)
		resp, err := w.Certify(t.Context(), who, &nomadish.CertificateRequest{Request: request(t, nil)}, "")
		if err != nil {
			t.Fatal(err)
		}
		former = append(former, resp.Certificate)
	}
	others, err := w.Certify(t.Context(), other, &nomadish.CertificateRequest{Request: request(t, nil)}, "")
	if err != nil {
		t.Fatal(err)
	}
	w.revoke(nomadish.RevokeRequest{Role: "client", AgentID: who.ID, Reason: "stolen"})
	for _, der := range former {
		if w.check(der) == nil {
			t.Error("a certificate from before is taken")
		}
	}
	if err := w.check(others.Certificate); err != nil {
		t.Errorf("another agent's certificate: %v", err)
	}
	for _, req := range []nomadish.CertificateRequest{{Request: request(t, nil)}, {Trusts: "x"}} {
		if _, err := w.Certify(t.Context(), who, &req, ""); nomadish.KindOf(err) != nomadish.KindDenied {
			t.Errorf("the next certificate: %v, want it denied", err)
		}
	}
	again, err := w.Join(t.Context(), &nomadish.EnrollRequest{
		Token: w.token(nomadish.JoinTokenRequest{Role: "client"}), Role: "client", ID: who.ID, Request: request(t, nil),
	}, anybody)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.check(again.Certificate); err != nil {
		t.Errorf("the certificate of who has joined again: %v", err)
	}
	next, err := w.Certify(t.Context(), who, &nomadish.CertificateRequest{Request: request(t, nil)}, "")
	if err != nil || w.check(next.Certificate) != nil {
		t.Errorf("the one after that: %v", err)
	}
	if w.check(former[1]) == nil {
		t.Error("a certificate from before is taken after all")
	}
}

// A certificate that was signed while its agent was being revoked is not handed out.
func TestRevokeMeanwhile(t *testing.T) {
	w := newWorld(t)
	who := w.join(certificate.Server)
	old, err := w.store.Reader().CertifiedAgent(nil, "server", who.ID)
	if err != nil {
		t.Fatal(err)
	}
	w.revoke(nomadish.RevokeRequest{Role: "server", AgentID: who.ID})
	if _, _, err := w.Propose(t.Context(), &fsm.CertifyAgents{Agents: []*nomadish.CertifiedAgent{old}}); nomadish.KindOf(err) != nomadish.KindDenied {
		t.Errorf("noted: %v, want it denied", err)
	}
}

// One certificate is refused by its number, however that is written; its agent has to join again if it is its newest.
func TestRevokeSerial(t *testing.T) {
	w := newWorld(t)
	who := w.join(certificate.Client)
	first, err := w.Certify(t.Context(), who, &nomadish.CertificateRequest{Request: request(t, nil)}, "")
	if err != nil {
		t.Fatal(err)
	}
	second, err := w.Certify(t.Context(), who, &nomadish.CertificateRequest{Request: request(t, nil)}, "")
	if err != nil {
		t.Fatal(err)
	}
	serial := certificate.Serial(parse(t, first.Certificate))
	w.revoke(nomadish.RevokeRequest{Serial: "00:" + serial})
	if w.check(first.Certificate) == nil || w.check(second.Certificate) != nil {
		t.Errorf("the first: %v, the second: %v; want the first alone to be refused", w.check(first.Certificate), w.check(second.Certificate))
	}
	third, err := w.Certify(t.Context(), who, &nomadish.CertificateRequest{Request: request(t, nil)}, "")
	if err != nil {
		t.Fatalf("the agent's next: %v", err)
	}
	if r := w.revoke(nomadish.RevokeRequest{Serial: certificate.Serial(parse(t, third.Certificate))}); r.AgentID != who.ID {
		t.Errorf("revoked %+v, want it to name the agent", r)
	}
	if _, err := w.Certify(t.Context(), who, &nomadish.CertificateRequest{Request: request(t, nil)}, ""); nomadish.KindOf(err) != nomadish.KindDenied {
		t.Errorf("the agent's next: %v, want it denied", err)
	}
}

// What can't be revoked is refused with a reason.
func TestRevokeRefuses(t *testing.T) {
	w := newWorld(t)
	for _, req := range []nomadish.RevokeRequest{
		{},
		{Role: "client"},
		{Role: "cli", AgentID: nomadish.NewID()},
		{Role: "client", AgentID: "x"},
		{Serial: "x"},
		{Serial: "0a", Role: "client"},
		{Serial: "000102030405060708090a0b0c0d0e0f1011121314"},
		{Role: "client", AgentID: nomadish.NewID(), Reason: string(make([]byte, 300))},
	} {
		if _, err := w.Revoke(t.Context(), &req); nomadish.KindOf(err) != nomadish.KindInvalid {
			t.Errorf("%+v: %v, want it to be invalid", req, err)
		}
	}
}

// An entry is forgotten when all certificates that it is about have ended, or no authority is left that has
// signed one, and not before.
func TestRevokedIsForgotten(t *testing.T) {
	for name, end := range map[string]func(w *world){
		"ended": func(w *world) { w.pass(31 * 24 * time.Hour) },
		"another authority": func(w *world) {
			w.pass(time.Second)
			if _, err := w.Rotate(w.t.Context()); err != nil {
				w.t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.revoke(nomadish.RevokeRequest{Role: "server", AgentID: w.join(certificate.Server).ID})
			w.pass(29 * 24 * time.Hour)
			w.lead(w.PKI, "keeping it", func() bool { return len(w.Revoked(nil)) == 1 })
			end(w)
			w.lead(w.PKI, "forgetting it", func() bool { return len(w.Revoked(nil)) == 0 })
		})
	}
}
