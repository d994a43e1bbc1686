package reseal_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/leader/reseal"
	"github.com/nomadish/nomadish/server/state"
)

const oldKey, newKey = "00000001-0000-4000-8000-000000000000", "00000002-0000-4000-8000-000000000000"

// plain is a keyring that seals nothing: what is sealed with it begins with the key.
type plain struct{}

func (plain) Seal(text, bound []byte) (nomadish.Sealed, error) {
	return nomadish.Sealed{KeyID: newKey, Data: slices.Concat([]byte(newKey), bound, text)}, nil
}

func (plain) Open(s nomadish.Sealed, bound []byte) ([]byte, error) {
	text, ok := bytes.CutPrefix(s.Data, slices.Concat([]byte(s.KeyID), bound))
	if !ok {
		return nil, errors.New("it belongs elsewhere")
	}
	return bytes.Clone(text), nil
}

func (plain) MACs(purpose string, data []byte) ([]nomadish.KeyedHash, error) {
	sum := make([]byte, 32)
	copy(sum, string(data)+purpose)
	return []nomadish.KeyedHash{{KeyID: newKey, Sum: sum}}, nil
}

// Tokens and auth methods are sealed and hashed anew, each with what it is bound to; what
// can't be opened is told of and left alone.
func TestACL(t *testing.T) {
	store := state.New()
	id := func(n byte) string { return nomadish.FormatID([16]byte{n}) }
	sealed := func(bound []byte, text string) nomadish.Sealed {
		return nomadish.Sealed{KeyID: oldKey, Data: slices.Concat([]byte(oldKey), bound, []byte(text))}
	}
	write := func(command func(w *state.Writer) error) {
		t.Helper()
		txn := store.Begin()
		w, err := txn.Writer(store.Reader().Index()+1, time.Unix(1, 0))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(command(w), w.Finish(), txn.Commit()); err != nil {
			t.Fatal(err)
		}
	}
	write(func(w *state.Writer) error {
		errs := []error{w.PutRootKey(&nomadish.RootKey{KeyID: newKey, State: nomadish.RootKeyActive})}
		for n := byte(1); n <= 3; n++ {
			token := &nomadish.ACLToken{AccessorID: id(n), SecretHash: nomadish.KeyedHash{KeyID: oldKey, Sum: bytes.Repeat([]byte{n}, 32)}}
			token.Secret = sealed(token.SealedBinding(), "secret"+string(n))
			if n == 3 {
				token.Secret = sealed([]byte("elsewhere"), "secret")
			}
			errs = append(errs, w.PutACLToken(token))
		}
		method := &nomadish.ACLAuthMethod{Name: "ci"}
		s := sealed(method.SealedBinding(), "{}")
		method.Secrets = &s
		return errors.Join(append(errs, w.PutACLAuthMethod(method), w.PutACLAuthMethod(&nomadish.ACLAuthMethod{Name: "open"}))...)
	})
	var faults int
	for command, err := range reseal.ACL(store, plain{})(oldKey) {
		if err != nil {
			faults++
			continue
		}
		write(func(w *state.Writer) error {
			_, err := command.(*fsm.ResealACL).Apply(w)
			return err
		})
	}
	if faults != 1 {
		t.Errorf("%d rows could not be sealed anew, want 1", faults)
	}
	r := store.Reader()
	for n := byte(1); n <= 3; n++ {
		token, err := r.ACLTokenByAccessor(nil, id(n))
		if err != nil {
			t.Fatal(err)
		}
		want := newKey
		if n == 3 {
			want = oldKey
		}
		if token.Secret.KeyID != want || token.SecretHash.KeyID != want {
			t.Errorf("token %d is sealed with %s and hashed with %s, want %s", n, token.Secret.KeyID, token.SecretHash.KeyID, want)
		}
	}
	if m, err := r.ACLAuthMethod(nil, "ci"); err != nil || m.Secrets.KeyID != newKey {
		t.Errorf("auth method: %+v, %v", m, err)
	}
}
