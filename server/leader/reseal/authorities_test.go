package reseal_test

import (
	"errors"
	"testing"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/leader/reseal"
	"github.com/nomadish/nomadish/server/state"
)

// Keys of authorities are sealed anew, those of the root key that is left alone; one that can't be
// opened is told of, and stays.
func TestAuthorities(t *testing.T) {
	store := state.New()
	index := uint64(0)
	write := func(command func(w *state.Writer) error) error {
		t.Helper()
		txn := store.Begin()
		index++
		w, err := txn.Writer(index, time.Unix(1, 0))
		if err != nil {
			t.Fatal(err)
		}
		return errors.Join(command(w), w.Finish(), txn.Commit())
	}
	sealed := func(a *nomadish.Authority, key string) *nomadish.Authority {
		a.Key = nomadish.Sealed{KeyID: key, Data: []byte(key + string(a.SealedBinding()) + "secret of " + a.ID)}
		return a
	}
	damaged := sealed(&nomadish.Authority{ID: "damaged"}, oldKey)
	damaged.Key.Data = []byte("x")
	if err := write(func(w *state.Writer) error {
		return errors.Join(
			w.PutRootKey(&nomadish.RootKey{KeyID: newKey, State: nomadish.RootKeyActive}),
			w.PutAuthority(sealed(&nomadish.Authority{ID: "a", Certificate: []byte("a"), State: nomadish.AuthorityActive}, oldKey)),
			w.PutAuthority(sealed(&nomadish.Authority{ID: "b", Certificate: []byte("b"), State: nomadish.AuthorityRetiring}, newKey)),
			w.PutAuthority(damaged),
		)
	}); err != nil {
		t.Fatal(err)
	}
	faults, commands := 0, 0
	for command, err := range reseal.Authorities(store, plain{})(oldKey) {
		if err != nil {
			faults++
			continue
		}
		commands++
		if err := write(func(w *state.Writer) error {
			_, err := command.(*fsm.PutAuthority).Apply(w)
			return err
		}); err != nil {
			t.Error(err)
		}
	}
	if faults != 1 || commands != 1 {
		t.Errorf("%d faults and %d commands, want one each", faults, commands)
	}
	want := sealed(&nomadish.Authority{ID: "a"}, newKey)
	if a, err := store.Reader().Authority(nil, "a"); err != nil || a.State != nomadish.AuthorityActive || a.Key.KeyID != newKey || string(a.Key.Data) != string(want.Key.Data) {
		t.Errorf("%+v, %v", a, err)
	}
	if !store.Reader().RootKeyUsed(oldKey) {
		t.Error("nobody knows that the damaged one needs the former root key")
	}
}
