package server_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server"
	"github.com/nomadish/nomadish/server/secrets"
	"github.com/nomadish/nomadish/server/servertest"
)

// manager is somebody who may do everything.
func manager(t testing.TB) context.Context {
	return nomadish.WithCaller(t.Context(), nomadish.Caller{Kind: nomadish.CallerManagement})
}

func newVariable(path, value string) *nomadish.Variable {
	v := &nomadish.Variable{Items: nomadish.VariableItems{"value": value}}
	v.Namespace, v.Path = "default", path
	return v
}

// rootKeys counts a server's root keys by their states.
func (c *cluster) rootKeys() (map[nomadish.RootKeyState]int, error) {
	s, err := c.leading()
	if err != nil {
		return nil, err
	}
	counts := map[nomadish.RootKeyState]int{}
	for k := range s.Store().Reader().RootKeys(nil) {
		counts[k.State]++
	}
	return counts, nil
}

// All servers use the same root key, whoever leads, and each reads what another has sealed.
func TestServersShareTheKeyring(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, 1)
		first := c.awaitLeader(t, nil)
		var sealed nomadish.Sealed
		servertest.Eventually(t, "the first root key", func() (err error) {
			sealed, err = first.now.Load().Keyring().Seal([]byte("hunter2"), nil)
			return err
		})
		c.kill(t, first)
		c.awaitLeader(t, first)
		c.boot(t, first)
		c.converge(t)
		for _, m := range c.members {
			if plain, err := m.now.Load().Keyring().Open(sealed, nil); err != nil || string(plain) != "hunter2" {
				t.Errorf("%s opened %q, %v", m.id, plain, err)
			}
		}
		if counts, err := c.rootKeys(); err != nil || len(counts) != 1 || counts[nomadish.RootKeyActive] != 1 {
			t.Errorf("root keys: %v, %v; want one, active", counts, err)
		}
	})
}

// A leader that is killed in the middle of a full rotation leaves it to the next one. Writers
// go on meanwhile, and nothing is lost.
func TestLeaderKilledDuringRotation(t *testing.T) {
	const variables = 400
	synctest.Test(t, func(t *testing.T) {
		c := start(t, 1)
		first := c.awaitLeader(t, nil)
		values := make([]atomic.Int64, variables)
		set := func(ctx context.Context, i int, value int64) error {
			s, err := c.leading()
			if err != nil {
				return err
			}
			_, _, err = s.Variables().Set(ctx, newVariable(fmt.Sprintf("v/%d", i), fmt.Sprint(value)), nil)
			return err
		}
		for i := range variables {
			servertest.Eventually(t, "a write", func() error { return set(manager(t), i, 1) })
			values[i].Store(1)
		}
		ctx, cancel := context.WithCancel(manager(t))
		var writer sync.WaitGroup
		writer.Go(func() {
			for n := int64(2); ctx.Err() == nil; n++ {
				i := int(n*7) % variables
				if set(ctx, i, n) == nil {
					values[i].Store(n)
				} else {
					values[i].Store(-n) // nobody knows whether it was written
				}
				time.Sleep(time.Millisecond)
			}
		})
		if _, err := first.now.Load().Keyring().Rotate(t.Context(), &nomadish.KeyringRotateRequest{Full: true}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Millisecond)
		if counts, err := c.rootKeys(); err != nil || counts[nomadish.RootKeyRekeying] != 1 {
			t.Fatalf("the rotation is over too early to be disturbed: %v, %v", counts, err)
		}
		c.kill(t, first)
		c.awaitLeader(t, first)
		servertest.Eventually(t, "the rotation is complete", func() error {
			counts, err := c.rootKeys()
			if err == nil && (counts[nomadish.RootKeyRekeying] != 0 || counts[nomadish.RootKeyDeprecated] != 1) {
				err = fmt.Errorf("root keys: %v", counts)
			}
			return err
		})
		cancel()
		writer.Wait()
		s, err := c.leading()
		if err != nil {
			t.Fatal(err)
		}
		for i := range variables {
			path := fmt.Sprintf("v/%d", i)
			v, _, err := s.Variables().Read(manager(t), nil, "default", path)
			if want := values[i].Load(); err != nil || want > 0 && v.Items["value"] != fmt.Sprint(want) {
				t.Errorf("%s: %v, %v; want %d", path, v, err, want)
			}
		}
	})
}

