package login_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/login"
)

var now = time.Unix(1_700_000_000, 0)

// keys are made once: RSA takes its time.
var keys = sync.OnceValue(func() (k struct {
	rsa, other, small *rsa.PrivateKey
	ec                *ecdsa.PrivateKey
	ed                ed25519.PrivateKey
},
) {
	make := func(bits int) *rsa.PrivateKey {
		key, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			panic(err)
		}
		return key
	}
	k.rsa, k.other, k.small = make(2048), make(2048), make(1024)
	var err error
	if k.ec, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		panic(err)
	}
	if _, k.ed, err = ed25519.GenerateKey(rand.Reader); err != nil {
		panic(err)
	}
	return k
})

// public is a key's public half in PEM.
func public(t testing.TB, key crypto.Signer) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// method is an auth method that believes the first RSA key.
func method(t testing.TB) *nomadish.ACLAuthMethod {
	return &nomadish.ACLAuthMethod{
		Name: "ci", Type: nomadish.ACLAuthMethodJWT, TokenLocality: nomadish.ACLLocalityLocal,
		MaxTokenTTL: nomadish.TextDuration(time.Hour), TokenNameFormat: nomadish.ACLTokenNameFormat,
		Config: &nomadish.ACLAuthMethodConfig{
			JWTValidationPubKeys: []string{public(t, keys().rsa)},
			BoundIssuer:          []string{"https://ci.example.com"},
			BoundAudiences:       []string{"nomad"},
			ClaimMappings:        map[string]string{"project": "project", "/user/name": "user", "missing": "missing"},
			ListClaimMappings:    map[string]string{"groups": "groups"},
		},
	}
}

// says are the claims of a good token.
func says() map[string]any {
	return map[string]any{
		"iss": "https://ci.example.com", "aud": "nomad", "sub": "job 7",
		"iat": now.Unix() - 10, "nbf": now.Unix() - 10, "exp": now.Unix() + 600,
		"project": "web", "user": map[string]any{"name": "ann"}, "groups": []string{"dev", "ops"}, "big": 12345678901,
	}
}

func with(more map[string]any) map[string]any {
	c := says()
	maps.Copy(c, more)
	for k, v := range c {
		if v == nil {
			delete(c, k)
		}
	}
	return c
}

