package state

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strings"

	"github.com/nomadish/nomadish/nomadish"
)

// ErrOddPrefix says that a prefix of a UUID ends in the middle of a byte. Clients match its text.
var ErrOddPrefix = &nomadish.Error{Kind: nomadish.KindInvalid, Message: "Input (without hyphens) must be even length"}

// AnyNamespace stands for all namespaces in lists.
const AnyNamespace = "*"

// idKey is the key of a row whose identity is a UUID.
func idKey(id string) ([]byte, error) {
	b, err := nomadish.ParseID(id)
	return b[:], err
}

// idPrefix is the start of an idKey.
func idPrefix(prefix string) ([]byte, error) {
	digits := strings.ReplaceAll(prefix, "-", "")
	if len(digits)%2 != 0 {
		return nil, ErrOddPrefix
	}
	b, err := hex.DecodeString(digits)
	if err != nil || len(b) > 16 {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "Invalid UUID: %q is not the start of one", prefix)
	}
	return b, nil
}

// nameKey is the key of a row that is named by strings, each ended by a NUL so that the
// order of keys is the order of the names.
func nameKey(names ...string) ([]byte, error) {
	n := 0
	for _, s := range names {
		n += len(s) + 1
	}
	key := make([]byte, 0, n+8)
	for _, s := range names {
		if strings.IndexByte(s, 0) >= 0 {
			return nil, nomadish.Errorf(nomadish.KindInvalid, "name %q holds a NUL byte", s)
		}
		key = append(append(key, s...), 0)
	}
	return key, nil
}

// namePrefix is nameKey with the last name open at its end.
func namePrefix(names ...string) ([]byte, error) {
	key, err := nameKey(names...)
	if err != nil {
		return nil, err
	}
	return key[:len(key)-1], nil
}

// versionKey is the key of a job version: the newest of a job comes first.
func versionKey(namespace, id string, version uint64) ([]byte, error) {
	key, err := nameKey(namespace, id)
	if err != nil {
		return nil, err
	}
	return binary.BigEndian.AppendUint64(key, ^version), nil
}

// jobHash stands for a job's name in indexes, where keys have a fixed length.
func jobHash(namespace, id string) []byte {
	var few [128]byte
	b := append(few[:0], namespace...)
	b = append(append(b, 0), id...)
	h := sha256.Sum256(b)
	return h[:16]
}

// nameHash stands for a name in indexes, where keys have a fixed length.
func nameHash(name string) []byte { return jobHash(name, "") }

// timeKey orders rows by a time in nanoseconds since 1970.
func timeKey(t int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(t)^1<<63) }
