package endpoint_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/endpoint"
	"github.com/nomadish/nomadish/server/fsm"
)

// secured is a world with access control. Its context is that of management.
func secured(t *testing.T, cfg endpoint.ACLConfig) (*world, context.Context) {
	cfg.Enabled = true
	w := newWorld(t, endpoint.Config{ACL: cfg})
	if err := w.keyring.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	return w, actingAs(t, nomadish.CallerManagement, "")
}

func actingAs(t *testing.T, kind nomadish.CallerKind, id string) context.Context {
	return nomadish.WithCaller(t.Context(), nomadish.Caller{Kind: kind, ID: id})
}

// must takes the value of a write that has to succeed.
func must[T any](t *testing.T) func(T, uint64, error) T {
	return func(v T, _ uint64, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func (w *world) readPolicy(ctx context.Context, name string) {
	w.t.Helper()
	if _, err := w.UpsertACLPolicy(ctx, &nomadish.ACLPolicy{Name: name, Rules: `namespace "default" { policy = "read" }`}); err != nil {
		w.t.Fatal(err)
	}
}

// A cluster is bootstrapped once, whoever comes at the same time; and again by who can write
// a file on the leader.
func TestBootstrap(t *testing.T) {
	reset := filepath.Join(t.TempDir(), "acl-bootstrap-reset")
	w, _ := secured(t, endpoint.ACLConfig{ResetFile: reset})
	nobody := actingAs(t, nomadish.CallerAnonymous, "")
	var first atomic.Pointer[nomadish.ACLToken]
	var group sync.WaitGroup
	for range 10 {
		group.Go(func() {
			token, _, err := w.BootstrapACL(nobody, &nomadish.ACLBootstrapRequest{})
			if err == nil && !first.CompareAndSwap(nil, token) {
				t.Error("bootstrapped twice")
			}
		})
	}
	group.Wait()
	token := first.Load()
	if token == nil || token.Type != nomadish.ACLTokenManagement || !token.Global || token.SecretID == "" {
		t.Fatalf("the first token is %+v", token)
	}
	bootstrap := func(content string, secret nomadish.SecretText) (*nomadish.ACLToken, error) {
		if content != "" {
			if err := os.WriteFile(reset, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		token, _, err := w.BootstrapACL(nobody, &nomadish.ACLBootstrapRequest{BootstrapSecret: secret})
		return token, err
	}
	index := strconv.FormatUint(w.read().ACLBootstrapIndex(), 10)
	for _, content := range []string{"", "1", "0", "x", strings.Repeat("1", 100)} {
		if _, err := bootstrap(content, ""); nomadish.KindOf(err) != nomadish.KindInvalid {
			t.Errorf("file %q: %v", content, err)
		}
	}
	if _, err := bootstrap(index, "no UUID"); err == nil || err.Error() != "invalid acl token" {
		t.Errorf("secret that is no UUID: %v", err)
	}
	const secret = "2b778dd9-f5f1-6f29-b4b4-9a5fa948757a"
	if token, err := bootstrap(index+"\n", secret); err != nil || token.SecretID != secret {
		t.Errorf("after a reset: %v, %v", token, err)
	}
	if _, err := os.Stat(reset); !os.IsNotExist(err) {
		t.Errorf("the file is still there: %v", err)
	}
	_, err := bootstrap(index, "")
	wantKind(t, err, nomadish.KindInvalid, "ACL bootstrap already done (reset index: "+strconv.FormatUint(w.read().ACLBootstrapIndex(), 10)+")")
}

// Tokens are made, shown, changed and removed. What their end is stays, and so does their secret.
func TestTokenLife(t *testing.T) {
	w, ctx := secured(t, endpoint.ACLConfig{})
	w.readPolicy(ctx, "readonly")
	role := must[*nomadish.ACLRole](t)(w.UpsertACLRole(ctx, &nomadish.ACLRole{Name: "dev", Policies: []*nomadish.ACLRolePolicyLink{{Name: "readonly"}, {Name: "readonly"}}}))
	if len(role.Policies) != 1 {
		t.Errorf("policies of the role: %v", role.Policies)
	}
	made := must[*nomadish.ACLToken](t)(w.UpsertACLToken(ctx, &nomadish.ACLToken{
		Name: "ci", Type: "client", Policies: []string{"later"}, Roles: []*nomadish.ACLTokenRoleLink{{Name: "dev"}},
		ExpirationTTL: nomadish.TextDuration(time.Hour),
	}))
	if made.ExpirationTime == nil || !made.ExpirationTime.Equal(epoch.Add(time.Hour)) || len(made.Roles) != 1 || made.Roles[0].ID != role.ID {
		t.Errorf("made %+v", made)
	}
	shown := must[*nomadish.ACLToken](t)(w.ACLToken(ctx, nil, made.AccessorID))
	if diff := cmp.Diff(made, shown); diff != "" {
		t.Errorf("shown (-made +shown):\n%s", diff)
	}
	changed := *shown
	changed.Name, changed.ExpirationTime, changed.ExpirationTTL, changed.SecretID = "other", nil, 0, ""
	got := must[*nomadish.ACLToken](t)(w.UpsertACLToken(ctx, &changed))
	if got.Name != "other" || got.SecretID != made.SecretID || !got.ExpirationTime.Equal(*made.ExpirationTime) || got.CreateIndex != made.CreateIndex {
		t.Errorf("changed to %+v", got)
	}
	if _, err := w.DeleteACLRole(ctx, role.ID); err != nil {
		t.Fatal(err)
	}
	if got := must[*nomadish.ACLToken](t)(w.ACLToken(ctx, nil, made.AccessorID)); len(got.Roles) != 0 {
		t.Errorf("roles after the role is gone: %v", got.Roles)
	}
	if _, err := w.DeleteACLToken(ctx, made.AccessorID); err != nil {
		t.Fatal(err)
	}
	changed.Roles = nil
	_, _, err := w.UpsertACLToken(ctx, &changed)
	wantKind(t, err, nomadish.KindInvalid, "cannot find token "+made.AccessorID)
	_, err = w.DeleteACLToken(ctx, made.AccessorID)
	wantKind(t, err, nomadish.KindNotFound, "ACL token not found")
}

// What no token can be.
func TestTokensAreChecked(t *testing.T) {
	w, ctx := secured(t, endpoint.ACLConfig{MinTTL: time.Minute, MaxTTL: time.Hour})
	const accessor, secret = "b306571d-a3fa-42d2-ac5b-bbe49d8c3c7f", "c28ba0f6-ab8d-4e4d-b9f0-7f9f5d1c2e3a"
	up := nomadish.ACLToken{AccessorID: accessor, SecretID: secret, Type: "client", Policies: []string{"a"}}
	if got := must[*nomadish.ACLToken](t)(w.UpsertACLToken(ctx, &up)); got.SecretID != secret || got.AccessorID != accessor {
		t.Errorf("uploaded as %+v", got)
	}
	ttl := func(d time.Duration) nomadish.ACLToken {
		return nomadish.ACLToken{Type: "client", Policies: []string{"a"}, ExpirationTTL: nomadish.TextDuration(d)}
	}
	past := epoch.Add(-time.Hour)
	for want, token := range map[string]nomadish.ACLToken{
		"token type must be client or management":    {Policies: []string{"a"}},
		"client token missing policies or roles":     {Type: "client"},
		"management token cannot be associated with": {Type: "management", Policies: []string{"a"}},
		"token name longer than 256":                 {Type: "management", Name: strings.Repeat("x", 257)},
		"invalid policy":                             {Type: "client", Policies: []string{"a/b"}},
		"cannot find role nobody":                    {Type: "client", Roles: []*nomadish.ACLTokenRoleLink{{Name: "nobody"}}},
		"less than 1m0s in the future":               ttl(time.Second),
		"more than 1h0m0s in the future":             ttl(2 * time.Hour),
		"should not be negative":                     ttl(-time.Hour),
		"before create time":                         {Type: "management", ExpirationTime: &past},
		"cannot update expiration time":              {AccessorID: accessor, Type: "client", Policies: []string{"a"}, ExpirationTTL: nomadish.TextDuration(time.Minute)},
		"cannot toggle global mode":                  {AccessorID: accessor, Type: "client", Policies: []string{"a"}, Global: true},
		"cannot find token 0":                        {AccessorID: "0", Type: "management"},
		"cannot upload management tokens":            {AccessorID: nomadish.NewID(), SecretID: secret, Type: "management"},
		"needs an accessor ID":                       {SecretID: secret, Type: "client", Policies: []string{"a"}},
		"must be UUIDs":                              {AccessorID: nomadish.NewID(), SecretID: "short", Type: "client", Policies: []string{"a"}},
		"is another token's":                         {AccessorID: nomadish.NewID(), SecretID: secret, Type: "client", Policies: []string{"a"}},
	} {
		_, _, err := w.UpsertACLToken(ctx, &token)
		if err == nil || nomadish.KindOf(err) != nomadish.KindInvalid || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

// Who is not management sees its own token, policies and roles, and no others.
func TestOwnAccess(t *testing.T) {
	w, ctx := secured(t, endpoint.ACLConfig{})
	for _, name := range []string{"mine", "by-role", "other"} {
		w.readPolicy(ctx, name)
	}
	role := must[*nomadish.ACLRole](t)(w.UpsertACLRole(ctx, &nomadish.ACLRole{Name: "dev", Policies: []*nomadish.ACLRolePolicyLink{{Name: "by-role"}}}))
	other := must[*nomadish.ACLRole](t)(w.UpsertACLRole(ctx, &nomadish.ACLRole{Name: "ops", Policies: []*nomadish.ACLRolePolicyLink{{Name: "other"}}}))
	token := must[*nomadish.ACLToken](t)(w.UpsertACLToken(ctx, &nomadish.ACLToken{Type: "client", Policies: []string{"mine"}, Roles: []*nomadish.ACLTokenRoleLink{{ID: role.ID}}}))
	mine := actingAs(t, nomadish.CallerToken, token.AccessorID)
	policies, _, err := w.ACLPolicies(mine, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for p := range policies {
		got = append(got, p.Name)
	}
	if diff := cmp.Diff([]string{"by-role", "mine"}, got); diff != "" {
		t.Errorf("policies (-want +got):\n%s", diff)
	}
	if own := must[*nomadish.ACLToken](t)(w.OwnACLToken(mine, nil)); own.SecretID != token.SecretID {
		t.Errorf("own token: %+v", own)
	}
	must[*nomadish.ACLRole](t)(w.ACLRole(mine, nil, "dev", true))
	for name, err := range map[string]error{
		"another policy": third(w.ACLPolicy(mine, nil, "other")),
		"no policy":      third(w.ACLPolicy(mine, nil, "none")),
		"another role":   third(w.ACLRole(mine, nil, other.ID, false)),
		"no role":        third(w.ACLRole(mine, nil, nomadish.NewID(), false)),
		"another token":  third(w.ACLToken(mine, nil, nomadish.NewID())),
		"list of tokens": third(w.ACLTokens(mine, nil, "", false)),
		"making one":     third(w.UpsertACLToken(mine, &nomadish.ACLToken{Type: "management"})),
		"a method":       third(w.ACLAuthMethod(mine, nil, "ci")),
		"rules":          third(w.ACLBindingRules(mine, nil, "")),
	} {
		if nomadish.KindOf(err) != nomadish.KindDenied || err == nil {
			t.Errorf("%s: error %v, want that it is denied", name, err)
		}
	}
	nobody := actingAs(t, nomadish.CallerAnonymous, "")
	if own := must[*nomadish.ACLToken](t)(w.OwnACLToken(nobody, nil)); own.AccessorID != "anonymous" || own.SecretID != "" {
		t.Errorf("token of nobody: %+v", own)
	}
}

func third[A, B any](_ A, _ B, err error) error { return err }

// A one-time token is exchanged once, in time, and not when its token is gone.
func TestOneTimeTokens(t *testing.T) {
	w, ctx := secured(t, endpoint.ACLConfig{})
	token := must[*nomadish.ACLToken](t)(w.UpsertACLToken(ctx, &nomadish.ACLToken{Type: "management"}))
	mine, nobody := actingAs(t, nomadish.CallerManagement, token.AccessorID), actingAs(t, nomadish.CallerAnonymous, "")
	once := must[*nomadish.OneTimeToken](t)(w.MakeOneTimeToken(mine))
	var given atomic.Int32
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			if got, _, err := w.ExchangeOneTimeToken(nobody, once.OneTimeSecretID); err == nil && got.SecretID == token.SecretID {
				given.Add(1)
			}
		})
	}
	group.Wait()
	if given.Load() != 1 {
		t.Errorf("exchanged %d times, want once", given.Load())
	}
	again := must[*nomadish.OneTimeToken](t)(w.MakeOneTimeToken(mine))
	if _, err := w.DeleteACLToken(ctx, token.AccessorID); err != nil {
		t.Fatal(err)
	}
	for _, secret := range []nomadish.SecretText{again.OneTimeSecretID, "", "guess"} {
		_, _, err := w.ExchangeOneTimeToken(nobody, secret)
		wantKind(t, err, nomadish.KindDenied, "Permission denied")
	}
	_, _, err := w.MakeOneTimeToken(nobody)
	wantKind(t, err, nomadish.KindDenied, "Permission denied")
}

// Without access control there is none of it.
func TestDisabled(t *testing.T) {
	w := newWorld(t, endpoint.Config{})
	ctx := actingAs(t, nomadish.CallerManagement, "")
	for name, err := range map[string]error{
		"policies":  third(w.ACLPolicies(ctx, nil, "")),
		"bootstrap": third(w.BootstrapACL(ctx, &nomadish.ACLBootstrapRequest{})),
		"token":     third(w.UpsertACLToken(ctx, &nomadish.ACLToken{Type: "management"})),
		"methods":   third(w.ACLAuthMethods(ctx, nil)),
		"login":     third(w.Login(ctx, &nomadish.ACLLoginRequest{})),
	} {
		if err == nil || err.Error() != "ACL support disabled" || nomadish.KindOf(err) != nomadish.KindInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if own := must[*nomadish.ACLToken](t)(w.OwnACLToken(ctx, nil)); own.AccessorID != "acls-disabled" {
		t.Errorf("own token: %+v", own)
	}
}

// jwtMethod is an auth method that believes a key.
func jwtMethod(t *testing.T, key ed25519.PrivateKey) *nomadish.ACLAuthMethod {
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return &nomadish.ACLAuthMethod{
		Name: "ci", Type: "JWT", TokenLocality: "global", MaxTokenTTL: nomadish.TextDuration(time.Hour), Default: true,
		TokenNameFormat: "ci of ${value.project}",
		Config: &nomadish.ACLAuthMethodConfig{
			JWTValidationPubKeys: []string{string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))},
			SigningAlgs:          []string{"EdDSA"}, ClaimMappings: map[string]string{"project": "project"},
			OIDCClientSecret: "hush hush",
		},
	}
}

func jwt(t *testing.T, key ed25519.PrivateKey, project string) nomadish.SecretText {
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: key}, nil)
	if err != nil {
		t.Fatal(err)
	}
	sig, err := s.Sign([]byte(`{"exp":` + strconv.FormatInt(epoch.Unix()+60, 10) + `,"project":"` + project + `"}`))
	if err != nil {
		t.Fatal(err)
	}
	text, err := sig.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return nomadish.SecretText(text)
}

// A login gives what the binding rules of the method say, for as long as the method says.
func TestLogin(t *testing.T) {
	w, ctx := secured(t, endpoint.ACLConfig{})
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	w.readPolicy(ctx, "team-web")
	must[*nomadish.ACLAuthMethod](t)(w.UpsertACLAuthMethod(ctx, jwtMethod(t, key)))
	rule := must[*nomadish.ACLBindingRule](t)(w.UpsertACLBindingRule(ctx, &nomadish.ACLBindingRule{AuthMethod: "ci", BindType: "policy", BindName: "team-${value.project}"}))
	nobody := actingAs(t, nomadish.CallerAnonymous, "")
	token := must[*nomadish.ACLToken](t)(w.Login(nobody, &nomadish.ACLLoginRequest{AuthMethodName: "ci", LoginToken: jwt(t, key, "web")}))
	if diff := cmp.Diff([]string{"team-web"}, token.Policies); diff != "" || !token.Global || token.Name != "ci of web" ||
		token.SecretID == "" || token.ExpirationTime == nil || !token.ExpirationTime.Equal(epoch.Add(time.Hour)) {
		t.Errorf("token %+v", token)
	}
	_, other, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		method string
		token  nomadish.SecretText
		kind   nomadish.Kind
	}{
		{"ci", jwt(t, key, "db"), nomadish.KindDenied}, // there is no such policy
		{"ci", jwt(t, other, "web"), nomadish.KindDenied},
		{"ci", "", nomadish.KindInvalid},
		{"", jwt(t, key, "web"), nomadish.KindInvalid},
		{"none", jwt(t, key, "web"), nomadish.KindNotFound},
	} {
		_, _, err := w.Login(nobody, &nomadish.ACLLoginRequest{AuthMethodName: tt.method, LoginToken: tt.token})
		if err == nil || nomadish.KindOf(err) != tt.kind {
			t.Errorf("method %q: error %v, want kind %d", tt.method, err, tt.kind)
		}
	}
	if _, err := w.DeleteACLBindingRule(ctx, rule.ID); err != nil {
		t.Fatal(err)
	}
	_, _, err = w.Login(nobody, &nomadish.ACLLoginRequest{AuthMethodName: "ci", LoginToken: jwt(t, key, "web")})
	wantKind(t, err, nomadish.KindDenied, "no role or policy bindings matched")
}

