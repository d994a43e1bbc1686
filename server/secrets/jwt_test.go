package secrets_test

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/secrets"
)

// claims are those of a task, valid for an hour.
func claims() *nomadish.IdentityClaims {
	return &nomadish.IdentityClaims{
		Namespace: "default", JobID: "web", AllocationID: "5c6328f7-48c5-4d03-bada-91ef2e904d0d", Task: "server",
		Subject: nomadish.IdentitySubject("global", "default", "web", "group", "server", "default"), Audience: nomadish.Audience{nomadish.IdentityAudience},
		ID: nomadish.NewID(), IssuedAt: epoch.Unix(), NotBefore: epoch.Unix(), Expires: epoch.Add(time.Hour).Unix(),
	}
}

func part(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// What is signed verifies with both algorithms, also after rotations, and names its key.
func TestSignAndVerify(t *testing.T) {
	for _, algorithm := range []string{nomadish.AlgorithmEdDSA, nomadish.AlgorithmRS256} {
		t.Run(algorithm, func(t *testing.T) {
			w := newWorld(t)
			k := w.ready(secrets.Config{Algorithm: algorithm})
			want := claims()
			token, err := k.Sign(want)
			if err != nil {
				t.Fatal(err)
			}
			var head map[string]any
			raw, err := base64.RawURLEncoding.DecodeString(token[:strings.IndexByte(token, '.')])
			if err != nil || json.Unmarshal(raw, &head) != nil {
				t.Fatalf("header %q, %v", raw, err)
			}
			if diff := cmp.Diff(head, map[string]any{"alg": algorithm, "typ": "JWT", "kid": w.store.Reader().ActiveRootKey(nil).KeyID}); diff != "" {
				t.Errorf("header (-got +want):\n%s", diff)
			}
			w.rotate(k, nomadish.KeyringRotateRequest{})
			got, err := k.Verify(token)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(got, want); diff != "" {
				t.Errorf("claims (-got +want):\n%s", diff)
			}
		})
	}
}

// An identity can be verified without the wrapping key: the public half is in the state.
func TestVerifyWithoutTheWrappingKey(t *testing.T) {
	w := newWorld(t)
	token, err := w.ready(secrets.Config{}).Sign(claims())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.keyring(secrets.Config{}).Verify(token); err != nil {
		t.Error(err)
	}
}

// Tokens that were tampered with, confuse keys or algorithms, or are out of their time are refused.
func TestVerifyRefuses(t *testing.T) {
	w := newWorld(t)
	k := w.ready(secrets.Config{})
	valid, err := k.Sign(claims())
	if err != nil {
		t.Fatal(err)
	}
	kid := w.store.Reader().ActiveRootKey(nil).KeyID
	parts := strings.Split(valid, ".")
	forge := func(head map[string]any) string { return part(t, head) + "." + parts[1] + "." + parts[2] }
	signed := func(change func(c *nomadish.IdentityClaims)) string {
		c := claims()
		change(c)
		token, err := k.Sign(c)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	other, err := newWorld(t).ready(secrets.Config{}).Sign(claims())
	if err != nil {
		t.Fatal(err)
	}
	more := claims()
	more.JobID = "web-admin"
	for name, token := range map[string]string{
		"empty":                 "",
		"no token":              "hello",
		"two parts":             parts[0] + "." + parts[1],
		"four parts":            valid + ".x",
		"no signature":          parts[0] + "." + parts[1] + ".",
		"alg none":              part(t, map[string]any{"alg": "none", "kid": kid}) + "." + parts[1] + ".",
		"alg None with key":     forge(map[string]any{"alg": "None", "kid": kid}),
		"symmetric":             forge(map[string]any{"alg": "HS256", "kid": kid}),
		"RSA with an EdDSA key": forge(map[string]any{"alg": "RS256", "kid": kid}),
		"no kid":                forge(map[string]any{"alg": "EdDSA"}),
		"unknown kid":           forge(map[string]any{"alg": "EdDSA", "kid": nomadish.NewID()}),
		"kid in capitals":       forge(map[string]any{"alg": "EdDSA", "kid": strings.ToUpper(kid)}),
		"kid as a path":         forge(map[string]any{"alg": "EdDSA", "kid": "../" + kid}),
		"critical extension":    forge(map[string]any{"alg": "EdDSA", "kid": kid, "crit": []string{"exp"}}),
		"key in the header":     forge(map[string]any{"alg": "EdDSA", "kid": kid, "jwk": map[string]string{"kty": "OKP"}}),
		"other claims":          parts[0] + "." + part(t, more) + "." + parts[2],
		"another cluster":       other,
		"padded signature":      valid + "==",
		"too long":              valid + strings.Repeat("A", 1<<20),
		"another audience":      signed(func(c *nomadish.IdentityClaims) { c.Audience = nomadish.Audience{"vault.io"} }),
		"no audience":           signed(func(c *nomadish.IdentityClaims) { c.Audience = nil }),
		"ended":                 signed(func(c *nomadish.IdentityClaims) { c.Expires = epoch.Unix() }),
		"of tomorrow":           signed(func(c *nomadish.IdentityClaims) { c.NotBefore = epoch.Add(time.Minute).Unix() }),
	} {
		if got, err := k.Verify(token); nomadish.KindOf(err) != nomadish.KindDenied || err == nil {
			t.Errorf("%s: %+v, %v; want it denied", name, got, err)
		}
	}
	if _, err := k.Verify(signed(func(c *nomadish.IdentityClaims) { c.Expires = 0 })); err != nil {
		t.Errorf("without an end: %v", err)
	}
	w.pass(time.Hour)
	if _, err := k.Verify(valid); err == nil {
		t.Error("valid an hour later")
	}
}

// A token that is no valid one never passes, and nothing panics.
func FuzzVerify(f *testing.F) {
	k := newWorld(f).ready(secrets.Config{})
	valid, err := k.Sign(claims())
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{"", "..", valid, valid[:len(valid)-2], strings.Replace(valid, ".", "..", 1)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		if _, err := k.Verify(token); err == nil && token != valid {
			t.Errorf("%q passes", token)
		}
	})
}
