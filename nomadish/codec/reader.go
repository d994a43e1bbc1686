package codec

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"
)

const (
	// MaxDepth is how deep records, lists and maps of untrusted input may nest.
	MaxDepth = 1024
	// MaxMemory is how much memory, about, untrusted input may decode to beyond its own size.
	MaxMemory = 32 << 20

	trustedDepth = 100_000
)

// Reader reads one record after another from a string of bytes. The first error sticks:
// later reads return zero values, and Err and every DecodeCodec return it.
type Reader struct {
	s      string // all strings that are read share it
	b      []byte // the same; not nil: byte slices that are read are parts of it
	pos    int
	end    int // of the current record, list or map
	depth  int // levels that may still be entered
	budget int // bytes that may still be allocated
	err    error
}

// NewReader returns a reader of b with the limits MaxDepth and MaxMemory. It copies b.
func NewReader(b []byte) *Reader {
	return &Reader{s: string(b), end: len(b), depth: MaxDepth, budget: MaxMemory}
}

// Err returns the first error.
func (r *Reader) Err() error { return r.err }

// OK says that there was no error yet.
func (r *Reader) OK() bool { return r.err == nil }

// More says that the current record has another field.
func (r *Reader) More() bool { return r.err == nil && r.pos < r.end }

func (r *Reader) fail(err error) {
	if r.err == nil {
		r.err = fmt.Errorf("%w at byte %d", err, r.pos)
		r.pos = r.end
	}
}

// Uint reads an unsigned integer. It is also how a field's key is read.
func (r *Reader) Uint() uint64 {
	if r.pos < r.end && r.s[r.pos] < 0x80 { // nearly always
		r.pos++
		return uint64(r.s[r.pos-1])
	}
	return r.longUint()
}

func (r *Reader) longUint() uint64 {
	var v uint64
	for shift := 0; ; shift += 7 {
		switch {
		case r.err != nil:
			return 0
		case r.pos >= r.end:
			r.fail(ErrTruncated)
			return 0
		}
		c := r.s[r.pos]
		r.pos++
		if shift == 63 && c > 1 {
			r.fail(ErrMalformed)
			return 0
		}
		v |= uint64(c&0x7f) << shift
		if c < 0x80 {
			return v
		}
	}
}

// Int reads a signed integer.
func (r *Reader) Int() int64 {
	v := r.Uint()
	return int64(v>>1) ^ -int64(v&1)
}

// IntBits reads a signed integer of a Go type of so many bits.
func (r *Reader) IntBits(bits int) int64 {
	v := r.Int()
	if v<<(64-bits)>>(64-bits) != v {
		r.fail(ErrMalformed)
		return 0
	}
	return v
}

// UintBits reads an unsigned integer of a Go type of so many bits.
func (r *Reader) UintBits(bits int) uint64 {
	v := r.Uint()
	if v<<(64-bits)>>(64-bits) != v {
		r.fail(ErrMalformed)
		return 0
	}
	return v
}

// Bool reads a bool.
func (r *Reader) Bool() bool {
	v := r.Uint()
	if v > 1 {
		r.fail(ErrMalformed)
	}
	return v == 1
}

// Float reads a float.
func (r *Reader) Float() float64 {
	s := r.take(8)
	if len(s) < 8 {
		return 0
	}
	var b [8]byte
	copy(b[:], s)
	return math.Float64frombits(binary.LittleEndian.Uint64(b[:]))
}

// Str reads a string.
func (r *Reader) Str() string { return r.take(r.Uint()) }

// Bytes reads a byte slice.
func (r *Reader) Bytes() []byte {
	n := r.Uint()
	if n == 0 {
		return nil
	}
	s := r.take(n - 1)
	if r.err != nil {
		return nil
	}
	if r.b != nil {
		return r.b[r.pos-len(s) : r.pos : r.pos]
	}
	return []byte(s)
}

