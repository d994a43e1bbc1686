package secrets_test

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/secrets"
)

// What was sealed before a rotation opens after it; what is sealed after it is with the new key.
func TestRotation(t *testing.T) {
	w := newWorld(t)
	k := w.ready(secrets.Config{})
	before, err := k.Seal([]byte("old"), nil)
	if err != nil {
		t.Fatal(err)
	}
	key := w.rotate(k, nomadish.KeyringRotateRequest{})
	after, err := k.Seal([]byte("new"), nil)
	if err != nil || after.KeyID != key.KeyID || before.KeyID == key.KeyID {
		t.Errorf("sealed with %s, %v; want the new key %s", after.KeyID, err, key.KeyID)
	}
	if plain, err := k.Open(before, nil); err != nil || string(plain) != "old" {
		t.Errorf("opened %q, %v", plain, err)
	}
	want := map[string]nomadish.RootKeyState{before.KeyID: nomadish.RootKeyInactive, key.KeyID: nomadish.RootKeyActive}
	if diff := cmp.Diff(w.states(), want); diff != "" {
		t.Errorf("states (-got +want):\n%s", diff)
	}
}

// A full rotation has all former keys' content sealed anew; a key is deprecated after that.
func TestFullRotation(t *testing.T) {
	w := newWorld(t)
	k := w.ready(secrets.Config{})
	first := w.store.Reader().ActiveRootKey(nil).KeyID
	second := w.rotate(k, nomadish.KeyringRotateRequest{}).KeyID
	third := w.rotate(k, nomadish.KeyringRotateRequest{Full: true}).KeyID
	want := map[string]nomadish.RootKeyState{first: nomadish.RootKeyRekeying, second: nomadish.RootKeyRekeying, third: nomadish.RootKeyActive}
	if diff := cmp.Diff(w.states(), want); diff != "" {
		t.Errorf("states (-got +want):\n%s", diff)
	}
	if err := k.Rekeyed(t.Context(), first); err != nil {
		t.Error(err)
	}
	if err := k.Rekeyed(t.Context(), third); nomadish.KindOf(err) != nomadish.KindConflict {
		t.Errorf("the active key: %v; want a conflict", err)
	}
	want[first] = nomadish.RootKeyDeprecated
	if diff := cmp.Diff(w.states(), want); diff != "" {
		t.Errorf("states (-got +want):\n%s", diff)
	}
}

// Requests for rotations that can't be are refused.
func TestRotationRefused(t *testing.T) {
	w := newWorld(t)
	k := w.ready(secrets.Config{})
	for name, req := range map[string]nomadish.KeyringRotateRequest{
		"algorithm":          {Algorithm: "rot13"},
		"full and published": {Full: true, PublishTime: epoch.Add(time.Hour).UnixNano()},
		"in the past":        {PublishTime: epoch.Add(-time.Hour).UnixNano()},
	} {
		if _, err := k.Rotate(t.Context(), &req); nomadish.KindOf(err) != nomadish.KindInvalid {
			t.Errorf("%s: %v; want it invalid", name, err)
		}
	}
	for len(w.states()) < nomadish.MaxRootKeys {
		w.rotate(k, nomadish.KeyringRotateRequest{})
	}
	if _, err := k.Rotate(t.Context(), &nomadish.KeyringRotateRequest{}); nomadish.KindOf(err) != nomadish.KindInvalid {
		t.Errorf("one root key too many: %v; want it refused", err)
	}
}

// The active key can't be removed, others can.
func TestRemove(t *testing.T) {
	w := newWorld(t)
	k := w.ready(secrets.Config{})
	old := w.store.Reader().ActiveRootKey(nil).KeyID
	if _, err := k.Remove(t.Context(), old, true); nomadish.KindOf(err) != nomadish.KindInvalid {
		t.Errorf("the active key: %v; want it refused", err)
	}
	w.rotate(k, nomadish.KeyringRotateRequest{})
	if _, err := k.Remove(t.Context(), old, false); err != nil {
		t.Error(err)
	}
	if _, err := k.Remove(t.Context(), old, false); nomadish.KindOf(err) != nomadish.KindNotFound {
		t.Errorf("a key that is gone: %v; want not found", err)
	}
}

