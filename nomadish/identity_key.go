package nomadish

// AlgorithmEdDSA is Ed25519 as JSON Web Signature names it (RFC 8037).
const AlgorithmEdDSA = "EdDSA"

// IdentityKey is the public half of a key that signed workload identities before the keyring
// was there. The first servers' state has such rows; nothing uses them.
type IdentityKey struct {
	ID          string
	Algorithm   string // EdDSA
	PublicKey   []byte // 32 bytes
	CreateTime  int64  // nanoseconds since 1970
	CreateIndex uint64
	ModifyIndex uint64
}
