package logstore

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/nomadish/nomadish/server/consensus/vfs"
)

// A register is a small value in a file of two slots, each with a sequence number and a checksum, little-endian:
//
//	 0 magic   8 bytes
//	 8 seq     8
//	16 length  4
//	20 zero    4
//	24 sum     8  over bytes 0 to 23 and the value
//	32 value
//
// It is changed in place, so that a full disk does not keep a server from voting. A slot is written only
// while the other one holds a good value: whatever a crash tears, or one damaged page, leaves one.
type register struct {
	f     vfs.File
	name  string
	seq   uint64
	slot  int // the slot that was written last
	value []byte
}

const (
	slotSize   = 4096
	slotHeader = 32
	valueLimit = slotSize - slotHeader
	slotMagic  = "nmdshreg"
)

// createRegister makes the file; it exists with the value or not at all.
func createRegister(fsys vfs.FS, name string, value []byte) (*register, error) {
	slot := encodeSlot(1, value)
	both := make([]byte, 2*slotSize)
	copy(both, slot)
	copy(both[slotSize:], slot)
	if err := vfs.WriteFile(fsys, name, both); err != nil {
		return nil, err
	}
	return openRegister(fsys, name)
}

// openRegister reads the value and repairs the slot that does not hold it.
func openRegister(fsys vfs.FS, name string) (_ *register, err error) {
	f, err := fsys.OpenFile(name, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &CorruptError{File: name, Reason: "it is missing"}
	}
	if err != nil {
		return nil, err
	}
	r := &register{f: f, name: name}
	if err := r.load(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return r, nil
}

func (r *register) load() error {
	stale := false // whether the other slot holds anything else
	for slot := range 2 {
		b := make([]byte, slotSize)
		if _, err := r.f.ReadAt(b, int64(slot)*slotSize); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		seq, value, ok := decodeSlot(b)
		stale = stale || !ok || (slot == 1 && seq != r.seq)
		if ok && seq > r.seq {
			r.seq, r.slot, r.value = seq, slot, value
		}
	}
	if r.seq == 0 {
		return &CorruptError{File: r.name, Reason: "neither of its copies can be read"}
	}
	if !stale {
		return nil
	}
	return r.write(1-r.slot, true)
}

// set stores a value durably: in both slots, one after the other.
func (r *register) set(value []byte) error {
	if err := r.next(value); err != nil {
		return err
	}
	if err := r.write(1-r.slot, true); err != nil {
		return err
	}
	return r.write(1-r.slot, true)
}

// note stores a value that may be lost with the machine's power, and then leaves an earlier one.
func (r *register) note(value []byte) error {
	if err := r.next(value); err != nil {
		return err
	}
	return r.write(1-r.slot, false)
}

func (r *register) next(value []byte) error {
	if len(value) > valueLimit {
		return fmt.Errorf("%s: %d bytes, more than %d", r.name, len(value), valueLimit)
	}
	r.seq++
	r.value = append(r.value[:0], value...)
	return nil
}

func (r *register) write(slot int, sync bool) error {
	if _, err := r.f.WriteAt(encodeSlot(r.seq, r.value), int64(slot)*slotSize); err != nil {
		return err
	}
	r.slot = slot
	if !sync {
		return nil
	}
	return r.f.Sync()
}

func encodeSlot(seq uint64, value []byte) []byte {
	b := make([]byte, 0, slotHeader+len(value))
	b = append(b, slotMagic...)
	b = le.AppendUint64(b, seq)
	b = le.AppendUint32(b, uint32(len(value)))
	b = le.AppendUint32(b, 0)
	b = le.AppendUint64(b, Checksum(0, b, value))
	return append(b, value...)
}

func decodeSlot(b []byte) (seq uint64, value []byte, ok bool) {
	if string(b[:8]) != slotMagic {
		return 0, nil, false
	}
	size := le.Uint32(b[16:])
	if size > valueLimit {
		return 0, nil, false
	}
	value = b[slotHeader : slotHeader+size]
	if Checksum(0, b[:24], value) != le.Uint64(b[24:]) {
		return 0, nil, false
	}
	return le.Uint64(b[8:]), value, true
}
