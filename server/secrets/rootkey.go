package secrets

import (
	"context"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"

	"github.com/nomadish/nomadish/nomadish"
)

// secretSize is that of the secret from which all parts of a root key are derived.
const secretSize = 32

// rsaBits is the size of RSA keys: what every verifier takes.
const rsaBits = 2048

// rootKey is a root key, unwrapped.
type rootKey struct {
	row    *nomadish.RootKey
	aead   cipher.AEAD // seals content
	mac    []byte      // key of keyed hashes
	signer crypto.Signer

	rescued bool // it took a recovery key to unwrap it
}

// newRootKey makes a root key whose secret no wrapper has wrapped yet. The caller clears the
// secret.
func newRootKey(algorithm string, now int64) (row *nomadish.RootKey, secret []byte, err error) {
	row = &nomadish.RootKey{
		KeyID: nomadish.NewID(), Algorithm: nomadish.AlgorithmAES256GCM, State: nomadish.RootKeyActive, CreateTime: now,
		Signer: nomadish.SigningKey{Algorithm: algorithm},
	}
	private, public, err := generateSigner(algorithm)
	if err != nil {
		return nil, nil, err
	}
	defer clear(private)
	secret = make([]byte, secretSize)
	rand.Read(secret) // never fails: crypto/rand ends the program instead
	aead, err := deriveAEAD(secret, row.KeyID, "signer")
	if err != nil {
		return nil, nil, err
	}
	row.Signer.Public = public
	row.Signer.Private = aead.Seal(nil, nil, private, signerBound(row))
	return row, secret, nil
}

// generateSigner makes a key pair and encodes it.
func generateSigner(algorithm string) (private, public []byte, err error) {
	var key crypto.Signer
	switch algorithm {
	case nomadish.AlgorithmEdDSA:
		_, key, err = ed25519.GenerateKey(nil)
	case nomadish.AlgorithmRS256:
		key, err = rsa.GenerateKey(nil, rsaBits)
	default:
		return nil, nil, fmt.Errorf("there is no signing algorithm %q", algorithm)
	}
	if err != nil {
		return nil, nil, err
	}
	if private, err = x509.MarshalPKCS8PrivateKey(key); err != nil {
		return nil, nil, err
	}
	public, err = x509.MarshalPKIXPublicKey(key.Public())
	return private, public, err
}

// unwrap returns the secret of a root key, which the caller clears.
func unwrap(ctx context.Context, row *nomadish.RootKey, wrappers []Wrapper) ([]byte, error) {
	var errs []error
	for _, wrapped := range row.Wrapped {
		for _, w := range wrappers {
			if !wraps(w, wrapped) {
				continue
			}
			secret, err := w.Unwrap(ctx, wrapped.Data) // of a file that can't be read, an error says why
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", w.Name(), err))
				continue
			}
			return secret, nil
		}
	}
	return nil, &LockedError{KeyID: row.KeyID, Needs: wrapperNames(row.Wrapped), Err: errors.Join(errs...)}
}

// wraps says whether something was wrapped by a key of that name, or of one that begins with it.
func wraps(w Wrapper, wrapped nomadish.WrappedKey) bool {
	name := w.Name()
	return wrapped.Wrapper == name || strings.HasPrefix(wrapped.Wrapper, name+":")
}

// open derives the parts of a root key from its secret.
func open(row *nomadish.RootKey, secret []byte) (*rootKey, error) {
	if len(secret) != secretSize {
		return nil, fmt.Errorf("root key %s: its secret has %d bytes, want %d", row.KeyID, len(secret), secretSize)
	}
	k := &rootKey{row: row}
	var err error
	if k.aead, err = deriveAEAD(secret, row.KeyID, "seal"); err != nil {
		return nil, err
	}
	if k.mac, err = derive(secret, row.KeyID, "mac"); err != nil {
		return nil, err
	}
	signing, err := deriveAEAD(secret, row.KeyID, "signer")
	if err != nil {
		return nil, err
	}
	der, err := signing.Open(nil, nil, row.Signer.Private, signerBound(row))
	if err != nil {
		return nil, fmt.Errorf("root key %s: its signing key is damaged, or another's", row.KeyID)
	}
	defer clear(der)
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("root key %s: signing key: %w", row.KeyID, err)
	}
	switch signer := parsed.(type) {
	case ed25519.PrivateKey:
		k.signer = signer
	case *rsa.PrivateKey:
		k.signer = signer
	default:
		return nil, fmt.Errorf("root key %s: signing key: a %T can't sign identities", row.KeyID, parsed)
	}
	return k, nil
}

// wipe clears what of the key lies in memory that is ours. The schedules of ciphers don't.
func (k *rootKey) wipe() {
	clear(k.mac)
	if private, ok := k.signer.(ed25519.PrivateKey); ok {
		clear(private)
	}
}

// derive makes a part of a root key.
func derive(secret []byte, keyID, part string) ([]byte, error) {
	return hkdf.Key(sha256.New, secret, []byte(keyID), "nomadish root key "+part, 32)
}

func deriveAEAD(secret []byte, keyID, part string) (cipher.AEAD, error) {
	key, err := derive(secret, keyID, part)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	return newAEAD(key)
}

// newAEAD returns AES-GCM which puts a random nonce before what it seals.
func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// signerBound binds a signing key to its row.
func signerBound(row *nomadish.RootKey) []byte {
	return append([]byte(row.KeyID+"\x00"+row.Signer.Algorithm+"\x00"), row.Signer.Public...)
}

// LockedError says that a root key can't be unwrapped, and with which keys it could be.
type LockedError struct {
	KeyID string
	Needs []string // names of wrapping keys
	Err   error    // what the wrapping keys of this server say; nil: none of them is one of Needs
}

func (e *LockedError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("root key %s is wrapped with a key that this server does not have: %s", e.KeyID, quoted(e.Needs))
	}
	return fmt.Sprintf("root key %s, which is wrapped with %s: %s", e.KeyID, quoted(e.Needs), e.Err)
}

func (e *LockedError) Unwrap() error { return e.Err }

func wrapperNames(wrapped []nomadish.WrappedKey) []string {
	names := make([]string, len(wrapped))
	for i, w := range wrapped {
		names[i] = w.Wrapper
	}
	return names
}
