package nomadish

// Sealed is content that only the cluster's keyring can read.
type Sealed struct {
	KeyID string // the root key that it is sealed with
	Data  []byte // nonce, ciphertext and tag
}

// KeyedHash stands for a secret where it is looked up: who has the state and not the
// keyring can't try out secrets with it.
type KeyedHash struct {
	KeyID string // the root key that it is made with
	Sum   []byte // 32 bytes
}
