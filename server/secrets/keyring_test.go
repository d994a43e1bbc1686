package secrets_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/secrets"
)

// What is sealed opens for who names the same place, and nowhere else.
func TestSealedContentStaysWhereItIs(t *testing.T) {
	k := newWorld(t).ready(secrets.Config{})
	plain := []byte("hunter2")
	sealed, err := k.Seal(plain, []byte("default/web"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := k.Open(sealed, []byte("default/web")); err != nil || !bytes.Equal(got, plain) {
		t.Errorf("opened %q, %v; want %q", got, err, plain)
	}
	if bytes.Contains(sealed.Data, plain) {
		t.Error("the sealed content shows the plain one")
	}
	damaged := nomadish.Sealed{KeyID: sealed.KeyID, Data: bytes.Clone(sealed.Data)}
	damaged.Data[len(damaged.Data)-1] ^= 1
	for name, try := range map[string]struct {
		sealed nomadish.Sealed
		bound  string
	}{
		"another place": {sealed, "default/web-admin"},
		"no place":      {sealed, ""},
		"a flipped bit": {damaged, "default/web"},
		"cut":           {nomadish.Sealed{KeyID: sealed.KeyID, Data: sealed.Data[:5]}, "default/web"},
		"empty":         {nomadish.Sealed{KeyID: sealed.KeyID}, "default/web"},
		"unknown key":   {nomadish.Sealed{KeyID: nomadish.NewID(), Data: sealed.Data}, "default/web"},
	} {
		if got, err := k.Open(try.sealed, []byte(try.bound)); err == nil {
			t.Errorf("%s: opened as %q, want an error", name, got)
		}
	}
	again, err := k.Seal(plain, []byte("default/web"))
	if err != nil || bytes.Equal(again.Data, sealed.Data) {
		t.Errorf("sealed twice the content is the same (%v): it tells that two secrets are equal", err)
	}
}

// A secret's keyed hashes are found by what was stored under any root key, and differ by
// purpose and key.
func TestHashesOutliveRotation(t *testing.T) {
	w := newWorld(t)
	k := w.ready(secrets.Config{})
	before, err := k.MACs("token", []byte("secret"))
	if err != nil || len(before) != 1 || len(before[0].Sum) != 32 {
		t.Fatalf("hashes: %v, %v; want one", before, err)
	}
	next := w.rotate(k, nomadish.KeyringRotateRequest{})
	after, err := k.MACs("token", []byte("secret"))
	if err != nil || len(after) != 2 || after[0].KeyID != next.KeyID || !bytes.Equal(after[1].Sum, before[0].Sum) {
		t.Errorf("after a rotation: %v, %v; want the new key's first, then %v", after, err, before)
	}
	other, err := k.MACs("one-time", []byte("secret"))
	if err != nil || bytes.Equal(other[0].Sum, after[0].Sum) || bytes.Equal(after[0].Sum, after[1].Sum) {
		t.Errorf("hashes of another purpose or key are the same: %v, %v", other, err)
	}
}

// Without a root key nothing is sealed, and the error says that it may be tried again.
func TestNoRootKeyYet(t *testing.T) {
	k := newWorld(t).keyring(secrets.Config{})
	_, sealErr := k.Seal([]byte("x"), nil)
	_, macErr := k.MACs("token", []byte("x"))
	_, signErr := k.Sign(&nomadish.IdentityClaims{})
	for _, err := range []error{sealErr, macErr, signErr} {
		if nomadish.KindOf(err) != nomadish.KindNoLeader {
			t.Errorf("got %v, want an error of kind no leader", err)
		}
	}
}

// Two leaders that begin at once make one root key.
func TestFirstRootKeyIsMadeOnce(t *testing.T) {
	w := newWorld(t)
	file := secrets.NewFile(filepath.Join(t.TempDir(), "wrap.key"))
	var both sync.WaitGroup
	for range 8 {
		k := w.keyring(secrets.Config{Wrappers: []secrets.Wrapper{file}})
		both.Go(func() {
			if err := k.Ready(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	both.Wait()
	if states := w.states(); len(states) != 1 {
		t.Errorf("root keys: %v; want one", states)
	}
}

// A server without the wrapping key says so, makes no second key, and goes on once it has it.
func TestServerWithoutTheWrappingKey(t *testing.T) {
	w := newWorld(t)
	path := filepath.Join(t.TempDir(), "wrap.key")
	first := w.ready(secrets.Config{Wrappers: []secrets.Wrapper{secrets.NewFile(path)}})
	sealed, err := first.Seal([]byte("hunter2"), nil)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := filepath.Join(t.TempDir(), "keyring", "wrap.key")
	k := w.keyring(secrets.Config{Wrappers: []secrets.Wrapper{secrets.NewFile(elsewhere)}})
	err = k.Ready(t.Context())
	if nomadish.KindOf(err) != nomadish.KindNoLeader || !strings.Contains(err.Error(), elsewhere) {
		t.Errorf("ready: %v; want an error of kind no leader that names %s", err, elsewhere)
	}
	if _, err := k.Open(sealed, nil); nomadish.KindOf(err) != nomadish.KindNoLeader {
		t.Errorf("open: %v; want an error of kind no leader", err)
	}
	if _, err := os.Stat(elsewhere); !errors.Is(err, fs.ErrNotExist) || len(w.states()) != 1 {
		t.Errorf("%s: %v, root keys %v; want no file and one root key", elsewhere, err, w.states())
	}
	other := secrets.NewFile(filepath.Join(t.TempDir(), "wrap.key"))
	if err := other.Create(); err != nil {
		t.Fatal(err)
	}
	err = w.keyring(secrets.Config{Wrappers: []secrets.Wrapper{other}}).Ready(t.Context())
	var missing *secrets.LockedError
	if !errors.As(err, &missing) || !strings.Contains(err.Error(), secrets.NewFile(path).Name()) {
		t.Errorf("with another wrapping key: %v; want one that names %s", err, secrets.NewFile(path).Name())
	}
	copyFile(t, path, elsewhere)
	if err := k.Ready(t.Context()); err != nil {
		t.Errorf("with the file: %v", err)
	}
	if plain, err := k.Open(sealed, nil); err != nil || string(plain) != "hunter2" {
		t.Errorf("opened %q, %v", plain, err)
	}
}

func copyFile(t testing.TB, from, to string) {
	t.Helper()
	content, err := os.ReadFile(from)
	if err == nil {
		err = errors.Join(os.MkdirAll(filepath.Dir(to), 0o700), os.WriteFile(to, content, 0o600))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// The file of the wrapping key is for its owner alone, and is never replaced.
func TestWrappingKeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keyring", "wrap.key")
	if err := secrets.NewFile(path).Create(); err != nil {
		t.Fatal(err)
	}
	made, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
	}
	if err := secrets.NewFile(path).Create(); err != nil {
		t.Error(err)
	}
	if again, err := os.ReadFile(path); err != nil || !bytes.Equal(again, made) {
		t.Errorf("the key was replaced (%v)", err)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("files: %v, %v; want one", left, err)
	}
	for _, mode := range []os.FileMode{0o640, 0o604, 0o660, 0o610} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if err := secrets.NewFile(path).Check(); err == nil || !strings.Contains(err.Error(), "0600") {
			t.Errorf("mode %o: %v; want it refused", mode, err)
		}
	}
	for name, content := range map[string]string{"empty": "", "short": "AAAA", "no base64": strings.Repeat("!", 44)} {
		if err := errors.Join(os.Chmod(path, 0o600), os.WriteFile(path, []byte(content), 0o600)); err != nil {
			t.Fatal(err)
		}
		file := secrets.NewFile(path)
		if err := file.Create(); err == nil {
			t.Errorf("%s: a damaged file passes", name)
		}
		if kept, err := os.ReadFile(path); err != nil || string(kept) != content {
			t.Errorf("%s: the file was changed", name)
		}
	}
}

// The log and the state show neither content nor keys.
func TestStateShowsNoSecret(t *testing.T) {
	w := newWorld(t)
	path := filepath.Join(t.TempDir(), "wrap.key")
	k := w.ready(secrets.Config{Wrappers: []secrets.Wrapper{secrets.NewFile(path)}})
	w.rotate(k, nomadish.KeyringRotateRequest{})
	var snapshot bytes.Buffer
	if err := w.store.Reader().WriteSnapshot(&snapshot); err != nil {
		t.Fatal(err)
	}
	// The DER of a private key in PKCS #8 has this in it; a sealed one does not.
	canary := []byte("\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20")
	for _, data := range append(w.log, snapshot.Bytes()) {
		if bytes.Contains(data, canary) {
			t.Error("a private key is in the log or in a snapshot")
		}
	}
}

// hanging is a wrapping key whose service does not answer.
type hanging struct{ secrets.Wrapper }

func (h hanging) Unwrap(ctx context.Context, _ []byte) ([]byte, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// While a service hangs, nobody waits long, and a token that could be stored under a new key
// is not taken for an unknown one.
func TestHangingService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		file := secrets.NewFile(filepath.Join(t.TempDir(), "wrap.key"))
		leader := w.ready(secrets.Config{Wrappers: []secrets.Wrapper{file}})
		for range 20 {
			w.rotate(leader, nomadish.KeyringRotateRequest{})
		}
		follower := w.keyring(secrets.Config{Wrappers: []secrets.Wrapper{hanging{file}}})
		var callers sync.WaitGroup
		for range 4 {
			callers.Go(func() {
				begin := time.Now()
				hashes, err := follower.MACs("token", []byte("secret"))
				if nomadish.KindOf(err) != nomadish.KindNoLeader || len(hashes) != 0 {
					t.Errorf("%d hashes, %v; want an error of kind no leader", len(hashes), err)
				}
				if took := time.Since(begin); took > 6*time.Second {
					t.Errorf("it took %s", took)
				}
			})
		}
		callers.Wait()
	})
}
