package nomadish

import "encoding/base64"

// AlgorithmEdDSA is Ed25519 as JSON Web Signature names it (RFC 8037).
const AlgorithmEdDSA = "EdDSA"

// IdentityKey is the public half of a key that signs workload identities. The private half
// is a server's and never in the state.
type IdentityKey struct {
	ID          string
	Algorithm   string // EdDSA
	PublicKey   []byte // 32 bytes
	CreateTime  int64  // nanoseconds since 1970
	CreateIndex uint64
	ModifyIndex uint64
}

// JWK returns the key as an entry of a KeySet (RFC 8037, section 2).
func (k *IdentityKey) JWK() map[string]any {
	return map[string]any{
		"use": "sig", "kty": "OKP", "crv": "Ed25519", "alg": k.Algorithm, "kid": k.ID,
		"x": base64.RawURLEncoding.EncodeToString(k.PublicKey),
	}
}