// The secrets of a method are shown to nobody, and stay when it is changed.
func TestAuthMethodSecrets(t *testing.T) {
	w, ctx := secured(t, endpoint.ACLConfig{})
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	made := must[*nomadish.ACLAuthMethod](t)(w.UpsertACLAuthMethod(ctx, jwtMethod(t, key)))
	if made.Config.OIDCClientSecret != nomadish.Redacted {
		t.Errorf("secret is shown as %q", made.Config.OIDCClientSecret.Reveal())
	}
	stored := func() string {
		m, err := w.read().ACLAuthMethod(nil, "ci")
		if err != nil {
			t.Fatal(err)
		}
		if m.Secrets == nil {
			return ""
		}
		plain, err := w.keyring.Open(*m.Secrets, m.SealedBinding())
		if err != nil {
			t.Fatal(err)
		}
		var secrets nomadish.ACLAuthMethodSecrets
		if err := json.Unmarshal(plain, &secrets); err != nil {
			t.Fatal(err)
		}
		return secrets.OIDCClientSecret.Reveal()
	}
	must[*nomadish.ACLAuthMethod](t)(w.UpsertACLAuthMethod(ctx, made))
	if got := stored(); got != "hush hush" {
		t.Errorf("after a change with a redacted secret it is %q", got)
	}
	must[*nomadish.ACLAuthMethod](t)(w.UpsertACLAuthMethod(ctx, &nomadish.ACLAuthMethod{Name: "ci", TokenLocality: "local"}))
	if got := stored(); got != "hush hush" {
		t.Errorf("after a change without a config it is %q", got)
	}
	bare := *made.Config
	bare.OIDCClientSecret = ""
	must[*nomadish.ACLAuthMethod](t)(w.UpsertACLAuthMethod(ctx, &nomadish.ACLAuthMethod{Name: "ci", Config: &bare, Default: true}))
	if got := stored(); got != "" {
		t.Errorf("after a change that takes it away it is %q", got)
	}
	second := jwtMethod(t, key)
	second.Name = "second"
	_, _, err = w.UpsertACLAuthMethod(ctx, second)
	wantKind(t, err, nomadish.KindInvalid, "default ACL auth method for type JWT already exists: ci")
}