// Time reads a point in time, in UTC.
func (r *Reader) Time() time.Time {
	sec, nsec := r.Int(), r.Uint()
	if nsec >= uint64(time.Second) {
		r.fail(ErrMalformed)
	}
	if r.err != nil {
		return time.Time{}
	}
	return time.Unix(sec, int64(nsec)).UTC()
}

// take reads n bytes.
func (r *Reader) take(n uint64) string {
	if n > uint64(r.end-r.pos) {
		r.fail(ErrTruncated)
		return ""
	}
	s := r.s[r.pos : r.pos+int(n)]
	r.pos += int(n)
	return s
}

// charge takes n bytes from the memory that may still be allocated.
func (r *Reader) charge(n uint64) bool {
	if r.err != nil {
		return false
	}
	if n > uint64(r.budget) {
		r.fail(ErrTooLarge)
		return false
	}
	r.budget -= int(n)
	return true
}

// Enter begins a value with a length and returns the end of the one around it, for Leave.
// It returns -1 when there is none that can be read.
func (r *Reader) Enter() int {
	n := r.Uint()
	return r.enter(n)
}

func (r *Reader) enter(n uint64) int {
	switch {
	case r.err != nil:
		return -1
	case n > uint64(r.end-r.pos):
		r.fail(ErrTruncated)
		return -1
	case r.depth == 0:
		r.fail(ErrTooDeep)
		return -1
	}
	r.depth--
	outer := r.end
	r.end = r.pos + int(n)
	return outer
}

// Leave ends what Enter began. Bytes that were not read are an error.
func (r *Reader) Leave(outer int) {
	if outer < 0 {
		return
	}
	r.depth++
	if r.err == nil && r.pos != r.end {
		r.fail(ErrMalformed)
	}
	r.end = outer
	if r.err != nil {
		r.pos = r.end
	}
}

// Record reads a nested record into v, whose memory is there already.
func (r *Reader) Record(v Decoder) {
	outer := r.Enter()
	if outer < 0 {
		return
	}
	if err := v.DecodeCodec(r); err != nil && r.err == nil {
		r.err = err
	}
	r.Leave(outer)
}

// Present reads the head of a pointer in a list or map, to a value of size bytes. When it
// says true, the record's fields follow, to be read between it and Leave.
func (r *Reader) Present(size uintptr) (outer int, ok bool) {
	n := r.Uint()
	if n == 0 || !r.charge(uint64(size)) {
		return -1, false
	}
	outer = r.enter(n - 1)
	return outer, outer >= 0
}

// Fields reads the fields of a record that Present began.
func (r *Reader) Fields(outer int, v Decoder) {
	if err := v.DecodeCodec(r); err != nil && r.err == nil {
		r.err = err
	}
	r.Leave(outer)
}

// Alloc says whether size bytes may be allocated for a nested record.
func (r *Reader) Alloc(size uintptr) bool { return r.charge(uint64(size)) }

// Count reads the head of a list whose elements have size bytes in memory. It says false
// for a nil list, and after an error.
func (r *Reader) Count(size uintptr) (int, bool) {
	n := r.Uint()
	if n == 0 || r.err != nil {
		return 0, false
	}
	n--
	if n > uint64(r.end-r.pos) { // each element takes a byte at least
		r.fail(ErrTruncated)
		return 0, false
	}
	return int(n), r.charge(n * uint64(size))
}

// mapOverhead is about what an entry of a Go map costs beyond key and value.
const mapOverhead = 16

// MapCount is Count for a map with string keys and values of size bytes.
func (r *Reader) MapCount(size uintptr) (int, bool) {
	return r.Count(2 * (size + 16 + mapOverhead))
}

// Key reads a map's key. Keys are sorted and differ.
func (r *Reader) Key(first bool, previous string) string {
	k := r.Str()
	if !first && k <= previous {
		r.fail(ErrMalformed)
	}
	return k
}

// Skip passes over the field with this key.
func (r *Reader) Skip(key uint64) {
	switch key & 7 {
	case WireVarint:
		r.Uint()
	case WireFixed:
		r.take(8)
	case WireBytes:
		r.take(r.Uint())
	default:
		r.fail(ErrMalformed)
	}
}
