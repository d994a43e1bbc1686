// Package snapshot is the file in which a cluster's state is saved: a description, the state in the
// servers' own encoding, which is compressed, and a summary.
//
//	w, err := snapshot.NewWriter(file, meta)
//	tables, err := reader.WriteSnapshotTables(w)
//	err = w.Close(tables)
//
//	r, err := snapshot.NewReader(file) // r.Meta
//	err = load(r)                      // reads to io.EOF: the file is whole, then
//
// A file is the text "nomadish-snapshot", a format number (2 bytes) and parts: a letter that says what
// it is, the length (4 bytes), the content, and the CRC-32C of all that (4 bytes). The parts are one 'M',
// the description as JSON; 'S', the state's bytes in order; and one 'E', the summary as JSON. After them
// come the SHA-256 of all before, and nothing else. Numbers are little endian.
package snapshot

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"time"
)

const (
	magic  = "nomadish-snapshot"
	format = 1

	partMeta    = 'M'
	partState   = 'S'
	partSummary = 'E'

	partSize = 256 << 10 // of the state's parts
	jsonSize = 1 << 20   // most that description and summary may have
	headSize = 5
)

// ErrDamaged says that a file is no snapshot, is not whole, or is not as it was written.
var ErrDamaged = errors.New("the snapshot can't be used")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Meta describes a saved state.
type Meta struct {
	Version   string // of the program that saved it
	Region    string
	ClusterID string
	Index     uint64 // of the newest write in it
	Term      uint64
	Level     uint32 // the cluster level that a program has to speak to restore it
	StateHash string
	Created   time.Time
}

// Summary is what else is known once the state is written.
type Summary struct {
	Tables []Table
	Bytes  int64 // of the state, as it is in the file
}

// Table is how much of a state a table is.
type Table struct {
	Name  string
	Rows  int
	Bytes int64 // of the rows, before they are compressed
}

// Writer writes a snapshot. What is written to it is the state.
type Writer struct {
	out   *bufio.Writer
	whole hash.Hash
	state []byte
	bytes int64
}

// NewWriter begins a snapshot.
func NewWriter(w io.Writer, meta Meta) (*Writer, error) {
	s := &Writer{out: bufio.NewWriterSize(w, 64<<10), whole: sha256.New()}
	described, err := json.Marshal(meta)
	if err != nil {
		return nil, err
	}
	if err := s.write(binary.LittleEndian.AppendUint16([]byte(magic), format)); err != nil {
		return nil, err
	}
	return s, s.part(partMeta, described)
}

func (w *Writer) write(b []byte) error {
	w.whole.Write(b)
	_, err := w.out.Write(b)
	return err
}

func (w *Writer) part(kind byte, content []byte) error {
	head := binary.LittleEndian.AppendUint32([]byte{kind}, uint32(len(content)))
	if err := w.write(head); err != nil {
		return err
	}
	if err := w.write(content); err != nil {
		return err
	}
	sum := crc32.Update(crc32.Checksum(head, castagnoli), castagnoli, content)
	return w.write(binary.LittleEndian.AppendUint32(nil, sum))
}

// Write implements io.Writer.
func (w *Writer) Write(p []byte) (int, error) {
	n := len(p)
	w.bytes += int64(n)
	for len(p) > 0 {
		room := min(partSize-len(w.state), len(p))
		w.state = append(w.state, p[:room]...)
		p = p[room:]
		if len(w.state) == partSize {
			if err := w.flush(); err != nil {
				return 0, err
			}
		}
	}
	return n, nil
}

func (w *Writer) flush() error {
	if len(w.state) == 0 {
		return nil
	}
	err := w.part(partState, w.state)
	w.state = w.state[:0]
	return err
}

// Close ends the snapshot. What is below the Writer stays open.
func (w *Writer) Close(tables []Table) error {
	if err := w.flush(); err != nil {
		return err
	}
	summary, err := json.Marshal(Summary{Tables: tables, Bytes: w.bytes})
	if err != nil {
		return err
	}
	if err := w.part(partSummary, summary); err != nil {
		return err
	}
	if _, err := w.out.Write(w.whole.Sum(nil)); err != nil {
		return err
	}
	return w.out.Flush()
}

// Reader reads a snapshot's state. It gives nothing that its checksum does not fit, and io.EOF only after
// all of the file was found to be as it was written.
type Reader struct {
	Meta    Meta
	Summary Summary // known at io.EOF

	in    *bufio.Reader
	whole hash.Hash
	part  []byte
	bytes int64
	err   error
}