// A server that lacks the wrapping key starts, and leaves the lead to another one.
func TestServerWithoutTheWrappingKeyDoesNotLead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, 1)
		blind := c.awaitLeader(t, nil)
		servertest.Eventually(t, "the first root key", func() error {
			_, err := blind.now.Load().Keyring().Seal(nil, nil)
			return err
		})
		c.converge(t)
		shared := c.wrapper
		if err := blind.stop(); err != nil {
			t.Fatal(err)
		}
		c.net.Unplug(blind.id)
		c.wrapper = secrets.NewFile(filepath.Join(t.TempDir(), "wrap.key"))
		c.boot(t, blind)
		c.wrapper = shared
		servertest.Eventually(t, "the server without the key leads", func() error {
			s, err := c.leading()
			if err == nil && c.leader() != blind {
				err = errors.Join(errors.New("another one does"), s.Consensus().TransferLeadership(t.Context(), blind.id))
			}
			return err
		})
		if _, err := blind.now.Load().Keyring().Seal(nil, nil); nomadish.KindOf(err) != nomadish.KindNoLeader {
			t.Errorf("sealed without the wrapping key: %v", err)
		}
		able := c.awaitLeader(t, blind)
		servertest.Eventually(t, "another one leads", func() error {
			_, err := able.now.Load().Keyring().Seal(nil, nil)
			return err
		})
		if counts, err := c.rootKeys(); err != nil || counts[nomadish.RootKeyActive] != 1 || len(counts) != 1 {
			t.Errorf("root keys: %v, %v; want one, active", counts, err)
		}
	})
}

// A state directory shows no secret, and without the wrapping key nobody reads one from it.
func TestDataWithoutTheWrappingKeyShowsNoSecret(t *testing.T) {
	const canary = "canary-5e7b2c90a1d34f6e8b7c6d5e4f3a2b1c"
	dir := t.TempDir()
	ready := func(s *server.Server) {
		servertest.Eventually(t, "the keyring", func() error {
			_, err := s.Keyring().Seal(nil, nil)
			return err
		})
	}
	runLone(t, dir, func(ctx context.Context, s *server.Server) {
		ready(s)
		ctx = nomadish.WithCaller(ctx, nomadish.Caller{Kind: nomadish.CallerManagement})
		for _, path := range []string{"in/the/snapshot", "in/the/log"} {
			if _, _, err := s.Variables().Set(ctx, newVariable(path, canary), nil); err != nil {
				t.Fatal(err)
			}
			if path == "in/the/snapshot" {
				if err := s.Consensus().Snapshot(ctx); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
	files := 0
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		files++
		content, err := os.ReadFile(path)
		if bytes.Contains(content, []byte(canary)) {
			t.Errorf("%s shows the secret", path)
		}
		return err
	})
	if err != nil || files < 3 {
		t.Fatalf("%d files, %v", files, err)
	}
	wrapKey := filepath.Join(dir, "keyring", "wrap.key")
	hidden := filepath.Join(t.TempDir(), "wrap.key")
	if err := os.Rename(wrapKey, hidden); err != nil {
		t.Fatal(err)
	}
	runLone(t, dir, func(ctx context.Context, s *server.Server) {
		ctx = nomadish.WithCaller(ctx, nomadish.Caller{Kind: nomadish.CallerManagement})
		v, _, err := s.Variables().Read(ctx, nil, "default", "in/the/log")
		if nomadish.KindOf(err) != nomadish.KindNoLeader || !strings.Contains(err.Error(), wrapKey) {
			t.Errorf("without the wrapping key: %v, %v; want an error of kind no leader that names %s", v, err, wrapKey)
		}
		if err := os.Rename(hidden, wrapKey); err != nil {
			t.Fatal(err)
		}
		ready(s)
		if v, _, err = s.Variables().Read(ctx, nil, "default", "in/the/log"); err != nil || v.Items["value"] != canary {
			t.Errorf("with the wrapping key: %v, %v", v, err)
		}
	})
}
