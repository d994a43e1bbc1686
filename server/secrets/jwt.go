package secrets

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

const (
	// maxToken bounds what is taken for an identity.
	maxToken = 16 << 10
	// clockSkew is by how much the clock of the server that signed may be ahead.
	clockSkew = 10 * time.Second
)

// header is the JOSE header of an identity (RFC 7515, 4.1).
type header struct {
	Algorithm string   `json:"alg"`
	KeyID     string   `json:"kid"`
	Type      string   `json:"typ,omitempty"`
	Critical  []string `json:"crit,omitempty"`
}

// Sign makes a JSON Web Token of claims with the active root key.
func (k *Keyring) Sign(claims *nomadish.IdentityClaims) (string, error) {
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("keyring: sign: %w", err)
	}
	r, done := k.use()
	defer done()
	key, err := r.active()
	if err != nil {
		return "", err
	}
	head, err := json.Marshal(header{Algorithm: key.row.Signer.Algorithm, KeyID: key.row.KeyID, Type: "JWT"})
	if err != nil {
		return "", fmt.Errorf("keyring: sign: %w", err)
	}
	signed := encode(head) + "." + encode(payload)
	signature, err := sign(key.signer, []byte(signed))
	if err != nil {
		return "", fmt.Errorf("keyring: sign: %w", err)
	}
	return signed + "." + encode(signature), nil
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func sign(key crypto.Signer, message []byte) ([]byte, error) {
	if _, ok := key.(ed25519.PrivateKey); ok {
		return key.Sign(nil, message, crypto.Hash(0))
	}
	sum := sha256.Sum256(message)
	return key.Sign(rand.Reader, sum[:], crypto.SHA256)
}

// Verify returns what an identity says that this cluster has signed, for this cluster, and
// that has not ended. It does not look whether the workload still runs. Errors are KindDenied.
func (k *Keyring) Verify(token string) (*nomadish.IdentityClaims, error) {
	claims, err := k.verify(token)
	if err != nil {
		return nil, nomadish.Errorf(nomadish.KindDenied, "identity: %w", err)
	}
	now := k.cfg.Now()
	switch {
	case !slices.Contains(claims.Audience, nomadish.IdentityAudience):
		return nil, nomadish.Errorf(nomadish.KindDenied, "identity: it is for %s and not for %s", quoted(claims.Audience), nomadish.IdentityAudience)
	case claims.Expires != 0 && !now.Before(claims.Expiry()):
		return nil, nomadish.Errorf(nomadish.KindDenied, "identity: it ended at %s", claims.Expiry().UTC().Format(time.RFC3339))
	case now.Add(clockSkew).Before(time.Unix(claims.NotBefore, 0)):
		return nil, nomadish.Errorf(nomadish.KindDenied, "identity: it is not valid yet")
	}
	return claims, nil
}

// verify checks the signature. The key says which algorithm it is for, not the token.
func (k *Keyring) verify(token string) (*nomadish.IdentityClaims, error) {
	if len(token) > maxToken {
		return nil, fmt.Errorf("longer than %d bytes", maxToken)
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, fmt.Errorf("no JSON Web Token")
	}
	var head header
	if err := decode(parts[0], &head); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	if len(head.Critical) > 0 {
		return nil, fmt.Errorf("header: extensions %s are not understood", quoted(head.Critical))
	}
	row, err := k.store.Reader().RootKey(nil, head.KeyID)
	if err != nil || row.KeyID != head.KeyID {
		return nil, fmt.Errorf("it was not signed with a key of this cluster's")
	}
	if head.Algorithm != row.Signer.Algorithm {
		return nil, fmt.Errorf("algorithm %q is not that of its key", head.Algorithm)
	}
	signature, err := base64.RawURLEncoding.Strict().DecodeString(parts[2])
	if err != nil {
		return nil, fmt.Errorf("signature: %w", err)
	}
	if err := verifySignature(&row.Signer, []byte(parts[0]+"."+parts[1]), signature); err != nil {
		return nil, err
	}
	claims := &nomadish.IdentityClaims{}
	if err := decode(parts[1], claims); err != nil {
		return nil, fmt.Errorf("claims: %w", err)
	}
	return claims, nil
}

func decode(part string, v any) error {
	b, err := base64.RawURLEncoding.Strict().DecodeString(part)
	if err != nil {
		return err
	}
	return json.NewDecoder(bytes.NewReader(b)).Decode(v)
}

func verifySignature(key *nomadish.SigningKey, message, signature []byte) error {
	public, err := x509.ParsePKIXPublicKey(key.Public)
	if err != nil {
		return fmt.Errorf("its key: %w", err)
	}
	valid := false
	switch public := public.(type) {
	case ed25519.PublicKey:
		valid = key.Algorithm == nomadish.AlgorithmEdDSA && ed25519.Verify(public, message, signature)
	case *rsa.PublicKey:
		sum := sha256.Sum256(message)
		valid = key.Algorithm == nomadish.AlgorithmRS256 && rsa.VerifyPKCS1v15(public, crypto.SHA256, sum[:], signature) == nil
	}
	if !valid {
		return fmt.Errorf("the signature is wrong")
	}
	return nil
}

// quoted lists names for a message.
func quoted(names []string) string { return fmt.Sprintf("%q", names) }
