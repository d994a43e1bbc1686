package state

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math/bits"
)

// sum is a 128-bit number: the sum, with wrapping, of the hashes of rows. Adding and
// subtracting rows keeps the hash of a state without looking at the rest of it.
type sum struct{ hi, lo uint64 }

func (a sum) add(b sum) sum {
	lo, carry := bits.Add64(a.lo, b.lo, 0)
	hi, _ := bits.Add64(a.hi, b.hi, carry)
	return sum{hi, lo}
}

func (a sum) sub(b sum) sum {
	lo, borrow := bits.Sub64(a.lo, b.lo, 0)
	hi, _ := bits.Sub64(a.hi, b.hi, borrow)
	return sum{hi, lo}
}

// hashRow hashes table, key and encoded value. buf is scratch space, returned for the next row.
func hashRow[T any](buf []byte, t *table[T], key []byte, v *T) (sum, []byte) {
	buf = append(buf[:0], t.number)
	buf = binary.AppendUvarint(buf, uint64(len(key)))
	buf = append(buf, key...)
	buf = t.encode(buf, v)
	h := sha256.Sum256(buf)
	return sum{binary.BigEndian.Uint64(h[:8]), binary.BigEndian.Uint64(h[8:16])}, buf
}

// Hash is the state hash: equal on all servers that have applied the same commands.
type Hash [16]byte

// String writes the hash in hex.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

func (a sum) hash() (h Hash) {
	binary.BigEndian.PutUint64(h[:8], a.hi)
	binary.BigEndian.PutUint64(h[8:], a.lo)
	return h
}
