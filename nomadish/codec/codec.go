// Package codec is the binary encoding of the raft log, of snapshots, of internal HTTP
// bodies and of a node's local state.
//
// A record is a sequence of fields. Each field is a key (field number and wire type) and a
// value; zero and absent fields are left out. Field numbers never change: the generator
// (codecgen) keeps them in a checked-in file. Unknown fields are skipped, so an older
// reader understands what a newer writer wrote. Equal values have equal encodings: maps
// are sorted, and nothing depends on time, addresses or randomness.
//
//	b := codec.Marshal(job)
//	var again nomadish.Job
//	err := codec.Unmarshal(b, &again)
//
// Inside a field, values have these forms: bool is one byte; integers are varints, signed
// ones zigzag; floats are 8 bytes; strings are a length and bytes; a nested record is a
// length and its fields; a pointer in a list or map is the length plus one, zero being nil;
// lists, maps and byte slices start with their count plus one, zero being nil.
package codec

import (
	"encoding/binary"
	"errors"
	"math"
	"time"
)

// Appender is a value that can write itself. Generated methods implement it.
type Appender interface {
	// AppendCodec appends the encoding of the value to b.
	AppendCodec(b []byte) []byte
}

// Decoder is a value that can read itself. Generated methods implement it.
type Decoder interface {
	// DecodeCodec reads fields up to the end of the reader's current record.
	DecodeCodec(r *Reader) error
}

// Wire types, the low three bits of a field's key.
const (
	WireVarint = 0 // bool, integers
	WireFixed  = 1 // float64
	WireBytes  = 2 // everything with a length
)

// Errors of decoding. They come wrapped, with the position.
var (
	ErrTruncated = errors.New("codec: truncated")
	ErrMalformed = errors.New("codec: malformed")
	ErrTooDeep   = errors.New("codec: nested too deep")
	ErrTooLarge  = errors.New("codec: decodes to too much memory")
)

// Marshal encodes v.
func Marshal(v Appender) []byte { return v.AppendCodec(make([]byte, 0, marshalRoom)) }

// marshalRoom is what most values fit into, without growing on the way.
const marshalRoom = 512

// Unmarshal decodes b, which may come from anybody, into v. The strings in v share one
// copy of b.
func Unmarshal(b []byte, v Decoder) error { return v.DecodeCodec(NewReader(b)) }

// UnmarshalTrusted decodes b into v without a limit on the memory it decodes to. It is for
// bytes that this program wrote and whose checksum holds: refusing those would lose data.
func UnmarshalTrusted(b []byte, v Decoder) error { return v.DecodeCodec(trusting(b)) }

// UnmarshalShared is UnmarshalTrusted for bytes that nobody changes any more: the byte slices in v are
// parts of b, and nobody may change them either.
func UnmarshalShared(b []byte, v Decoder) error {
	r := trusting(b)
	r.b = b
	return v.DecodeCodec(r)
}

func trusting(b []byte) *Reader {
	r := NewReader(b)
	r.budget, r.depth = math.MaxInt, trustedDepth
	return r
}

// AppendUint appends an unsigned integer.
func AppendUint(b []byte, v uint64) []byte { return binary.AppendUvarint(b, v) }

// AppendInt appends a signed integer.
func AppendInt(b []byte, v int64) []byte {
	return binary.AppendUvarint(b, uint64(v)<<1^uint64(v>>63))
}

// AppendBool appends a bool.
func AppendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

// AppendFloat appends a float.
func AppendFloat(b []byte, v float64) []byte {
	return binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
}

// AppendString appends a string.
func AppendString(b []byte, v string) []byte {
	b = binary.AppendUvarint(b, uint64(len(v)))
	return append(b, v...)
}

// AppendBytes appends a byte slice; nil stays apart from empty.
func AppendBytes(b []byte, v []byte) []byte {
	return append(AppendCount(b, len(v), v == nil), v...)
}

// AppendTime appends a point in time; its location is not kept.
func AppendTime(b []byte, v time.Time) []byte {
	b = AppendInt(b, v.Unix())
	return binary.AppendUvarint(b, uint64(v.Nanosecond()))
}

// AppendCount starts a list, map or byte slice of n elements.
func AppendCount(b []byte, n int, null bool) []byte {
	if null {
		return append(b, 0)
	}
	return binary.AppendUvarint(b, uint64(n)+1)
}

// Close ends a value with a length that started at b[mark], where one byte was left free.
// plus is added to the length: 0, or 1 where zero means nil.
func Close(b []byte, mark, plus int) []byte {
	n := uint64(len(b)-mark-1) + uint64(plus)
	if n < 0x80 {
		b[mark] = byte(n)
		return b
	}
	var head [binary.MaxVarintLen64]byte
	size := binary.PutUvarint(head[:], n)
	b = append(b, head[:size-1]...) // grow; the bytes are overwritten
	copy(b[mark+size:], b[mark+1:])
	copy(b[mark:], head[:size])
	return b
}