// sign makes a token with these headers.
func sign(t testing.TB, alg jose.SignatureAlgorithm, key any, claims any, headers map[jose.HeaderKey]any) string {
	t.Helper()
	opts := &jose.SignerOptions{}
	for k, v := range headers {
		opts.WithHeader(k, v)
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, opts)
	if err != nil {
		t.Fatal(err)
	}
	payload, ok := claims.([]byte)
	if !ok {
		if payload, err = json.Marshal(claims); err != nil {
			t.Fatal(err)
		}
	}
	sig, err := s.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	text, err := sig.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// raw puts a token together as it is said, signature and all.
func raw(header string, claims any, signature string) string {
	payload, err := json.Marshal(claims)
	if err != nil {
		panic(err)
	}
	e := base64.RawURLEncoding.EncodeToString
	return e([]byte(header)) + "." + e(payload) + "." + e([]byte(signature))
}

func verifier() *login.Verifier {
	return login.New(login.Config{Now: func() time.Time { return now }})
}

// A good token says what the method maps of it, whatever the method leaves out.
func TestVerify(t *testing.T) {
	got, err := verifier().Verify(t.Context(), method(t), sign(t, jose.RS256, keys().rsa, says(), nil))
	if err != nil {
		t.Fatal(err)
	}
	want := &login.Identity{
		Value: map[string]string{"project": "web", "user": "ann", "missing": ""},
		List:  map[string][]string{"groups": {"dev", "ops"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("identity (-want +got):\n%s", diff)
	}
	for name, tt := range map[string]struct {
		alg    jose.SignatureAlgorithm
		key    crypto.Signer
		claims map[string]any
	}{
		"Ed25519":                        {jose.EdDSA, keys().ed, says()},
		"P-256":                          {jose.ES256, keys().ec, says()},
		"PSS":                            {jose.PS256, keys().rsa, says()},
		"several audiences":              {jose.RS256, keys().rsa, with(map[string]any{"aud": []string{"x", "nomad"}})},
		"only when it was made":          {jose.RS256, keys().rsa, with(map[string]any{"exp": nil, "nbf": nil})},
		"only when it ends":              {jose.RS256, keys().rsa, with(map[string]any{"iat": nil, "nbf": nil, "exp": now.Unix() + 60})},
		"clock behind by less than skew": {jose.RS256, keys().rsa, with(map[string]any{"nbf": now.Unix() + 59, "iat": now.Unix() + 59})},
		"expired by less than skew":      {jose.RS256, keys().rsa, with(map[string]any{"exp": now.Unix() - 59})},
		"fractions of a second":          {jose.RS256, keys().rsa, with(map[string]any{"exp": float64(now.Unix()) + 0.5})},
	} {
		m := method(t)
		m.Config.JWTValidationPubKeys = []string{public(t, keys().other), public(t, tt.key)}
		m.Config.SigningAlgs = []string{string(tt.alg)}
		if _, err := verifier().Verify(t.Context(), m, sign(t, tt.alg, tt.key, tt.claims, nil)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Tokens that must not let anybody in. Each is refused, and says why.
func TestVerifyRefuses(t *testing.T) {
	k := keys()
	rs := func(claims any, headers map[jose.HeaderKey]any) string {
		return sign(t, jose.RS256, k.rsa, claims, headers)
	}
	good := rs(says(), nil)
	parts := strings.Split(good, ".")
	set := func(claims map[string]any) string { return rs(with(claims), nil) }
	der, err := x509.MarshalPKIXPublicKey(k.rsa.Public())
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	for _, tt := range []struct {
		name, token, why string
	}{
		{"nothing", "", "can't be read"},
		{"no token", "hello", "can't be read"},
		{"two parts", parts[0] + "." + parts[1], "can't be read"},
		{"four parts", good + ".x", "can't be read"},
		{"1 MB", strings.Repeat("a", 1<<20), "more than the limit"},
		{"JSON serialization", `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`, "can't be read"},
		{"alg none", raw(`{"alg":"none"}`, says(), ""), "algorithm is none of RS256"},
		{"alg none in other letters", raw(`{"alg":"nOnE"}`, says(), ""), "algorithm is none of RS256"},
		{"no alg", raw(`{}`, says(), "x"), "can't be read"},
		{"public key as a shared secret, PEM", sign(t, jose.HS256, []byte(public(t, k.rsa)), says(), nil), "algorithm is none of RS256"},
		{"public key as a shared secret, DER", sign(t, jose.HS256, der, says(), nil), "algorithm is none of RS256"},
		{"algorithm that the method has not", sign(t, jose.PS256, k.rsa, says(), nil), "algorithm is none of RS256"},
		{"algorithm changed in the header", b64([]byte(`{"alg":"RS512"}`)) + "." + parts[1] + "." + parts[2], "algorithm is none of RS256"},
		{"another key", sign(t, jose.RS256, k.other, says(), nil), "none of the method's keys"},
		{"key that is too short", sign(t, jose.RS256, k.small, says(), nil), "none of the method's keys"},
		{"no signature", parts[0] + "." + parts[1] + ".", "none of the method's keys"},
		{"claims changed", parts[0] + "." + b64([]byte(`{"iss":"https://ci.example.com","aud":"nomad","exp":9999999999}`)) + "." + parts[2], "none of the method's keys"},
		{"key in the header", sign(t, jose.RS256, k.other, says(), map[jose.HeaderKey]any{"jwk": jose.JSONWebKey{Key: k.other.Public()}}), "none of the method's keys"},
		{"key named by a URL", sign(t, jose.RS256, k.other, says(), map[jose.HeaderKey]any{"jku": "http://127.0.0.1:1/keys"}), "none of the method's keys"},
		{"key named by a path", sign(t, jose.RS256, k.other, says(), map[jose.HeaderKey]any{"kid": "../../../../dev/null"}), "none of the method's keys"},
		{"key named by a query", sign(t, jose.RS256, k.other, says(), map[jose.HeaderKey]any{"kid": "x' OR '1'='1"}), "none of the method's keys"},
		{"critical header", raw(`{"alg":"RS256","crit":["exp"],"exp":1}`, says(), "x"), "login refused"},
		{"payload not encoded", raw(`{"alg":"RS256","b64":false,"crit":["b64"]}`, says(), "x"), "login refused"},
		{"content that is no JSON", rs([]byte("hello"), nil), "no JSON object"},
		{"content that is a list", rs([]byte("[]"), nil), "no JSON object"},
		{"content that is null", rs([]byte("null"), nil), "no JSON object"},
		{"two contents", rs([]byte(`{"exp":1}{"exp":2}`), nil), "no JSON object"},
		{"another issuer", set(map[string]any{"iss": "https://evil.example.com"}), "none of the method's"},
		{"no issuer", set(map[string]any{"iss": nil}), "none of the method's"},
		{"issuer that is a list", set(map[string]any{"iss": []string{"https://ci.example.com"}}), "none of the method's"},
		{"another audience", set(map[string]any{"aud": "consul"}), "none of the method's audiences"},
		{"no audience", set(map[string]any{"aud": nil}), "none of the method's audiences"},
		{"audience that begins like ours", set(map[string]any{"aud": "nomad-prod"}), "none of the method's audiences"},
		{"audience that is an object", set(map[string]any{"aud": map[string]any{"nomad": true}}), "neither a text nor a list"},
		{"expired", set(map[string]any{"exp": now.Unix() - 60}), "has expired"},
		{"not valid yet", set(map[string]any{"nbf": now.Unix() + 61}), "not valid before"},
		{"made in the future", set(map[string]any{"iat": now.Unix() + 61, "nbf": nil}), "not valid before"},
		{"made in the future, valid before", set(map[string]any{"iat": now.Unix() + 3600, "nbf": now.Unix() - 1}), "which is to come"},
		{"no time at all", set(map[string]any{"exp": nil, "nbf": nil, "iat": nil}), "says no time"},
		{"old, without its end", set(map[string]any{"exp": nil, "nbf": nil, "iat": now.Unix() - 211}), "has expired"},
		{"end that is a text", set(map[string]any{"exp": "9999999999"}), "is no number"},
		{"end beyond all time", set(map[string]any{"exp": 1e300}), "is no time"},
		{"negative end", set(map[string]any{"exp": -1}), "is no time"},
		{"mapped claim that is an object", set(map[string]any{"project": map[string]any{}}), "is no text"},
		{"mapped claim that is long", set(map[string]any{"project": strings.Repeat("x", 5000)}), "is no text"},
		{"list with an object in it", set(map[string]any{"groups": []any{"dev", map[string]any{}}}), "is no list"},
		{"list that is long", set(map[string]any{"groups": make([]int, 1001)}), "more than the limit"},
	} {
		m := method(t)
		_, err := verifier().Verify(t.Context(), m, tt.token)
		if err == nil || nomadish.KindOf(err) != nomadish.KindDenied || !strings.Contains(err.Error(), tt.why) {
			t.Errorf("%s: error %v, want one that is denied and says %q", tt.name, err, tt.why)
		}
	}
	if _, err := verifier().Verify(t.Context(), method(t), good); err != nil {
		t.Errorf("the good one: %v", err)
	}
}

// A method without audiences takes no token that is for somebody; leeways can be switched off.
func TestVerifySettings(t *testing.T) {
	m := method(t)
	m.Config.BoundAudiences = nil
	_, err := verifier().Verify(t.Context(), m, sign(t, jose.RS256, keys().rsa, says(), nil))
	if err == nil || !strings.Contains(err.Error(), "no bound audiences") {
		t.Errorf("no bound audiences: %v", err)
	}
	m = method(t)
	m.Config.ClockSkewLeeway = -1
	_, err = verifier().Verify(t.Context(), m, sign(t, jose.RS256, keys().rsa, with(map[string]any{"exp": now.Unix()}), nil))
	if err == nil || !strings.Contains(err.Error(), "has expired") {
		t.Errorf("no clock skew: %v", err)
	}
	m = method(t)
	m.Type = nomadish.ACLAuthMethodOIDC
	if _, err := verifier().Verify(t.Context(), m, sign(t, jose.RS256, keys().rsa, says(), nil)); nomadish.KindOf(err) != nomadish.KindInvalid {
		t.Errorf("method of type OIDC: %v", err)
	}
}

// FuzzVerify: whatever is sent, only what a key has signed lets anybody in.
func FuzzVerify(f *testing.F) {
	m := method(f)
	good := sign(f, jose.RS256, keys().rsa, says(), nil)
	f.Add(good)
	f.Add(raw(`{"alg":"none"}`, says(), ""))
	f.Add(strings.Replace(good, ".", "..", 1))
	v := verifier()
	f.Fuzz(func(t *testing.T, token string) {
		who, err := v.Verify(t.Context(), m, token)
		switch {
		case err == nil && strings.TrimSpace(token) != good:
			// Only another form of the same signature is left: its payload is that of the good one.
			if who.Value["project"] != "web" || strings.Split(strings.TrimSpace(token), ".")[1] != strings.Split(good, ".")[1] {
				t.Errorf("let in: %+v", who)
			}
		case err != nil && nomadish.KindOf(err) != nomadish.KindDenied:
			t.Errorf("refused as %v", err)
		}
	})
}
