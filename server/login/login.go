// Package login decides who somebody is by what another system says of them: it verifies
// JSON Web Tokens of that system, takes out of them what an auth method maps, and says which
// roles and policies the method's binding rules give for it.
//
//	v := login.New(login.Config{})
//	who, err := v.Verify(ctx, method, token)
//	given, err := login.Bind(rules, who, known)
//
// Whoever can reach a server may try to log in: every step here has a bound, and what can't
// be understood is refused.
package login

import (
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/nomadish/nomadish/nomadish"
)

// Config of a Verifier.
type Config struct {
	Timeout time.Duration // that a key server has for its whole answer; default 5s
	Fresh   time.Duration // age at which fetched keys are fetched again; default 1h
	Stale   time.Duration // age up to which they count while their server does not answer; default 24h
	Pause   time.Duration // least time between two requests for the keys of one method; default 10s

	Now    func() time.Time // wall clock; default time.Now
	Logger *slog.Logger     // default: discard
}

func (c Config) withDefaults() Config {
	c.Timeout = cmp.Or(c.Timeout, 5*time.Second)
	c.Fresh = cmp.Or(c.Fresh, time.Hour)
	c.Stale = cmp.Or(c.Stale, 24*time.Hour)
	c.Pause = cmp.Or(c.Pause, 10*time.Second)
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// Verifier verifies tokens. It keeps the keys that it has fetched. Its methods may be called
// concurrently.
type Verifier struct {
	cfg  Config
	keys *cache
}

// New returns a verifier that has fetched nothing.
func New(cfg Config) *Verifier {
	cfg = cfg.withDefaults()
	return &Verifier{cfg: cfg, keys: newCache(cfg)}
}

// maxToken is how long a token may be, in bytes.
const maxToken = 32 << 10

// refused is why somebody can't log in.
func refused(format string, args ...any) error {
	return nomadish.Errorf(nomadish.KindDenied, "login refused: "+format, args...)
}

// Verify checks a token by the rules of an auth method and returns what the method maps. The
// error is KindDenied where the token is to blame.
func (v *Verifier) Verify(ctx context.Context, m *nomadish.ACLAuthMethod, token string) (*Identity, error) {
	if m.Type != nomadish.ACLAuthMethodJWT {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "auth method %s is of type %s: only methods of type JWT take a token", m.Name, m.Type)
	}
	if len(token) > maxToken {
		return nil, refused("the token has %d bytes, more than the limit of %d", len(token), maxToken)
	}
	algorithms := signatures(m.Config)
	sig, err := jose.ParseSignedCompact(strings.TrimSpace(token), algorithms)
	if err != nil {
		return nil, refused("the token can't be read, or its algorithm is none of %s: %w", names(algorithms), err)
	}
	payload, err := v.payload(ctx, m, sig)
	if err != nil {
		return nil, err
	}
	claims, err := readClaims(payload)
	if err != nil {
		return nil, err
	}
	if err := claims.check(m.Config, v.cfg.Now()); err != nil {
		return nil, err
	}
	return claims.identity(m.Config)
}

// payload returns what a key of the method has signed.
func (v *Verifier) payload(ctx context.Context, m *nomadish.ACLAuthMethod, sig *jose.JSONWebSignature) ([]byte, error) {
	if len(sig.Signatures) != 1 {
		return nil, refused("the token has %d signatures", len(sig.Signatures))
	}
	header := sig.Signatures[0].Protected
	for _, name := range []jose.HeaderKey{"crit", "b64"} {
		if _, there := header.ExtraHeaders[name]; there {
			return nil, refused("the token's header has %q", name)
		}
	}
	keys, err := v.candidates(ctx, m, header)
	if err != nil {
		return nil, err
	}
	for _, key := range keys {
		if payload, err := sig.Verify(key); err == nil {
			return payload, nil
		}
	}
	return nil, refused("the token is signed with none of the method's keys")
}

// candidates are the keys that may have made a signature with this header.
func (v *Verifier) candidates(ctx context.Context, m *nomadish.ACLAuthMethod, header jose.Header) ([]any, error) {
	if len(m.Config.JWTValidationPubKeys) > 0 {
		var keys []any
		for _, text := range m.Config.JWTValidationPubKeys {
			key, err := publicKey(text)
			if err != nil {
				return nil, err
			}
			if suits(key, header.Algorithm) {
				keys = append(keys, key)
			}
		}
		return keys, nil
	}
	set, err := v.keys.get(ctx, sourceOf(m.Config), header.KeyID)
	if err != nil {
		return nil, err
	}
	var keys []any
	for _, k := range set {
		named := header.KeyID == "" || k.KeyID == header.KeyID
		if named && (k.Algorithm == "" || k.Algorithm == header.Algorithm) && suits(k.Key, header.Algorithm) {
			keys = append(keys, k.Key)
		}
	}
	return keys, nil
}

// claims are what a token says, with numbers as they are written.
type claims map[string]any

// readClaims reads the content of a token.
func readClaims(payload []byte) (claims, error) {
	var c claims
	d := json.NewDecoder(strings.NewReader(string(payload)))
	d.UseNumber()
	if err := d.Decode(&c); err != nil || c == nil || d.More() {
		return nil, refused("the token's content is no JSON object")
	}
	return c, nil
}