// The leader replaces the active key when it is old enough, first publishing its successor,
// and forgets the former one.
func TestKeysAreReplacedByAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		cfg := secrets.Config{
			Rotate: 24 * time.Hour, Prepublish: time.Hour, Forget: 26 * time.Hour, Every: time.Minute,
			Wrappers: []secrets.Wrapper{secrets.NewFile(filepath.Join(t.TempDir(), "wrap.key"))},
		}
		k := w.ready(cfg)
		first := w.store.Reader().ActiveRootKey(nil).KeyID
		end := lead(t, k)
		after := func(d time.Duration) map[nomadish.RootKeyState]int {
			w.pass(d)
			time.Sleep(2 * time.Minute)
			synctest.Wait()
			counts := map[nomadish.RootKeyState]int{}
			for _, s := range w.states() {
				counts[s]++
			}
			return counts
		}
		for _, step := range []struct {
			pass time.Duration
			want map[nomadish.RootKeyState]int
		}{
			{23 * time.Hour, map[nomadish.RootKeyState]int{nomadish.RootKeyActive: 1}},
			{time.Hour, map[nomadish.RootKeyState]int{nomadish.RootKeyActive: 1, nomadish.RootKeyPrepublished: 1}},
			{time.Hour, map[nomadish.RootKeyState]int{nomadish.RootKeyActive: 1, nomadish.RootKeyInactive: 1}},
			{time.Hour, map[nomadish.RootKeyState]int{nomadish.RootKeyActive: 1}},
		} {
			if diff := cmp.Diff(after(step.pass), step.want); diff != "" {
				t.Errorf("after %s (-got +want):\n%s", step.pass, diff)
			}
		}
		if now := w.store.Reader().ActiveRootKey(nil); now == nil || now.KeyID == first {
			t.Errorf("the active key is %v, want another than %s", now, first)
		}
		end()
	})
}

// Of several keys that were published ahead, each becomes active in its turn.
func TestPrepublishedKeysTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		k := w.ready(secrets.Config{Every: time.Minute})
		second := w.rotate(k, nomadish.KeyringRotateRequest{PublishTime: epoch.Add(2 * time.Hour).UnixNano()}).KeyID
		first := w.rotate(k, nomadish.KeyringRotateRequest{PublishTime: epoch.Add(time.Hour).UnixNano()}).KeyID
		w.pass(3 * time.Hour) // both are overdue, as after an outage
		end := lead(t, k)
		for _, want := range []string{first, second} {
			synctest.Wait()
			if got := w.store.Reader().ActiveRootKey(nil).KeyID; got != want {
				t.Errorf("active is %s, want %s", got, want)
			}
			time.Sleep(time.Minute)
		}
		end()
	})
}

// Another algorithm in the configuration gives identities another key.
func TestAlgorithmChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		file := []secrets.Wrapper{secrets.NewFile(filepath.Join(t.TempDir(), "wrap.key"))}
		w.ready(secrets.Config{Wrappers: file})
		k := w.keyring(secrets.Config{Wrappers: file, Algorithm: nomadish.AlgorithmRS256, Prepublish: time.Minute, Every: time.Second})
		end := lead(t, k)
		time.Sleep(2 * time.Second)
		w.pass(time.Minute)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if active := w.store.Reader().ActiveRootKey(nil); active.Signer.Algorithm != nomadish.AlgorithmRS256 {
			t.Errorf("the active key signs with %s", active.Signer.Algorithm)
		}
		end()
	})
}

// lead runs what only the leader does until end is called.
func lead(t *testing.T, k *secrets.Keyring) (end func()) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- k.Lead(ctx) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// Rotation under writers loses nothing: all that was sealed opens on every server.
func TestRotationUnderWriters(t *testing.T) {
	w := newWorld(t)
	file := secrets.NewFile(filepath.Join(t.TempDir(), "wrap.key"))
	leader := w.ready(secrets.Config{Wrappers: []secrets.Wrapper{file}})
	follower := w.keyring(secrets.Config{Wrappers: []secrets.Wrapper{file}})
	var writers sync.WaitGroup
	var mu sync.Mutex
	kept := map[string]nomadish.Sealed{}
	for i := range 8 {
		writers.Go(func() {
			for n := range 200 {
				name := fmt.Sprintf("%d/%d", i, n)
				sealed, err := leader.Seal([]byte(name), []byte(name))
				if err != nil {
					t.Error(err)
					return
				}
				if got, err := follower.Open(sealed, []byte(name)); err != nil || string(got) != name {
					t.Errorf("follower: %q, %v; want %q", got, err, name)
				}
				mu.Lock()
				kept[name] = sealed
				mu.Unlock()
			}
		})
	}
	for range 20 {
		w.rotate(leader, nomadish.KeyringRotateRequest{})
	}
	writers.Wait()
	for name, sealed := range kept {
		if got, err := follower.Open(sealed, []byte(name)); err != nil || string(got) != name {
			t.Errorf("%q: opened %q, %v", name, got, err)
		}
	}
}
