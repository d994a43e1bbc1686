package cli

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/nomadish/nomadish/nomadish"
)

// Root keys are listed, rotated and removed, and what can't be done says why.
func TestKeyringCommands(t *testing.T) {
	c := newCluster(t)
	list := func() map[nomadish.RootKeyState]string {
		got := c.run(t, "operator", "root", "keyring", "list", "-json")
		var keys []*nomadish.RootKey
		if err := json.Unmarshal([]byte(got.stdout), &keys); err != nil {
			t.Fatalf("%v: %+v", err, got)
		}
		states := map[nomadish.RootKeyState]string{}
		for _, k := range keys {
			states[k.State] = k.KeyID
		}
		return states
	}
	first := list()[nomadish.RootKeyActive]
	for _, tt := range []struct {
		name   string
		args   []string
		code   int
		stdout string
		stderr string
	}{
		{"neither", []string{"rotate"}, ExitUsage, "", "one of -now and -prepublish"},
		{"both", []string{"rotate", "-now", "-prepublish", "1h"}, ExitUsage, "", "one of -now and -prepublish"},
		{"full later", []string{"rotate", "-full", "-prepublish", "1h"}, ExitUsage, "", "exclude each other"},
		{"active", []string{"remove", first[:8]}, ExitFailed, "", "active root key cannot be deleted"},
		{"later", []string{"rotate", "-prepublish", "1h"}, ExitOK, "prepublished", ""},
		{"now", []string{"rotate", "-now"}, ExitOK, "active", ""},
		{"former", []string{"remove", first[:8]}, ExitOK, first, ""},
		{"gone", []string{"remove", first}, ExitFailed, "", "root key"},
		{"table", []string{"list"}, ExitOK, "Publish Time", ""},
	} {
		got := c.run(t, append([]string{"operator", "root", "keyring"}, tt.args...)...)
		if got.code != tt.code || !strings.Contains(got.stdout, tt.stdout) || !strings.Contains(got.stderr, tt.stderr) {
			t.Errorf("%s: %+v; want code %d, %q, %q", tt.name, got, tt.code, tt.stdout, tt.stderr)
		}
	}
	states := list()
	if len(states) != 2 || states[nomadish.RootKeyActive] == first || states[nomadish.RootKeyPrepublished] == "" {
		t.Errorf("root keys: %v; want an active one other than %s, and one to come", states, first)
	}
}
