package agent

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nomadish/nomadish/server/secrets"
)

// The active key comes first, and a key in the server's file is left to the server.
func TestKeyringBlocks(t *testing.T) {
	t.Setenv("VAULT_ADDR", "http://127.0.0.1:8200")
	const transit = `keyring "transit" {
  active     = %s
  key_name   = "cluster"
  mount_path = "transit/"
  disable_renewal = "false"
}
`
	for _, tt := range []struct {
		name, blocks string
		want         []string // names; empty: the file
		fails        string
	}{
		{name: "none"},
		{name: "file", blocks: `keyring "aead" {}`, want: []string{""}},
		{name: "file, said to be active", blocks: `keyring "aead" { active = true }`, want: []string{""}},
		{name: "service", blocks: strings.Replace(transit, "%s", "true", 1), want: []string{"transit:transit/cluster"}},
		{
			name:   "from the file to a service",
			blocks: "keyring \"aead\" {\n active = false\n}\n" + strings.Replace(transit, "%s", "true", 1),
			want:   []string{"transit:transit/cluster", ""},
		},
		{name: "two active", blocks: "keyring \"aead\" { active = true }\n" + strings.Replace(transit, "%s", "true", 1), fails: "2 blocks are active"},
		{name: "none active", blocks: `keyring "aead" { active = false }`, fails: "0 blocks are active"},
		{name: "another service", blocks: `keyring "awskms" { region = "us-east-1" }`, fails: "aead and transit"},
		{name: "unknown key", blocks: `keyring "transit" { keyname = "x" }`, fails: "keyname"},
		{name: "unverified", blocks: `keyring "transit" { tls_skip_verify = true }`, fails: "tls_skip_verify"},
		{name: "no key", blocks: `keyring "transit" { address = "https://vault" }`, fails: "key_name"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, err := ParseFile("agent.hcl", []byte("server {\n  enabled = true\n}\n"+tt.blocks))
			if err != nil {
				t.Fatal(err)
			}
			c, err := f.Config()
			if tt.fails != "" {
				if err == nil || !strings.Contains(err.Error(), tt.fails) {
					t.Errorf("got %v, want %q", err, tt.fails)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(names(c.Server.Keyring.Wrappers), tt.want); diff != "" {
				t.Errorf("wrapping keys (-got +want):\n%s", diff)
			}
		})
	}
}

func names(wrappers []secrets.Wrapper) []string {
	var out []string
	for _, w := range wrappers {
		name := ""
		if w != nil {
			name = w.Name()
		}
		out = append(out, name)
	}
	return out
}

// The life of root keys and the algorithm of identities are what the file says.
func TestKeyringTimes(t *testing.T) {
	f, err := ParseFile("agent.hcl", []byte(`server {
  enabled                     = true
  root_key_rotation_threshold = "48h"
  root_key_gc_threshold       = "2h"
  root_key_gc_interval        = "1m"
  oidc_issuer                 = "https://nomad.example.com"
  identity_algorithm          = "RS256"
}`))
	if err != nil {
		t.Fatal(err)
	}
	c, err := f.Config()
	if err != nil {
		t.Fatal(err)
	}
	k := c.Server.Keyring
	got := []string{k.Rotate.String(), k.Forget.String(), k.Every.String(), k.Algorithm, c.Server.Issuer}
	if diff := cmp.Diff(got, []string{"48h0m0s", "2h0m0s", "1m0s", "RS256", "https://nomad.example.com"}); diff != "" {
		t.Errorf("(-got +want):\n%s", diff)
	}
	if f, err = ParseFile("agent.hcl", []byte(`server { identity_algorithm = "none" }`)); err != nil {
		t.Fatal(err)
	}
	f.Server.Enabled = new(bool)
	*f.Server.Enabled = true
	if _, err := f.Config(); err == nil || !strings.Contains(err.Error(), "identity_algorithm") {
		t.Errorf("an unknown algorithm: %v; want it refused", err)
	}
}
