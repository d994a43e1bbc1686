package cli

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/agent"
	"github.com/nomadish/nomadish/server"
)

// newGuarded starts a server with access control, and returns how its commands are run: with
// the first token, once it is there.
func newGuarded(t *testing.T) *cluster {
	t.Helper()
	a, err := agent.New(agent.Config{Name: "s1", DataDir: t.TempDir(), HTTP: []string{"127.0.0.1:0"}, Server: &server.Config{}, ACL: true})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	c := &cluster{env: []string{"NOMAD_ADDR=http://" + a.Addr().String()}, dir: t.TempDir()}
	for {
		got := c.run(t, "acl", "bootstrap", "-t", "{{.SecretID}}")
		if got.code == ExitOK {
			c.env = append(c.env, "NOMAD_TOKEN="+strings.TrimSpace(got.stdout))
			return c
		}
		if t.Context().Err() != nil {
			t.Fatalf("bootstrap: %s", got.stderr)
		}
	}
}

// under is the same cluster with another token.
func (c *cluster) under(token string) *cluster {
	return &cluster{env: append(c.env[:len(c.env)-1:len(c.env)-1], "NOMAD_TOKEN="+token), dir: c.dir}
}

// says runs a command and checks how it ends and what it says.
func (c *cluster) says(t *testing.T, code int, want string, args ...string) string {
	t.Helper()
	got := c.run(t, args...)
	if got.code != code || !strings.Contains(got.stdout+got.stderr, want) {
		t.Errorf("%s: code %d, want %d and %q\n%s%s", strings.Join(args, " "), got.code, code, want, got.stdout, got.stderr)
	}
	return strings.TrimSpace(got.stdout)
}

