package logstore

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"time"

	"github.com/hashicorp/raft"
)

// A record is one entry on disk, little-endian:
//
//	 0 index     8 bytes
//	 8 term      8
//	16 len data  4
//	20 len ext   4
//	24 appended  8  nanoseconds since 1970, 0 for no time
//	32 type      1
//	33 zero      7
//	40 sum       8  over the sum of the entry before, bytes 0 to 39, data and ext
//	48 data, ext
//
// As each sum includes the one before, an entry is right only behind the entries it was written behind.
const (
	recordHeader = 48
	sumOffset    = 40
)

var le = binary.LittleEndian

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Checksum sums parts behind the sum that went before. Two CRCs whose polynomials have no factor in
// common are as good as one of 64 bits, and processors compute both.
func Checksum(prev uint64, parts ...[]byte) uint64 {
	var head [8]byte
	le.PutUint64(head[:], prev)
	a := crc32.Update(0, castagnoli, head[:])
	b := crc32.Update(0, crc32.IEEETable, head[:])
	for _, p := range parts {
		a = crc32.Update(a, castagnoli, p)
		b = crc32.Update(b, crc32.IEEETable, p)
	}
	return uint64(a)<<32 | uint64(b)
}

func recordSize(l *raft.Log) int { return recordHeader + len(l.Data) + len(l.Extensions) }

// appendRecord encodes an entry behind the one with sum prev, and returns its own sum.
func appendRecord(b []byte, prev uint64, l *raft.Log) ([]byte, uint64) {
	start := len(b)
	b = le.AppendUint64(b, l.Index)
	b = le.AppendUint64(b, l.Term)
	b = le.AppendUint32(b, uint32(len(l.Data)))
	b = le.AppendUint32(b, uint32(len(l.Extensions)))
	var appended int64
	if !l.AppendedAt.IsZero() {
		appended = l.AppendedAt.UnixNano()
	}
	b = le.AppendUint64(b, uint64(appended))
	b = append(b, byte(l.Type), 0, 0, 0, 0, 0, 0, 0)
	sum := Checksum(prev, b[start:], l.Data, l.Extensions)
	b = le.AppendUint64(b, sum)
	b = append(b, l.Data...)
	return append(b, l.Extensions...), sum
}

// parseSize returns the size of the record whose header b begins with.
func parseSize(b []byte) int64 {
	return recordHeader + int64(le.Uint32(b[16:])) + int64(le.Uint32(b[20:]))
}

var (
	errSum   = errors.New("checksum differs")
	errIndex = errors.New("another entry is in its place")
)

// parseRecord decodes a whole record, which must be that of index behind the entry with sum prev. The
// entry shares b.
func parseRecord(b []byte, index, prev uint64, l *raft.Log) (sum uint64, err error) {
	sum = le.Uint64(b[sumOffset:])
	if Checksum(prev, b[:sumOffset], b[recordHeader:]) != sum {
		return 0, errSum
	}
	if le.Uint64(b) != index {
		return 0, errIndex
	}
	data := recordHeader + int(le.Uint32(b[16:]))
	*l = raft.Log{Index: index, Term: le.Uint64(b[8:]), Type: raft.LogType(b[32])}
	if data > recordHeader {
		l.Data = b[recordHeader:data:data]
	}
	if len(b) > data {
		l.Extensions = b[data:]
	}
	if at := int64(le.Uint64(b[24:])); at != 0 {
		l.AppendedAt = time.Unix(0, at)
	}
	return sum, nil
}
