package logstore

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"github.com/nomadish/nomadish/server/consensus/vfs"
)

// A segment file holds consecutive records behind a header, little-endian:
//
//	 0 magic  8 bytes
//	 8 format 8  1
//	16 base   8  index of the first record
//	24 prev   8  sum of the record before it
//	32 sum    8  over bytes 0 to 31
//
// Space behind the records is reserved and holds zeros, or what a crash left of an append.
const (
	segmentHeader  = 40
	segmentMagic   = "nmdshlog"
	segmentFormat  = 1
	segmentSuffix  = ".log"
	allocateStep   = 1 << 20
	segmentPattern = "%020d" + segmentSuffix
)

// segment is one file. The lock of its Store guards recs, size and refs' going up; the writer alone
// uses allocated.
type segment struct {
	name string
	f    vfs.File
	base uint64
	prev uint64

	recs      []record
	size      int64 // where the last record ends
	allocated int64 // size of the file

	refs    atomic.Int32 // readers
	retired atomic.Bool  // no new readers
	closed  atomic.Bool
}

// record is where an entry is and what it was when it was written.
type record struct {
	sum uint64
	off uint32
	typ raft.LogType
}

func segmentName(dir string, base uint64) string {
	return filepath.Join(dir, fmt.Sprintf(segmentPattern, base))
}

// parseSegmentName returns the index in a segment's name.
func parseSegmentName(name string) (base uint64, ok bool) {
	if !strings.HasSuffix(name, segmentSuffix) {
		return 0, false
	}
	_, err := fmt.Sscanf(name, segmentPattern, &base)
	return base, err == nil && fmt.Sprintf(segmentPattern, base) == name
}

func encodeSegmentHeader(base, prev uint64) []byte {
	b := make([]byte, 0, segmentHeader)
	b = append(b, segmentMagic...)
	b = le.AppendUint64(b, segmentFormat)
	b = le.AppendUint64(b, base)
	b = le.AppendUint64(b, prev)
	return le.AppendUint64(b, Checksum(0, b))
}

// next returns the index behind the last record.
func (g *segment) next() uint64 { return g.base + uint64(len(g.recs)) }

// sumAt returns the sum of the entry at index, or of the one before the segment.
func (g *segment) sumAt(index uint64) uint64 {
	if index < g.base {
		return g.prev
	}
	return g.recs[index-g.base].sum
}

// bounds returns where the entry at index lies.
func (g *segment) bounds(index uint64) (off, size int64) {
	i := index - g.base
	off, end := int64(g.recs[i].off), g.size
	if i+1 < uint64(len(g.recs)) {
		end = int64(g.recs[i+1].off)
	}
	return off, end - off
}

// release ends a use of the file.
func (g *segment) release() error {
	if g.refs.Add(-1) == 0 && g.retired.Load() {
		return g.close()
	}
	return nil
}

// retire closes the file as soon as nobody reads it. The caller has made sure that nobody finds it.
func (g *segment) retire() error {
	g.retired.Store(true)
	if g.refs.Load() == 0 {
		return g.close()
	}
	return nil
}

func (g *segment) close() error {
	if g.closed.Swap(true) {
		return nil
	}
	return g.f.Close()
}

// readHeader fills in base and prev, or says why the file is no segment.
func (g *segment) readHeader() error {
	var b [segmentHeader]byte
	if _, err := g.f.ReadAt(b[:], 0); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	switch {
	case string(b[:8]) != segmentMagic || Checksum(0, b[:32]) != le.Uint64(b[32:]):
		return &CorruptError{File: g.name, Reason: "its header can't be read"}
	case le.Uint64(b[8:]) != segmentFormat:
		return fmt.Errorf("%s: format %d is not known to this version", g.name, le.Uint64(b[8:]))
	case le.Uint64(b[16:]) != g.base:
		return &CorruptError{File: g.name, Reason: fmt.Sprintf("its header is that of entry %d", le.Uint64(b[16:]))}
	}
	g.prev = le.Uint64(b[24:])
	return nil
}

// scan reads records as long as they are right. It always ends with an error: a *CorruptError says why the
// next one is not.
func (g *segment) scan() error {
	in := bufio.NewReaderSize(io.NewSectionReader(g.f, segmentHeader, g.allocated-segmentHeader), 256<<10)
	g.size = segmentHeader
	sum, buf, entry := g.prev, make([]byte, recordHeader, 64<<10), raft.Log{}
	for {
		buf = buf[:recordHeader]
		if _, err := io.ReadFull(in, buf); err != nil {
			return g.ended(err)
		}
		if !slices.ContainsFunc(buf, func(b byte) bool { return b != 0 }) {
			return g.damaged(endOfRecords)
		}
		size := parseSize(buf)
		if size > min(EntryLimit, g.allocated-g.size) {
			return g.damaged("its length is beyond the limit or the end of the file")
		}
		buf = append(buf, make([]byte, size-recordHeader)...)
		if _, err := io.ReadFull(in, buf[recordHeader:]); err != nil {
			return g.ended(err)
		}
		next, err := parseRecord(buf, g.next(), sum, &entry)
		if err != nil {
			return g.damaged(err.Error())
		}
		g.recs = append(g.recs, record{sum: next, off: uint32(g.size), typ: entry.Type})
		g.size += size
		sum = next
	}
}

// endOfRecords is the reason where nothing was ever written.
const endOfRecords = "it is missing"

// ended says what the end of the file means where a record should be.
func (g *segment) ended(err error) error {
	if errors.Is(err, io.EOF) {
		return g.damaged(endOfRecords)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return g.damaged("its file ends within it")
	}
	return err
}

func (g *segment) damaged(reason string) error {
	return &CorruptError{File: g.name, Index: g.next(), Reason: reason}
}
