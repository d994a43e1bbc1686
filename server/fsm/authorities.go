package fsm

import (
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/state"
)

// maxAuthorities is how many authorities there are at once: one that signs, one to come, one
// that goes.
const maxAuthorities = 3

// PutAuthority adds a certificate authority: the first one, active, or a prepared one to
// replace the active one. Of one that is there it replaces the sealed key, if that is still the
// one of ModifyIndex.
type PutAuthority struct{ Authority *nomadish.Authority }

// Kind implements Command.
func (*PutAuthority) Kind() Kind { return KindPutAuthority }

// Apply implements Command.
func (c *PutAuthority) Apply(w *state.Writer) (any, error) {
	a := c.Authority
	if a == nil || a.ID == "" || len(a.Certificate) == 0 || len(a.Key.Data) == 0 {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "there is no authority to add")
	}
	if err := w.CheckRootKey(a.Key.KeyID); err != nil {
		return nil, err
	}
	if old, err := w.Authority(nil, a.ID); err == nil {
		if old.ModifyIndex != a.ModifyIndex {
			return nil, nomadish.Errorf(nomadish.KindConflict, "authority %s has changed meanwhile", a.ID)
		}
		next := *old
		next.Key = a.Key
		return nil, w.PutAuthority(&next)
	}
	if a.ModifyIndex != 0 {
		return nil, nomadish.Errorf(nomadish.KindConflict, "authority %s is gone", a.ID)
	}
	n := 0
	for old := range w.Authorities(nil) {
		n++
		if old.State != nomadish.AuthorityActive {
			return nil, nomadish.Errorf(nomadish.KindConflict, "authority %s is %s: authorities are being changed already", old.ID, old.State)
		}
	}
	next := *a
	switch {
	case n >= maxAuthorities:
		return nil, nomadish.Errorf(nomadish.KindInvalid, "there are %d authorities, the most there can be", n)
	case n == 0:
		next.State = nomadish.AuthorityActive
	default:
		next.State = nomadish.AuthorityPrepared
	}
	return nil, w.PutAuthority(&next)
}

// AdvanceAuthority takes an authority to its next state: a prepared one becomes the active
// one, which retires; a retiring one is removed. From is the state that the caller knows.
type AdvanceAuthority struct {
	ID   string
	From nomadish.AuthorityState
}

// Kind implements Command.
func (*AdvanceAuthority) Kind() Kind { return KindAdvanceAuthority }

// Apply implements Command.
func (c *AdvanceAuthority) Apply(w *state.Writer) (any, error) {
	a, err := w.Authority(nil, c.ID)
	if err != nil {
		return nil, err
	}
	if a.State != c.From {
		return nil, nomadish.Errorf(nomadish.KindConflict, "authority %s is %s, not %s", c.ID, a.State, c.From)
	}
	switch a.State {
	case nomadish.AuthorityRetiring:
		return nil, w.DeleteAuthority(c.ID)
	case nomadish.AuthorityPrepared:
		return nil, activate(w, a)
	}
	return nil, nomadish.Errorf(nomadish.KindInvalid, "authority %s is %s, and is replaced by another only", c.ID, a.State)
}

// activate makes a prepared authority the active one. Tokens that name the former one by its
// fingerprint are of no use to who joins now.
func activate(w *state.Writer, a *nomadish.Authority) error {
	var active []*nomadish.Authority
	for old := range w.Authorities(nil) {
		if old.State == nomadish.AuthorityActive {
			active = append(active, old)
		}
	}
	for _, old := range active {
		next := *old
		next.State = nomadish.AuthorityRetiring
		if err := w.PutAuthority(&next); err != nil {
			return err
		}
	}
	next := *a
	next.State = nomadish.AuthorityActive
	if err := w.PutAuthority(&next); err != nil {
		return err
	}
	var tokens []string
	for t := range w.JoinTokens(nil) {
		tokens = append(tokens, t.ID)
	}
	return eachName(tokens, w.DeleteJoinToken)
}

// CertifyAgents stores what is known of agents' certificates, and removes others.
type CertifyAgents struct {
	Agents []*nomadish.CertifiedAgent
	Remove []*nomadish.CertifiedAgent // by role and ID, each if its ModifyIndex is still the same
}

// Kind implements Command.
func (*CertifyAgents) Kind() Kind { return KindCertifyAgents }

// Apply implements Command.
func (c *CertifyAgents) Apply(w *state.Writer) (any, error) {
	if err := each(c.Remove, func(a *nomadish.CertifiedAgent) error {
		old, err := w.CertifiedAgent(nil, a.Role, a.ID)
		if err != nil || old.ModifyIndex != a.ModifyIndex {
			return nil // it is gone, or has got another certificate
		}
		return w.DeleteCertifiedAgent(a.Role, a.ID)
	}); err != nil {
		return nil, err
	}
	return nil, each(c.Agents, func(a *nomadish.CertifiedAgent) error {
		if _, err := w.CertifiedAgent(nil, a.Role, a.ID); err != nil && w.AgentRevoked(a.Role, a.ID) {
			return nomadish.Errorf(nomadish.KindDenied, "the certificate of %s %s is revoked: it has to join again", a.Role, a.ID)
		}
		return certify(w, a)
	})
}

// certify stores that an agent has a certificate, if its authority is still there.
func certify(w *state.Writer, a *nomadish.CertifiedAgent) error {
	if _, err := w.Authority(nil, a.AuthorityID); err != nil {
		return nomadish.Errorf(nomadish.KindConflict, "authority %s, which has signed this, is gone", a.AuthorityID)
	}
	return w.PutCertifiedAgent(a)
}
