package secrets_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/recovery"
	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/secrets"
)

// paper makes a recovery key, for which the cluster's root keys are wrapped from now on.
func (w *world) paper(k *secrets.Keyring) *recovery.Key {
	w.t.Helper()
	key, err := recovery.New()
	if err != nil {
		w.t.Fatal(err)
	}
	former := ""
	if now := k.RecoveryKey(); now != nil {
		former = now.ID
	}
	if _, _, err := k.SetRecovery(w.t.Context(), &nomadish.RecoveryKeyRequest{Public: key.Public(), Former: former}); err != nil {
		w.t.Fatal(err)
	}
	return key
}

// wrappedBy lists what each root key is wrapped with.
func (w *world) wrappedBy() (all [][]string) {
	for row := range w.store.Reader().RootKeys(nil) {
		var names []string
		for _, wrapped := range row.Wrapped {
			names = append(names, wrapped.Wrapper)
		}
		all = append(all, names)
	}
	return all
}

// lost is a keyring of a server that has lost the wrapping key, and where somebody may give it a recovery key.
func (w *world) lost() (k *secrets.Keyring, file string) {
	dir := w.t.TempDir()
	file = filepath.Join(dir, "recovery.key")
	return w.keyring(secrets.Config{Wrappers: []secrets.Wrapper{secrets.NewFile(filepath.Join(dir, "wrap.key"))}, RecoveryFile: file}), file
}

// served has a server lead until it needs a recovery key no more, and checks that the key is gone then.
func served(t *testing.T, k *secrets.Keyring, file string) {
	t.Helper()
	if err := k.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	go func() { ended <- k.Lead(ctx) }()
	go func() { ended <- k.Run(ctx) }()
	time.Sleep(time.Minute)
	synctest.Wait()
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the recovery key is still there: %v", err)
	}
	cancel()
	if err := errors.Join(<-ended, <-ended); err != nil {
		t.Error(err)
	}
}

// A server that has lost the wrapping key leads again with the recovery key: all root keys, older and newer
// than that, open; they are wrapped with the server's own key then, and the recovery key is removed.
func TestRecovery(t *testing.T) { synctest.Test(t, testRecovery) }

func testRecovery(t *testing.T) {
	w := newWorld(t)
	k := w.ready(secrets.Config{})
	before, err := k.Seal([]byte("before"), nil)
	if err != nil {
		t.Fatal(err)
	}
	key := w.paper(k)
	w.rotate(k, nomadish.KeyringRotateRequest{})
	after, err := k.Seal([]byte("after"), nil)
	if err != nil || after.KeyID == before.KeyID {
		t.Fatalf("sealed with %s: %v", after.KeyID, err)
	}

	blind, file := w.lost()
	var locked *secrets.LockedError
	if err := blind.Ready(t.Context()); !errors.As(err, &locked) || !slices.Contains(locked.Needs, nomadish.RecoveryPrefix+key.ID()) {
		t.Fatalf("without any key: %v, want an error that names %s", err, key.ID())
	}
	if err := secrets.GiveRecovery(file, key); err != nil {
		t.Fatal(err)
	}
	served(t, blind, file)
	for _, names := range w.wrappedBy() {
		if len(names) != 2 || !strings.HasPrefix(names[0], secrets.FilePrefix) || names[1] != nomadish.RecoveryPrefix+key.ID() {
			t.Errorf("a root key is wrapped with %q", names)
		}
	}
	own := secrets.NewFile(filepath.Join(filepath.Dir(file), "wrap.key"))
	again := w.keyring(secrets.Config{Wrappers: []secrets.Wrapper{own}})
	for _, sealed := range []nomadish.Sealed{before, after} {
		if _, err := again.Open(sealed, nil); err != nil {
			t.Error(err)
		}
	}
	if _, err := w.keyring(secrets.Config{}).Open(after, nil); err == nil {
		t.Error("a server with neither key opens what is sealed")
	}
}

// Of a recovery key that was replaced nothing is left.
func TestFormerRecoveryKey(t *testing.T) {
	w := newWorld(t)
	k := w.ready(secrets.Config{})
	former, now := w.paper(k), w.paper(k)
	for _, names := range w.wrappedBy() {
		if len(names) != 2 || names[1] != nomadish.RecoveryPrefix+now.ID() {
			t.Errorf("a root key is wrapped with %q", names)
		}
	}
	blind, file := w.lost()
	if err := secrets.GiveRecovery(file, former); err != nil {
		t.Fatal(err)
	}
	if err := blind.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), former.ID()) {
		t.Errorf("the former recovery key: %v, want an error that names it", err)
	}
	if err := secrets.GiveRecovery(file, now); err != nil {
		t.Fatal(err)
	}
	if err := blind.Ready(t.Context()); err != nil {
		t.Error(err)
	}
}

// Who does not know of the present recovery key can't replace it, and no root key comes that it would not open.
func TestRecoveryKeyChangesMeanwhile(t *testing.T) {
	w := newWorld(t)
	k := w.ready(secrets.Config{})
	id := w.store.Reader().ActiveRootKey(nil).KeyID
	w.paper(k)
	other, err := recovery.New()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		req  nomadish.RecoveryKeyRequest
		want nomadish.Kind
	}{
		{"another was made", nomadish.RecoveryKeyRequest{Public: other.Public()}, nomadish.KindConflict},
		{"no key", nomadish.RecoveryKeyRequest{Public: []byte("x"), Former: k.RecoveryKey().ID}, nomadish.KindInvalid},
	} {
		if _, _, err := k.SetRecovery(t.Context(), &tt.req); nomadish.KindOf(err) != tt.want {
			t.Errorf("%s: %v, want kind %v", tt.name, err, tt.want)
		}
	}
	add := &fsm.AddRootKey{Former: id, Key: &nomadish.RootKey{
		KeyID: nomadish.NewID(), State: nomadish.RootKeyActive, Wrapped: []nomadish.WrappedKey{{Wrapper: "aead:1", Data: []byte("x")}},
	}}
	if _, _, err := w.Propose(t.Context(), add); nomadish.KindOf(err) != nomadish.KindConflict {
		t.Errorf("a root key that the recovery key does not open: %v, want a conflict", err)
	}
}

// A file that others can read, or that holds no key, opens nothing.
func TestGivenRecoveryKey(t *testing.T) {
	w := newWorld(t)
	key := w.paper(w.ready(secrets.Config{}))
	for _, tt := range []struct {
		name, text, want string
		mode             os.FileMode
	}{
		{"readable by others", key.Text().Reveal(), "can be read by others", 0o644},
		{"mistyped", "0" + key.Text().Reveal(), "no recovery key", 0o600},
	} {
		blind, file := w.lost()
		if err := errors.Join(os.WriteFile(file, []byte(tt.text), tt.mode), os.Chmod(file, tt.mode)); err != nil {
			t.Fatal(err)
		}
		if err := blind.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		} else if strings.Contains(err.Error(), key.Text().Reveal()) {
			t.Errorf("%s: the error shows the key", tt.name)
		}
	}
}

// A recovery key that is not needed does not stay on the disk.
func TestRecoveryKeyForNothing(t *testing.T) { synctest.Test(t, testRecoveryKeyForNothing) }

func testRecoveryKeyForNothing(t *testing.T) {
	w := newWorld(t)
	file := filepath.Join(t.TempDir(), "recovery.key")
	k := w.ready(secrets.Config{RecoveryFile: file})
	if err := secrets.GiveRecovery(file, w.paper(k)); err != nil {
		t.Fatal(err)
	}
	served(t, k, file)
}
