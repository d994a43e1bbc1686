package fsm

import (
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/state"
)

// RevokeCertificates has certificates be refused before they end, and forgets those that have ended. An agent
// whose newest certificate is among them has to join again before it is given another one.
type RevokeCertificates struct {
	Add    []*nomadish.RevokedCertificate
	Forget []*nomadish.RevokedCertificate // each if its ModifyIndex is still the same
}

// Kind implements Command.
func (*RevokeCertificates) Kind() Kind { return KindRevokeCertificates }

// Apply implements Command.
func (c *RevokeCertificates) Apply(w *state.Writer) (any, error) {
	if err := each(c.Forget, func(r *nomadish.RevokedCertificate) error {
		old, err := w.RevokedCertificate(nil, r.ID())
		if err != nil || old.ModifyIndex != r.ModifyIndex {
			return nil // it is gone, or more was revoked since
		}
		return w.DeleteRevokedCertificate(r.ID())
	}); err != nil {
		return nil, err
	}
	if err := each(c.Add, func(r *nomadish.RevokedCertificate) error { return revoke(w, r) }); err != nil {
		return nil, err
	}
	n := 0
	for range w.RevokedCertificates(nil) {
		n++
	}
	if len(c.Add) > 0 && n > nomadish.MaxRevokedCertificates {
		return nil, nomadish.Errorf(nomadish.KindLimited, "%d certificates are revoked, at most %d can be: replace the authority instead", n, nomadish.MaxRevokedCertificates)
	}
	return nil, nil
}

func revoke(w *state.Writer, r *nomadish.RevokedCertificate) error {
	if r.Serial == "" && (r.Role == "" || r.AgentID == "") {
		return nomadish.Errorf(nomadish.KindInvalid, "neither an agent nor a serial number is given")
	}
	next := *r
	if old, err := w.RevokedCertificate(nil, r.ID()); err == nil {
		next.Time, next.NotAfter = max(next.Time, old.Time), max(next.NotAfter, old.NotAfter)
	}
	if err := w.PutRevokedCertificate(&next); err != nil || r.AgentID == "" {
		return err
	}
	agent, err := w.CertifiedAgent(nil, r.Role, r.AgentID)
	if err != nil || r.Serial != "" && r.Serial != agent.Serial {
		return nil
	}
	return w.DeleteCertifiedAgent(r.Role, r.AgentID)
}