// write writes a file and returns its path.
func (c *cluster) write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(c.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// The life of access control on the command line: each command does what it says, secrets are
// shown to who makes them, and what is wrong is said in a way that helps.
func TestACLCommands(t *testing.T) {
	c := newGuarded(t)
	c.says(t, ExitFailed, "into the file\nserver/acl-bootstrap-reset", "acl", "bootstrap")
	c.says(t, ExitOK, "Bootstrap Token", "acl", "token", "self")
	c.says(t, ExitFailed, "Permission denied", "acl", "token", "list", "-token", nomadish.NewID())

	rules := c.write(t, "rules.hcl", `namespace "default" { policy = "read" }`)
	c.says(t, ExitOK, "No policies", "acl", "policy", "list")
	c.says(t, ExitOK, `"readonly" is stored`, "acl", "policy", "apply", "-description", "reads", "readonly", rules)
	c.says(t, ExitOK, `"of-web" is stored`, "acl", "policy", "apply", "-job", "web", "-group", "g", "of-web", rules)
	c.says(t, ExitOK, "default/web/g", "acl", "policy", "list")
	c.says(t, ExitUsage, "-group needs -job", "acl", "policy", "apply", "-group", "g", "of-web", rules)
	c.says(t, ExitFailed, "polcy", "acl", "policy", "apply", "bad", c.write(t, "bad.hcl", `namespace "default" { polcy = "read" }`))
	c.says(t, ExitOK, `policy = "read"`, "acl", "policy", "info", "readonly")
	c.says(t, ExitFailed, `there is no policy "none"`, "acl", "policy", "info", "none")

	role := c.says(t, ExitOK, "", "acl", "role", "create", "-name", "dev", "-policy", "readonly", "-t", "{{.ID}}")
	c.says(t, ExitFailed, "cannot find policy none", "acl", "role", "create", "-name", "x", "-policy", "none")
	c.says(t, ExitOK, "for developers", "acl", "role", "update", "-description", "for developers", "dev")
	c.says(t, ExitOK, "readonly", "acl", "role", "info", role)
	c.says(t, ExitOK, "dev", "acl", "role", "list")

	secret := c.says(t, ExitOK, "", "acl", "token", "create", "-name", "ci", "-role-name", "dev", "-ttl", "1h", "-t", "{{.SecretID}}")
	dev := c.under(secret)
	accessor := dev.says(t, ExitOK, "", "acl", "token", "self", "-t", "{{.AccessorID}}")
	dev.says(t, ExitOK, "readonly", "acl", "policy", "self")
	dev.says(t, ExitOK, "default", "namespace", "list")
	dev.says(t, ExitFailed, "Permission denied", "acl", "token", "list")
	dev.says(t, ExitFailed, "Permission denied", "namespace", "apply", "shop")
	c.says(t, ExitOK, secret, "acl", "token", "info", accessor)
	c.says(t, ExitOK, "other", "acl", "token", "update", "-name", "other", accessor)
	c.says(t, ExitFailed, "token expiration", "acl", "token", "create", "-policy", "x", "-ttl", "-1h")
	if list := c.says(t, ExitOK, "other", "acl", "token", "list"); strings.Contains(list, secret) {
		t.Error("a list shows a secret")
	}
	c.says(t, ExitOK, accessor, "acl", "token", "list", "-filter", `Name == "other"`)
	c.says(t, ExitOK, "is removed", "acl", "token", "delete", accessor)
	dev.says(t, ExitFailed, "Permission denied", "namespace", "list")
	c.says(t, ExitOK, "is removed", "acl", "role", "delete", role)
	c.says(t, ExitOK, "is removed", "acl", "policy", "delete", "of-web")
}

// Logging in by a token of another system.
func TestLoginCommand(t *testing.T) {
	c := newGuarded(t)
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	config, err := json.Marshal(map[string]any{
		"JWTValidationPubKeys": []string{string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))},
		"SigningAlgs":          []string{"EdDSA"}, "BoundAudiences": []string{"nomad"}, "ListClaimMappings": map[string]string{"groups": "groups"},
	})
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: key}, nil)
	if err != nil {
		t.Fatal(err)
	}
	claims, err := json.Marshal(map[string]any{"aud": "nomad", "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(), "groups": []string{"dev"}})
	if err != nil {
		t.Fatal(err)
	}
	sig, err := signer.Sign(claims)
	if err != nil {
		t.Fatal(err)
	}
	jwt, err := sig.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	token := c.write(t, "jwt", jwt+"\n")
	nobody := c.under(nomadish.NewID()) // whose token is good no more

	nobody.says(t, ExitUsage, "no auth method of type JWT is the default", "login", "-login-token", "@"+token)
	c.says(t, ExitOK, "Auth Method Config", "acl", "auth-method", "create", "-name", "ci", "-type", "JWT", "-max-token-ttl", "1h",
		"-token-locality", "local", "-default", "-config", "@"+c.write(t, "config.json", string(config)))
	c.says(t, ExitFailed, "exactly one of JWTValidationPubKeys", "acl", "auth-method", "create", "-name", "x", "-type", "JWT", "-max-token-ttl", "1h",
		"-token-locality", "local", "-config", "{}")
	nobody.says(t, ExitFailed, "no role or policy bindings matched", "login", "-login-token", "@"+token)
	rule := c.says(t, ExitOK, "", "acl", "binding-rule", "create", "-auth-method", "ci", "-bind-type", "management", "-selector", `dev in list.groups`, "-t", "{{.ID}}")
	secret := nobody.says(t, ExitOK, "", "login", "-login-token", "@"+token, "-t", "{{.SecretID}}")
	c.under(secret).says(t, ExitOK, "JWT-ci", "acl", "token", "list")
	c.says(t, ExitOK, "for all", "acl", "binding-rule", "update", "-description", "for all", rule)
	c.says(t, ExitOK, "for all", "acl", "binding-rule", "list")
	c.says(t, ExitOK, "2h", "acl", "auth-method", "update", "-max-token-ttl", "2h", "ci")
	nobody.says(t, ExitOK, "JWT", "acl", "auth-method", "list")
	c.says(t, ExitOK, "management", "acl", "binding-rule", "info", rule)
	c.says(t, ExitOK, "is removed", "acl", "binding-rule", "delete", rule)
	c.says(t, ExitOK, "is removed", "acl", "auth-method", "delete", "ci")
	c.says(t, ExitFailed, `there is no auth method "ci"`, "acl", "auth-method", "info", "ci")
	nobody.says(t, ExitFailed, `auth-method "ci" not found`, "login", "-method", "ci", "-login-token", jwt)
}

// Namespaces and quotas, from files and by name.
func TestNamespaceCommands(t *testing.T) {
	c := newGuarded(t)
	quota := filepath.Join(c.dir, "q.hcl")
	c.says(t, ExitOK, "is in "+quota, "quota", "init", quota)
	c.says(t, ExitFailed, "exists", "quota", "init", quota)
	c.says(t, ExitOK, `"default-quota" is stored`, "quota", "apply", quota)
	c.says(t, ExitOK, "0 / 2500", "quota", "status", "default-quota")
	c.says(t, ExitOK, "RegionLimit", "quota", "inspect", "default-quota")
	c.says(t, ExitOK, "default-quota", "quota", "list")
	spec := c.write(t, "shop.hcl", `
name        = "shop"
description = "for the shop"
quota       = "default-quota"
capabilities {
  enabled_task_drivers   = ["docker"]
  disabled_network_modes = ["host"]
}
node_pool_config {
  denied = ["gpu*"]
}
meta {
  owner = "ann"
}
`)
	c.says(t, ExitOK, `"shop" is stored`, "namespace", "apply", spec)
	for _, want := range []string{"for the shop", "docker", "gpu*", "owner", "0 / 2500"} {
		c.says(t, ExitOK, want, "namespace", "status", "shop")
	}
	c.says(t, ExitOK, "is stored", "namespace", "apply", "-description", "changed", "shop")
	c.says(t, ExitOK, `"EnabledTaskDrivers"`, "namespace", "inspect", "shop")
	c.says(t, ExitOK, "changed", "namespace", "list")
	c.says(t, ExitFailed, "is attached to namespace", "quota", "delete", "default-quota")
	c.says(t, ExitFailed, "can not delete default namespace", "namespace", "delete", "default")
	c.says(t, ExitOK, "is removed", "namespace", "delete", "shop")
	c.says(t, ExitFailed, `there is no namespace "shop"`, "namespace", "status", "shop")
	c.says(t, ExitOK, "is removed", "quota", "delete", "default-quota")
}