// No secret is in clear in the state, in commands, or in what is printed.
func TestSecretsAreSealed(t *testing.T) {
	w, ctx := secured(t, endpoint.ACLConfig{})
	var commands, rows []byte
	w.record = func(c fsm.Command) { commands = c.AppendCodec(commands) }
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	token := must[*nomadish.ACLToken](t)(w.UpsertACLToken(ctx, &nomadish.ACLToken{Type: "management", Name: "canary"}))
	once := must[*nomadish.OneTimeToken](t)(w.MakeOneTimeToken(actingAs(t, nomadish.CallerManagement, token.AccessorID)))
	must[*nomadish.ACLAuthMethod](t)(w.UpsertACLAuthMethod(ctx, jwtMethod(t, key)))
	tokens, err := w.read().ACLTokens(nil, "")
	if err != nil {
		t.Fatal(err)
	}
	for row := range tokens {
		rows = row.AppendCodec(rows)
	}
	for row := range w.read().OneTimeTokens(nil) {
		rows = row.AppendCodec(rows)
	}
	for row := range w.read().ACLAuthMethods(nil) {
		rows = row.AppendCodec(rows)
	}
	if !bytes.Contains(commands, []byte("canary")) || !bytes.Contains(rows, []byte("canary")) {
		t.Fatal("commands and rows were not recorded")
	}
	for name, secret := range map[string]nomadish.SecretText{"token": token.SecretID, "one-time token": once.OneTimeSecretID, "client secret": "hush hush"} {
		id, _ := nomadish.ParseID(secret.Reveal())
		for place, text := range map[string][]byte{"commands": commands, "rows": rows, "print": fmt.Appendf(nil, "%v %+v %#v", token, once, &token.SecretID)} {
			if bytes.Contains(text, []byte(secret)) || name != "client secret" && bytes.Contains(text, id[:]) {
				t.Errorf("%s: in clear in %s", name, place)
			}
		}
	}
}
