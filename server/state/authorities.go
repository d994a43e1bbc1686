package state

import (
	"iter"

	"github.com/hashicorp/go-memdb"

	"github.com/nomadish/nomadish/nomadish"
)

// Tables of the cluster's certificates.
const (
	TableAuthorities     = "authorities"
	TableJoinTokens      = "join_tokens"
	TableCertifiedAgents = "certified_agents"
)

var authorities = newTable[nomadish.Authority](50, TableAuthorities, func(a *nomadish.Authority) ([]byte, error) { return []byte(a.ID), nil })

// Authorities lists the cluster's certificate authorities by ID.
func (r Reader) Authorities(ws memdb.WatchSet) iter.Seq[*nomadish.Authority] {
	return list(r, ws, authorities, indexID+withPrefix, nil)
}

// Authority returns an authority.
func (r Reader) Authority(ws memdb.WatchSet, id string) (*nomadish.Authority, error) {
	if a, ok := first(r, ws, authorities, []byte(id)); ok && id != "" {
		return a, nil
	}
	return nil, nomadish.Errorf(nomadish.KindNotFound, "authority: %w", nomadish.ErrNotFound)
}

// PutAuthority stores an authority.
func (w *Writer) PutAuthority(authority *nomadish.Authority) error {
	a := *authority
	var created uint64
	if old, err := w.Authority(nil, a.ID); err == nil {
		created = old.CreateIndex
	}
	w.stamp(&a.CreateIndex, &a.ModifyIndex, created)
	return put(w.txn, authorities, &a)
}

// DeleteAuthority removes an authority.
func (w *Writer) DeleteAuthority(id string) error { return remove(w.txn, authorities, []byte(id)) }

// authoritiesUse says whether keys of authorities need a root key. Join tokens do not: they
// end before it matters, and whose key is gone can't be used.
func authoritiesUse(r Reader, keyID string) bool {
	for a := range r.Authorities(nil) {
		if a.Key.KeyID == keyID {
			return true
		}
	}
	return false
}

var joinTokens = newTable[nomadish.JoinToken](51, TableJoinTokens, func(t *nomadish.JoinToken) ([]byte, error) { return idKey(t.ID) })

// JoinTokens lists the join tokens by ID, used up and expired ones too until they are removed.
func (r Reader) JoinTokens(ws memdb.WatchSet) iter.Seq[*nomadish.JoinToken] {
	return list(r, ws, joinTokens, indexID+withPrefix, nil)
}

// JoinToken returns a join token.
func (r Reader) JoinToken(ws memdb.WatchSet, id string) (*nomadish.JoinToken, error) {
	return byID(r, ws, joinTokens, "join token", id)
}

// PutJoinToken stores a join token.
func (w *Writer) PutJoinToken(token *nomadish.JoinToken) error {
	if len(token.SecretHash.Sum) != hashSize {
		return nomadish.Errorf(nomadish.KindInvalid, "join token has no hash of its secret")
	}
	t := *token
	t.Secret = ""
	var created uint64
	if old, err := w.JoinToken(nil, t.ID); err == nil {
		created = old.CreateIndex
	}
	w.stamp(&t.CreateIndex, &t.ModifyIndex, created)
	return put(w.txn, joinTokens, &t)
}

// DeleteJoinToken removes a join token.
func (w *Writer) DeleteJoinToken(id string) error { return removeByID(w, joinTokens, "join token", id) }

var certifiedAgents = newTable[nomadish.CertifiedAgent](52, TableCertifiedAgents, func(a *nomadish.CertifiedAgent) ([]byte, error) {
	return certifiedKey(a.Role, a.ID)
})

// certifiedKey is a role, by its first letter, and an ID.
func certifiedKey(role, id string) ([]byte, error) {
	key, err := idKey(id)
	if err != nil || role == "" {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "certified agent of role %q with ID %q", role, id)
	}
	return append([]byte{role[0]}, key...), nil
}

// CertifiedAgents lists the agents that have certificates, or had some not long ago, by role and ID.
func (r Reader) CertifiedAgents(ws memdb.WatchSet) iter.Seq[*nomadish.CertifiedAgent] {
	return list(r, ws, certifiedAgents, indexID+withPrefix, nil)
}

// CertifiedAgent returns what is known of an agent's certificate.
func (r Reader) CertifiedAgent(ws memdb.WatchSet, role, id string) (*nomadish.CertifiedAgent, error) {
	key, err := certifiedKey(role, id)
	if err != nil {
		return nil, err
	}
	if a, ok := first(r, ws, certifiedAgents, key); ok {
		return a, nil
	}
	return nil, nomadish.Errorf(nomadish.KindNotFound, "certified agent: %w", nomadish.ErrNotFound)
}

// PutCertifiedAgent stores what is known of an agent's certificate.
func (w *Writer) PutCertifiedAgent(agent *nomadish.CertifiedAgent) error {
	a := *agent
	var created uint64
	if old, err := w.CertifiedAgent(nil, a.Role, a.ID); err == nil {
		created = old.CreateIndex
	}
	w.stamp(&a.CreateIndex, &a.ModifyIndex, created)
	return put(w.txn, certifiedAgents, &a)
}

// DeleteCertifiedAgent removes what is known of an agent's certificate.
func (w *Writer) DeleteCertifiedAgent(role, id string) error {
	key, err := certifiedKey(role, id)
	if err != nil {
		return err
	}
	return remove(w.txn, certifiedAgents, key)
}
