package logs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
)

// position is how far a stream's spool has been moved, and where to.
type position struct {
	Seq     uint64 // grows by one with each record
	Offset  int64  // of the spool: all before is in the kept files, or dropped
	Punched int64  // the spool takes no disk space before
	File    int64  // number of the newest kept file
	Length  int64  // of that file
	Dropped int64  // bytes that were never moved, since the limits forbade it
}

const (
	recordSize = 56
	slotSize   = 64
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// encode writes the record, with its checksum, into a slot.
func (p position) encode() []byte {
	b := make([]byte, 0, slotSize)
	b = binary.LittleEndian.AppendUint64(b, p.Seq)
	for _, v := range []int64{p.Offset, p.Punched, p.File, p.Length, p.Dropped} {
		b = binary.LittleEndian.AppendUint64(b, uint64(v))
	}
	b = binary.LittleEndian.AppendUint32(b, formatNumber)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// formatNumber is stored in each record; records of other formats are no records.
const formatNumber = 1

func decodeSlot(b []byte) (position, bool) {
	if len(b) < recordSize || crc32.Checksum(b[:recordSize-4], castagnoli) != binary.LittleEndian.Uint32(b[recordSize-4:]) {
		return position{}, false
	}
	at := func(i int) int64 { return int64(binary.LittleEndian.Uint64(b[8*i:])) }
	p := position{Seq: uint64(at(0)), Offset: at(1), Punched: at(2), File: at(3), Length: at(4), Dropped: at(5)}
	valid := binary.LittleEndian.Uint32(b[48:]) == formatNumber && p.Offset >= 0 && p.Punched >= 0 &&
		p.Punched <= p.Offset && p.File >= 0 && p.Length >= 0 && p.Dropped >= 0
	return p, valid
}

// decodePosition returns the newer of a file's two records. The two are written in turn,
// so that a torn one leaves the one before it.
func decodePosition(b []byte) (position, bool) {
	first, ok := decodeSlot(b)
	if len(b) < slotSize {
		return first, ok
	}
	second, ok2 := decodeSlot(b[slotSize:])
	if !ok || ok2 && second.Seq > first.Seq {
		return second, ok2
	}
	return first, ok
}

func readPosition(path string) (position, bool, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return position{}, false, nil
	}
	if err != nil {
		return position{}, false, fmt.Errorf("log position: %w", err)
	}
	p, ok := decodePosition(data)
	return p, ok, nil
}

// writePosition stores p as the newest record. It is not synced: it must survive the
// agent's end, and a task's output of the last moments before a power cut may be lost.
func writePosition(path string, p position) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("log position: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.WriteAt(p.encode(), slotSize*int64(p.Seq%2)); err != nil {
		return fmt.Errorf("log position: %w", err)
	}
	return nil
}
