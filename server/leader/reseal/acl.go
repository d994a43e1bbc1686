package reseal

import (
	"fmt"
	"iter"
	"slices"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/state"
)

// Hasher is a Sealer that makes the hashes by which secrets are looked up, too.
type Hasher interface {
	Sealer
	MACs(purpose string, data []byte) ([]nomadish.KeyedHash, error)
}

// ACL are the tokens and auth methods of the state.
func ACL(store *state.Store, sealer Hasher) Rows {
	return func(keyID string) iter.Seq2[fsm.Command, error] {
		return func(yield func(fsm.Command, error) bool) {
			r := store.Reader()
			tokens, errs := tokens(r, sealer, keyID)
			methods, others := methods(r, sealer, keyID)
			for _, err := range append(errs, others...) {
				if !yield(nil, err) {
					return
				}
			}
			for part := range slices.Chunk(tokens, batchRows) {
				if !yield(&fsm.ResealACL{Tokens: part}, nil) {
					return
				}
			}
			for part := range slices.Chunk(methods, batchRows) {
				if !yield(&fsm.ResealACL{Methods: part}, nil) {
					return
				}
			}
		}
	}
}

// tokens seals and hashes the secrets of tokens anew.
func tokens(r state.Reader, sealer Hasher, keyID string) (sealed []*nomadish.ACLToken, errs []error) {
	rows, err := r.ACLTokens(nil, "")
	if err != nil {
		return nil, []error{err}
	}
	for t := range rows {
		if t.Secret.KeyID != keyID && t.SecretHash.KeyID != keyID {
			continue
		}
		next, err := token(sealer, t)
		if err != nil {
			errs = append(errs, fmt.Errorf("token %s: %w", t.AccessorID, err))
			continue
		}
		sealed = append(sealed, next)
	}
	return sealed, errs
}

// methods seals the secrets of auth methods anew.
func methods(r state.Reader, sealer Sealer, keyID string) (sealed []*nomadish.ACLAuthMethod, errs []error) {
	for m := range r.ACLAuthMethods(nil) {
		if m.Secrets == nil || m.Secrets.KeyID != keyID {
			continue
		}
		secrets, err := again(sealer, *m.Secrets, m.SealedBinding())
		if err != nil {
			errs = append(errs, fmt.Errorf("auth method %s: %w", m.Name, err))
			continue
		}
		sealed = append(sealed, &nomadish.ACLAuthMethod{Name: m.Name, Secrets: secrets, ModifyIndex: m.ModifyIndex})
	}
	return sealed, errs
}

// token seals and hashes the secret of a token anew.
func token(sealer Hasher, t *nomadish.ACLToken) (*nomadish.ACLToken, error) {
	secret, err := sealer.Open(t.Secret, t.SealedBinding())
	if err != nil {
		return nil, err
	}
	defer clear(secret)
	next := &nomadish.ACLToken{AccessorID: t.AccessorID, ModifyIndex: t.ModifyIndex}
	if next.Secret, err = sealer.Seal(secret, t.SealedBinding()); err != nil {
		return nil, err
	}
	hashes, err := sealer.MACs(nomadish.SecretPurpose, secret)
	if err != nil {
		return nil, err
	}
	next.SecretHash = hashes[0]
	return next, nil
}
