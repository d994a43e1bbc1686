package fsm

import (
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/state"
)

// PutJoinToken stores a new join token.
type PutJoinToken struct{ Token *nomadish.JoinToken }

// Kind implements Command.
func (*PutJoinToken) Kind() Kind { return KindPutJoinToken }

// Apply implements Command.
func (c *PutJoinToken) Apply(w *state.Writer) (any, error) {
	if c.Token == nil || c.Token.Uses < 1 {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "there is no join token to store")
	}
	if _, err := w.JoinToken(nil, c.Token.ID); err == nil {
		return nil, nomadish.Errorf(nomadish.KindConflict, "join token %s exists", c.Token.ID)
	}
	if err := w.CheckRootKey(c.Token.SecretHash.KeyID); err != nil {
		return nil, err
	}
	var over []string
	n := 0
	for t := range w.JoinTokens(nil) {
		if n++; w.Now() >= t.ExpirationTime {
			over = append(over, t.ID)
		}
	}
	if err := eachName(over, w.DeleteJoinToken); err != nil {
		return nil, err
	}
	if n -= len(over); n >= nomadish.MaxJoinTokens {
		return nil, nomadish.Errorf(nomadish.KindLimited, "there are %d join tokens, the most there can be: remove some with \"nomadish join-token delete\"", n)
	}
	return nil, w.PutJoinToken(c.Token)
}

// DeleteJoinTokens removes join tokens: all of them, or none if one does not exist.
type DeleteJoinTokens struct{ IDs []string }

// Kind implements Command.
func (*DeleteJoinTokens) Kind() Kind { return KindDeleteJoinTokens }

// Apply implements Command.
func (c *DeleteJoinTokens) Apply(w *state.Writer) (any, error) {
	return nil, eachName(c.IDs, w.DeleteJoinToken)
}

// UseJoinToken uses a join token once, for an agent that gets a certificate. Of more users than
// it has uses the others are refused.
type UseJoinToken struct {
	ID    string
	Agent *nomadish.CertifiedAgent
}

// Kind implements Command.
func (*UseJoinToken) Kind() Kind { return KindUseJoinToken }

// Apply implements Command.
func (c *UseJoinToken) Apply(w *state.Writer) (any, error) {
	t, err := w.JoinToken(nil, c.ID)
	if err != nil || w.Now() >= t.ExpirationTime || c.Agent == nil || t.Role != c.Agent.Role {
		return nil, nomadish.Errorf(nomadish.KindDenied, "Permission denied")
	}
	if err := certify(w, c.Agent); err != nil {
		return nil, err
	}
	if t.Uses <= 1 {
		return nil, w.DeleteJoinToken(t.ID)
	}
	next := *t
	next.Uses--
	return nil, w.PutJoinToken(&next)
}
