package state

import (
	"bytes"
	"iter"
	"time"

	"github.com/hashicorp/go-memdb"

	"github.com/nomadish/nomadish/nomadish"
)

var aclTokens = newTable[nomadish.ACLToken](22, TableACLTokens, func(t *nomadish.ACLToken) ([]byte, error) { return idKey(t.AccessorID) }).
	by(indexHash, func(t *nomadish.ACLToken) ([]byte, error) { return t.SecretHash.Sum, nil }).
	by(indexTime, expiry)

// ACLTokenByAccessor returns a token by its accessor ID, expired or not.
func (r Reader) ACLTokenByAccessor(ws memdb.WatchSet, id string) (*nomadish.ACLToken, error) {
	return byID(r, ws, aclTokens, "ACL token", id)
}

// ACLTokenByHash returns the token whose secret has a hash, expired or not.
func (r Reader) ACLTokenByHash(ws memdb.WatchSet, sum []byte) (*nomadish.ACLToken, error) {
	if len(sum) == hashSize {
		for t := range list(r, ws, aclTokens, indexHash, sum) {
			return t, nil
		}
	}
	return nil, nomadish.Errorf(nomadish.KindNotFound, "ACL token: %w", nomadish.ErrNotFound)
}

// ACLTokens lists the tokens whose accessor ID starts with prefix, by that.
func (r Reader) ACLTokens(ws memdb.WatchSet, prefix string) (iter.Seq[*nomadish.ACLToken], error) {
	return listByID(r, ws, aclTokens, prefix)
}

// ExpiringACLTokens lists the tokens that expire some time, the first first.
func (r Reader) ExpiringACLTokens(ws memdb.WatchSet) iter.Seq[*nomadish.ACLToken] {
	return list(r, ws, aclTokens, indexTime+withPrefix, nil)
}

// PutACLToken stores a token, whole, in place of the one with its accessor ID. No two
// tokens have the same secret.
func (w *Writer) PutACLToken(token *nomadish.ACLToken) error {
	if len(token.SecretHash.Sum) != hashSize {
		return nomadish.Errorf(nomadish.KindInvalid, "token %s has no hash of its secret", token.AccessorID)
	}
	if other, err := w.ACLTokenByHash(nil, token.SecretHash.Sum); err == nil && other.AccessorID != token.AccessorID {
		return nomadish.Errorf(nomadish.KindInvalid, "secret ID of token %s is another token's", token.AccessorID)
	}
	t := *token
	t.SecretID = ""
	var created uint64
	if old, err := w.ACLTokenByAccessor(nil, t.AccessorID); err == nil {
		created = old.CreateIndex
	}
	w.stamp(&t.CreateIndex, &t.ModifyIndex, created)
	return put(w.txn, aclTokens, &t)
}

// DeleteACLToken removes a token, and the one-time tokens that stand for it.
func (w *Writer) DeleteACLToken(accessor string) error {
	for _, o := range collect(w.OneTimeTokens(nil)) {
		if o.AccessorID == accessor {
			if err := w.DeleteOneTimeToken(o); err != nil {
				return err
			}
		}
	}
	return removeByID(w, aclTokens, "ACL token", accessor)
}

var oneTimeTokens = newTable[nomadish.OneTimeToken](23, TableOneTimeTokens,
	func(t *nomadish.OneTimeToken) ([]byte, error) { return bytes.Clone(t.SecretHash.Sum), nil })

// OneTimeToken returns the one-time token whose secret has a hash, expired or not.
func (r Reader) OneTimeToken(ws memdb.WatchSet, sum []byte) (*nomadish.OneTimeToken, error) {
	if len(sum) == hashSize {
		if t, ok := first(r, ws, oneTimeTokens, sum); ok {
			return t, nil
		}
	}
	return nil, nomadish.Errorf(nomadish.KindNotFound, "one-time token: %w", nomadish.ErrNotFound)
}

// OneTimeTokens lists all one-time tokens, in no useful order.
func (r Reader) OneTimeTokens(ws memdb.WatchSet) iter.Seq[*nomadish.OneTimeToken] {
	return list(r, ws, oneTimeTokens, indexID+withPrefix, nil)
}

// PutOneTimeToken stores a one-time token. A token has one at a time: an older one goes.
func (w *Writer) PutOneTimeToken(token *nomadish.OneTimeToken) error {
	if len(token.SecretHash.Sum) != hashSize {
		return nomadish.Errorf(nomadish.KindInvalid, "one-time token has no hash of its secret")
	}
	for _, old := range collect(w.OneTimeTokens(nil)) {
		if old.AccessorID == token.AccessorID {
			if err := w.DeleteOneTimeToken(old); err != nil {
				return err
			}
		}
	}
	t := *token
	t.OneTimeSecretID = ""
	w.stamp(&t.CreateIndex, &t.ModifyIndex, 0)
	return put(w.txn, oneTimeTokens, &t)
}

// DeleteOneTimeToken removes a one-time token.
func (w *Writer) DeleteOneTimeToken(token *nomadish.OneTimeToken) error {
	return remove(w.txn, oneTimeTokens, token.SecretHash.Sum)
}

// aclTokensUse says whether tokens need a root key. One-time tokens do not: they end before
// it matters, and whose key is gone can't be exchanged.
func aclTokensUse(r Reader, keyID string) bool {
	for t := range list(r, nil, aclTokens, indexID+withPrefix, nil) {
		if t.Secret.KeyID == keyID || t.SecretHash.KeyID == keyID {
			return true
		}
	}
	return false
}

// hashSize is the length of the hash of a secret.
const hashSize = 32

// expiry orders tokens by when they expire; others are not in the index.
func expiry(t *nomadish.ACLToken) ([]byte, error) {
	if t.ExpirationTime == nil {
		return nil, nil
	}
	return timeKey(nanoseconds(*t.ExpirationTime)), nil
}

// nanoseconds since 1970, at most what fits.
func nanoseconds(t time.Time) int64 {
	switch {
	case t.Before(time.Unix(0, -1<<63)):
		return -1 << 63
	case t.After(time.Unix(0, 1<<63-1)):
		return 1<<63 - 1
	}
	return t.UnixNano()
}
