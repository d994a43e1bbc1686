package gossip_test

import (
	"context"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/gossip"
)

// However often keys change, and whoever is restarted meanwhile, nobody is locked out.
func TestKeysRotateUnderChurn(t *testing.T) {
	const rotations, restarts = 100, 20 // a restart in every twentieth rotation
	old := key(t)
	a := start(t, config("a", "global", old))
	b := start(t, config("b", "global", old))
	cfg := config("c", "global", old)
	dir := t.TempDir()
	cfg.PeersFile, cfg.KeyringFile = filepath.Join(dir, "peers.json"), filepath.Join(dir, "serf.keyring")
	c := start(t, cfg)
	cfg.Bind = c.Addr().String()
	join(t, b, a)
	join(t, c, a)
	all := map[string]string{"a": "alive", "b": "alive", "c": "alive"}
	for _, p := range []*runner{a, b, c} {
		p.sees(t, all)
	}
	for i := range rotations {
		next := key(t)
		insist(t, func() (*gossip.KeyReport, error) { return a.InstallKey(t.Context(), next) })
		if i%restarts == 0 {
			c.stop()
			c = start(t, cfg)
		}
		insist(t, func() (*gossip.KeyReport, error) { return b.UseKey(t.Context(), next) })
		insist(t, func() (*gossip.KeyReport, error) { return a.RemoveKey(t.Context(), old) })
		old = next
	}
	for _, p := range []*runner{a, b, c} {
		p.sees(t, all)
	}
	report, err := c.ListKeys(t.Context())
	text := base64.StdEncoding.EncodeToString(old)
	if err != nil || report.Members != 3 || len(report.Keys) != 1 || report.Primary[text] != 3 {
		t.Errorf("%+v, %v; want one key that 3 have", report, err)
	}
}

// insist repeats a change until nobody is missing.
func insist(t *testing.T, change func() (*gossip.KeyReport, error)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), waitAtMost)
	defer cancel()
	for {
		report, err := change()
		switch {
		case err == nil && len(report.Errors) == 0:
			return
		case err != nil && nomadish.KindOf(err) != nomadish.KindConflict:
			t.Fatal(err)
		case ctx.Err() != nil:
			t.Fatalf("%+v, %v", report, err)
		}
	}
}

// A key is not used while somebody who will be back lacks it, and is once that one is told to leave.
func TestKeyIsNotUsedWhileSomebodyIsAway(t *testing.T) {
	first, second := key(t), key(t)
	a, b := start(t, config("a", "global", first)), start(t, config("b", "global", first))
	join(t, b, a)
	a.sees(t, map[string]string{"a": "alive", "b": "alive"})
	b.stop()
	a.sees(t, map[string]string{"a": "alive", "b": "failed"})
	if _, err := a.InstallKey(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	if _, err := a.UseKey(t.Context(), second); nomadish.KindOf(err) != nomadish.KindConflict || !strings.Contains(err.Error(), "name-b.global") {
		t.Errorf("the key is used without b: %v", err)
	}
	if err := a.ForceLeave(t.Context(), "name-b", false); err != nil {
		t.Fatal(err)
	}
	if _, err := a.UseKey(t.Context(), second); err != nil {
		t.Error(err)
	}
	if _, err := a.RemoveKey(t.Context(), second); nomadish.KindOf(err) != nomadish.KindInvalid {
		t.Errorf("the key in use is removed: %v", err)
	}
}

// A server that joins with any key that is good has all of them soon, keeps them for itself alone, and
// comes back with them, whatever its configuration says by then.
func TestNewServerGetsTheKeys(t *testing.T) {
	first, second := key(t), key(t)
	a := start(t, config("a", "global", first))
	for _, change := range []func(context.Context, []byte) (*gossip.KeyReport, error){a.InstallKey, a.UseKey} {
		if _, err := change(t.Context(), second); err != nil {
			t.Fatal(err)
		}
	}
	cfg := config("b", "global", second)
	cfg.KeyringFile = filepath.Join(t.TempDir(), "server", "serf.keyring")
	b := start(t, cfg)
	join(t, b, a)
	a.sees(t, map[string]string{"a": "alive", "b": "alive"})
	if report, err := b.ListKeys(t.Context()); err != nil || len(report.Keys) != 2 || report.Keys[base64.StdEncoding.EncodeToString(first)] != 2 {
		t.Errorf("%+v, %v", report, err)
	}
	if info, err := os.Stat(cfg.KeyringFile); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v", info, err)
	}
	b.stop()
	cfg.Keys = [][]byte{key(t)}
	b = start(t, cfg)
	join(t, b, a)
}

// Nomad's file, a list of keys, is read as it is.
func TestFileOfNomad(t *testing.T) {
	k := key(t)
	cfg := config("a", "global")
	cfg.KeyringFile = filepath.Join(t.TempDir(), "serf.keyring")
	if err := os.WriteFile(cfg.KeyringFile, []byte(`["`+base64.StdEncoding.EncodeToString(k)+`"]`), 0o600); err != nil {
		t.Fatal(err)
	}
	a, b := start(t, cfg), start(t, config("b", "global", k))
	join(t, b, a)
}