// NewReader begins to read a snapshot.
func NewReader(r io.Reader) (*Reader, error) {
	s := &Reader{in: bufio.NewReaderSize(r, 64<<10), whole: sha256.New()}
	head := make([]byte, len(magic)+2)
	if err := s.read(head); err != nil {
		return nil, err
	}
	if string(head[:len(magic)]) != magic {
		return nil, fmt.Errorf("%w: it is none", ErrDamaged)
	}
	if f := binary.LittleEndian.Uint16(head[len(magic):]); f != format {
		return nil, fmt.Errorf("%w: its format is %d, this program knows %d", ErrDamaged, f, format)
	}
	kind, err := s.next()
	if err != nil {
		return nil, err
	}
	if kind != partMeta {
		return nil, fmt.Errorf("%w: it does not begin with a description", ErrDamaged)
	}
	if err := json.Unmarshal(s.part, &s.Meta); err != nil {
		return nil, fmt.Errorf("%w: its description: %w", ErrDamaged, err)
	}
	s.part = nil
	return s, nil
}

// read fills b. Errors of what is below stay what they are, but for a file that ends too early.
func (r *Reader) read(b []byte) error {
	_, err := io.ReadFull(r.in, b)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it ends too early", ErrDamaged)
	}
	r.whole.Write(b)
	return err
}

// next reads a part.
func (r *Reader) next() (kind byte, err error) {
	head := make([]byte, headSize)
	if err := r.read(head); err != nil {
		return 0, err
	}
	kind, size := head[0], binary.LittleEndian.Uint32(head[1:])
	limit := uint32(jsonSize)
	if kind == partState {
		limit = partSize
	}
	if size > limit {
		return 0, fmt.Errorf("%w: a part of %d bytes, at most %d are allowed", ErrDamaged, size, limit)
	}
	content := make([]byte, size)
	if err := r.read(content); err != nil {
		return 0, err
	}
	sum := make([]byte, crc32.Size)
	if err := r.read(sum); err != nil {
		return 0, err
	}
	if crc32.Update(crc32.Checksum(head, castagnoli), castagnoli, content) != binary.LittleEndian.Uint32(sum) {
		return 0, fmt.Errorf("%w: wrong checksum", ErrDamaged)
	}
	r.part = content
	return kind, nil
}

// Read implements io.Reader.
func (r *Reader) Read(p []byte) (int, error) {
	for len(r.part) == 0 && r.err == nil {
		r.err = r.advance()
	}
	if r.err != nil {
		return 0, r.err
	}
	n := copy(p, r.part)
	r.part = r.part[n:]
	return n, nil
}

// advance reads the next part of the state, or the end of the file.
func (r *Reader) advance() error {
	kind, err := r.next()
	switch {
	case err != nil:
		r.part = nil
		return err
	case kind == partState:
		r.bytes += int64(len(r.part))
		return nil
	}
	summary := r.part
	r.part = nil
	if kind != partSummary {
		return fmt.Errorf("%w: a part of kind %q", ErrDamaged, kind)
	}
	if err := json.Unmarshal(summary, &r.Summary); err != nil {
		return fmt.Errorf("%w: its summary: %w", ErrDamaged, err)
	}
	return r.end()
}

// end checks what comes after the last part, and returns io.EOF.
func (r *Reader) end() error {
	want := r.whole.Sum(nil)
	got := make([]byte, sha256.Size)
	if err := r.read(got); err != nil {
		return err
	}
	if string(got) != string(want) || r.bytes != r.Summary.Bytes {
		return fmt.Errorf("%w: wrong checksum of the whole", ErrDamaged)
	}
	switch _, err := r.in.ReadByte(); {
	case err == nil:
		return fmt.Errorf("%w: bytes after its end", ErrDamaged)
	case !errors.Is(err, io.EOF):
		return err
	}
	return io.EOF
}

// Verify reads a snapshot to its end, and checks all of it but what the state means.
func Verify(r io.Reader) (Meta, Summary, error) {
	s, err := NewReader(r)
	if err != nil {
		return Meta{}, Summary{}, err
	}
	if _, err := io.Copy(io.Discard, s); err != nil {
		return Meta{}, Summary{}, err
	}
	return s.Meta, s.Summary, nil
}
