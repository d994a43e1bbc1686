// Package recovery makes recovery keys: texts on paper that open what a cluster keeps secret when
// its wrapping keys are lost.
//
//	key := recovery.New()
//	fmt.Println(key.Text())        // shown once, stored nowhere
//	public := key.Public()         // kept in the cluster's state
//	wrapped, err := recovery.Wrap(public, secret, bound)
//	secret, err = key.Unwrap(wrapped, bound)
//
// Servers know the public half alone, so that they wrap new root keys for a recovery key which none
// of them has. It is of a hybrid of X25519 and ML-KEM (HPKE, RFC 9180): what is wrapped lies in
// backups for years, and everything else in those is symmetric.
package recovery

import (
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"strings"

	"github.com/nomadish/nomadish/nomadish"
)

// Sizes of a recovery key: 176 random bits and a checksum, which make 40 characters.
const (
	secretSize = 22
	sumSize    = 3
	groupSize  = 5
)

// alphabet has none of i, l, o and u, which are taken for others (Crockford's).
var alphabet = base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").WithPadding(base32.NoPadding)

// misread is what people write in place of characters of the alphabet.
var misread = strings.NewReplacer("O", "0", "I", "1", "L", "1", "-", "", " ", "", "\t", "", "\r", "", "\n", "")

// Key is a recovery key.
type Key struct {
	secret  [secretSize]byte
	private hpke.PrivateKey
}

// New makes a recovery key.
func New() (*Key, error) {
	var secret [secretSize]byte
	rand.Read(secret[:]) // never fails: crypto/rand ends the program instead
	return derive(secret)
}

func derive(secret [secretSize]byte) (*Key, error) {
	private, err := kem().DeriveKeyPair(append([]byte("nomadish recovery key\x00"), secret[:]...))
	if err != nil {
		return nil, err
	}
	return &Key{secret: secret, private: private}, nil
}

func kem() hpke.KEM { return hpke.MLKEM768X25519() }

// Text is what its owner writes down: eight groups of five characters.
func (k *Key) Text() nomadish.SecretText {
	encoded := alphabet.EncodeToString(append(k.secret[:], checksum(k.secret)...))
	var b strings.Builder
	for i := 0; i < len(encoded); i += groupSize {
		if i > 0 {
			b.WriteByte('-')
		}
		b.WriteString(encoded[i : i+groupSize])
	}
	return nomadish.SecretText(b.String())
}

// checksum tells a mistyped key from one of another cluster.
func checksum(secret [secretSize]byte) []byte {
	sum := sha256.Sum256(append([]byte("nomadish recovery key checksum\x00"), secret[:]...))
	return sum[:sumSize]
}

// Parse reads what Text has written, also in small letters, without dashes, or with O for 0 and I or L
// for 1. What it can't read it does not show.
func Parse(text nomadish.SecretText) (*Key, error) {
	typed := misread.Replace(strings.ToUpper(text.Reveal()))
	b, err := alphabet.DecodeString(typed)
	if err != nil || len(typed) != alphabet.EncodedLen(secretSize+sumSize) {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "this is no recovery key: one has eight groups of five letters and digits")
	}
	secret := [secretSize]byte(b)
	if string(checksum(secret)) != string(b[secretSize:]) {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "the recovery key is mistyped: its checksum is another")
	}
	return derive(secret)
}

// Public is the half that wraps.
func (k *Key) Public() []byte { return k.private.PublicKey().Bytes() }

// ID names the key; it is no secret.
func (k *Key) ID() string { return ID(k.Public()) }

// ID names the key of a public half.
func ID(public []byte) string {
	sum := sha256.Sum256(public)
	return hex.EncodeToString(sum[:8])
}

// CheckPublic says why something is no public half.
func CheckPublic(public []byte) error {
	if _, err := kem().NewPublicKey(public); err != nil {
		return nomadish.Errorf(nomadish.KindInvalid, "public half of a recovery key: %w", err)
	}
	return nil
}

// Wrap encrypts content for who has the recovery key, and gives the same bound data.
func Wrap(public, plain, bound []byte) ([]byte, error) {
	to, err := kem().NewPublicKey(public)
	if err != nil {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "public half of a recovery key: %w", err)
	}
	return hpke.Seal(to, hpke.HKDFSHA256(), hpke.AES256GCM(), info(bound), plain)
}

// Unwrap decrypts what Wrap has encrypted for the key.
func (k *Key) Unwrap(wrapped, bound []byte) ([]byte, error) {
	plain, err := hpke.Open(k.private, hpke.HKDFSHA256(), hpke.AES256GCM(), info(bound), wrapped)
	if err != nil {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "what is wrapped with recovery key %s is damaged, or belongs elsewhere", k.ID())
	}
	return plain, nil
}

func info(bound []byte) []byte { return append([]byte("nomadish recovery\x00"), bound...) }
