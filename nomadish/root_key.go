package nomadish

// AlgorithmAES256GCM is how root keys seal, in the words of Nomad's API.
const AlgorithmAES256GCM = "aes256-gcm"

// AlgorithmRS256 is RSA as JSON Web Signature names it (RFC 7518, 3.3).
const AlgorithmRS256 = "RS256"

// MaxRootKeys is how many root keys a cluster keeps at once.
const MaxRootKeys = 64

// RootKeyState is where a root key is in its life.
type RootKeyState string

// The states of root keys.
const (
	RootKeyActive       RootKeyState = "active"       // seals and signs; there is one
	RootKeyInactive     RootKeyState = "inactive"     // opens and verifies what is there
	RootKeyRekeying     RootKeyState = "rekeying"     // inactive, and what it sealed is being sealed anew
	RootKeyPrepublished RootKeyState = "prepublished" // becomes active at its PublishTime; verifiers know it by then
	RootKeyDeprecated   RootKeyState = "deprecated"   // nothing is sealed with it any more
)

// RootKey is one of the cluster's root keys: what its API shows of it, and, wrapped by a key
// that is not in the state, the key itself.
type RootKey struct {
	KeyID       string
	Algorithm   string // aes256-gcm
	State       RootKeyState
	CreateTime  int64 // nanoseconds since 1970
	PublishTime int64 // of a prepublished key: when it becomes active, in nanoseconds since 1970; 0: at once
	CreateIndex uint64
	ModifyIndex uint64

	// Wrapped is the secret from which the key's parts are derived, once for each wrapper that
	// can unwrap it.
	Wrapped []WrappedKey `json:"-"`
	Signer  SigningKey   `json:"-"`
}

// WrappedKey is a secret, encrypted by a key outside of the state.
type WrappedKey struct {
	Wrapper string // names the key that unwraps it
	Data    []byte
}

// RecoveryKey is the public half of a key that somebody keeps on paper: every root key is wrapped for it
// too. Servers never have the other half, unless it is needed. Of an old one nothing is left.
type RecoveryKey struct {
	ID          string // made of Public
	Public      []byte
	CreateTime  int64 // nanoseconds since 1970
	CreateIndex uint64
	ModifyIndex uint64
}

// RecoveryPrefix begins the names of recovery keys as wrappers.
const RecoveryPrefix = "recovery:"

// Wrapper is the name under which the key wraps.
func (k *RecoveryKey) Wrapper() string { return RecoveryPrefix + k.ID }

// NeedsRecoveryKey is in the error of who could go on with the recovery key, before its ID.
const NeedsRecoveryKey = "give the recovery key"

// HeaderRecoveryKey is the header of a request to restore a state whose wrapping key is lost.
const HeaderRecoveryKey = "X-Nomadish-Recovery-Key"

// RecoveryKeyRequest has root keys be wrapped for another recovery key.
type RecoveryKeyRequest struct {
	Public []byte // its public half
	Former string // ID of the recovery key that there is now; empty: there is none
}

// RecoveryKeyResponse tells of the recovery key.
type RecoveryKeyResponse struct {
	Key   *RecoveryKey // nil: there is none
	Index uint64
}

// SigningKey signs workload identities. Its ID is the root key's.
type SigningKey struct {
	Algorithm string // EdDSA or RS256
	Public    []byte // PKIX (RFC 5280), in DER
	Private   []byte // PKCS #8 (RFC 5958), in DER, sealed with the root key
}

// KeyringRotateRequest asks for a new root key.
type KeyringRotateRequest struct {
	Algorithm   string // default aes256-gcm, the only one
	Full        bool   // also seal anew what former keys have sealed
	PublishTime int64  // when the key becomes active, in nanoseconds since 1970; 0: at once
}

// KeyringRotateResponse shows the new root key.
type KeyringRotateResponse struct {
	Key *RootKey
}
