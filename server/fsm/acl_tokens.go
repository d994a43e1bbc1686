package fsm

import (
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/state"
)

// UpsertACLTokens stores tokens. Each token's ModifyIndex is that of the row that it replaces.
type UpsertACLTokens struct{ Tokens []*nomadish.ACLToken }

// Kind implements Command.
func (*UpsertACLTokens) Kind() Kind { return KindUpsertACLTokens }

// Apply implements Command.
func (c *UpsertACLTokens) Apply(w *state.Writer) (any, error) {
	return nil, each(c.Tokens, func(t *nomadish.ACLToken) error {
		var at uint64
		if old, err := w.ACLTokenByAccessor(nil, t.AccessorID); err == nil {
			at = old.ModifyIndex
		}
		if err := unchanged("token", t.AccessorID, t.ModifyIndex, at); err != nil {
			return err
		}
		return putToken(w, t)
	})
}

// putToken stores a token if its secret may be sealed as it is.
func putToken(w *state.Writer, t *nomadish.ACLToken) error {
	for _, key := range []string{t.Secret.KeyID, t.SecretHash.KeyID} {
		if err := w.CheckRootKey(key); err != nil {
			return err
		}
	}
	return w.PutACLToken(t)
}

// DeleteACLTokens removes tokens by accessor ID: all of them, or none if one does not exist.
type DeleteACLTokens struct{ AccessorIDs []string }

// Kind implements Command.
func (*DeleteACLTokens) Kind() Kind { return KindDeleteACLTokens }

// Apply implements Command.
func (c *DeleteACLTokens) Apply(w *state.Writer) (any, error) {
	return nil, eachName(c.AccessorIDs, w.DeleteACLToken)
}

// BootstrapACL stores the first management token of a cluster. That is done once, and again
// only by who names the index at which it was done last.
type BootstrapACL struct {
	Token      *nomadish.ACLToken
	ResetIndex uint64
}

// Kind implements Command.
func (*BootstrapACL) Kind() Kind { return KindBootstrapACL }

// Apply implements Command.
func (c *BootstrapACL) Apply(w *state.Writer) (any, error) {
	if c.Token == nil {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "there is no token to bootstrap with")
	}
	if done := w.ACLBootstrapIndex(); done != 0 && done != c.ResetIndex {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "ACL bootstrap already done (reset index: %d)", done)
	}
	if _, err := w.ACLTokenByAccessor(nil, c.Token.AccessorID); err == nil {
		return nil, nomadish.Errorf(nomadish.KindConflict, "token %s exists", c.Token.AccessorID)
	}
	if err := putToken(w, c.Token); err != nil {
		return nil, err
	}
	return nil, w.PutACLBootstrap()
}

// PutOneTimeToken stores a one-time token of a token that exists.
type PutOneTimeToken struct{ Token *nomadish.OneTimeToken }

// Kind implements Command.
func (*PutOneTimeToken) Kind() Kind { return KindPutOneTimeToken }

// Apply implements Command.
func (c *PutOneTimeToken) Apply(w *state.Writer) (any, error) {
	if c.Token == nil {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "there is no one-time token to store")
	}
	if _, err := w.ACLTokenByAccessor(nil, c.Token.AccessorID); err != nil {
		return nil, nomadish.Errorf(nomadish.KindDenied, "Permission denied")
	}
	if err := w.CheckRootKey(c.Token.SecretHash.KeyID); err != nil {
		return nil, err
	}
	return nil, w.PutOneTimeToken(c.Token)
}

// ExchangeOneTimeToken uses a one-time token up. Of several exchanges of one, one succeeds.
type ExchangeOneTimeToken struct{ Sum []byte } // the hash of its secret

// Kind implements Command.
func (*ExchangeOneTimeToken) Kind() Kind { return KindExchangeOneTimeToken }

// Apply implements Command.
func (c *ExchangeOneTimeToken) Apply(w *state.Writer) (any, error) {
	t, err := w.OneTimeToken(nil, c.Sum)
	if err != nil || w.Now() >= t.ExpiresAt.UnixNano() {
		return nil, nomadish.Errorf(nomadish.KindDenied, "Permission denied")
	}
	return nil, w.DeleteOneTimeToken(t)
}

// maxExpired bounds how many tokens one ExpireACL removes.
const maxExpired = 1024

// ExpireACL removes tokens that expired before a time, the first first, and one-time tokens
// that have expired by the log's time.
type ExpireACL struct{ Before int64 } // nanoseconds since 1970

// Kind implements Command.
func (*ExpireACL) Kind() Kind { return KindExpireACL }

// Apply implements Command.
func (c *ExpireACL) Apply(w *state.Writer) (any, error) {
	var tokens []string
	for t := range w.ExpiringACLTokens(nil) {
		if len(tokens) == maxExpired || !t.Expired(time.Unix(0, c.Before)) {
			break
		}
		tokens = append(tokens, t.AccessorID)
	}
	var once []*nomadish.OneTimeToken
	for t := range w.OneTimeTokens(nil) {
		if len(once) < maxExpired && w.Now() >= t.ExpiresAt.UnixNano() {
			once = append(once, t)
		}
	}
	if err := each(once, w.DeleteOneTimeToken); err != nil {
		return nil, err
	}
	return nil, eachName(tokens, w.DeleteACLToken)
}
