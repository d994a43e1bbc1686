package state

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/hashicorp/go-memdb"
	"github.com/klauspost/compress/s2"
)

// A snapshot is the text snapshotMagic, the format number (2 bytes) and chunks. A chunk is
// its length (4 bytes), the CRC-32C of what follows (4 bytes) and its content, compressed
// with S2. The content is rows: table number, length of the row, the row. The last chunk
// is endTable, the number of rows and the state hash. Numbers are little endian or varints.
const (
	snapshotMagic  = "nomadish-state"
	snapshotFormat = 1

	chunkSize    = 256 << 10 // a chunk is closed when its content reaches this
	maxChunkSize = 32 << 20  // beyond this a chunk is not read
	endTable     = 0
)

// ErrSnapshot says that a snapshot is damaged or of a format that this program does not know.
var ErrSnapshot = errors.New("state: snapshot can't be read")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// WriteSnapshot writes the whole state to w. The same state gives the same bytes.
func (r Reader) WriteSnapshot(w io.Writer) error {
	_, err := r.WriteSnapshotTables(w)
	return err
}

// WriteSnapshotTables is WriteSnapshot, and says what the tables make of it; empty ones are left out.
func (r Reader) WriteSnapshotTables(w io.Writer) ([]SnapshotTable, error) {
	out := &chunkWriter{w: bufio.NewWriterSize(w, 64<<10)}
	out.head()
	rows := uint64(0)
	var written []SnapshotTable
	for _, t := range tableList {
		if t.isDerived() {
			continue
		}
		table := SnapshotTable{Name: t.tableName()}
		for b := range t.rows(r) {
			out.row(t.tableNumber(), b)
			table.Rows++
			table.Bytes += int64(len(b))
			if out.err != nil {
				return nil, out.err
			}
		}
		rows += uint64(table.Rows)
		if table.Rows > 0 {
			written = append(written, table)
		}
	}
	hash := r.Hash()
	out.end(rows, hash)
	return written, out.err
}

type chunkWriter struct {
	w       *bufio.Writer
	content []byte
	packed  []byte
	err     error
}

func (c *chunkWriter) write(b []byte) {
	if c.err == nil {
		_, c.err = c.w.Write(b)
	}
}

func (c *chunkWriter) head() {
	c.write(binary.LittleEndian.AppendUint16([]byte(snapshotMagic), snapshotFormat))
}

func (c *chunkWriter) row(table byte, b []byte) {
	c.content = append(c.content, table)
	c.content = binary.AppendUvarint(c.content, uint64(len(b)))
	c.content = append(c.content, b...)
	if len(c.content) >= chunkSize {
		c.flush()
	}
}

func (c *chunkWriter) flush() {
	if len(c.content) == 0 {
		return
	}
	c.packed = s2.Encode(c.packed[:cap(c.packed)], c.content)
	var head [8]byte
	binary.LittleEndian.PutUint32(head[:], uint32(len(c.packed)))
	binary.LittleEndian.PutUint32(head[4:], crc32.Checksum(c.packed, castagnoli))
	c.write(head[:])
	c.write(c.packed)
	c.content = c.content[:0]
}

func (c *chunkWriter) end(rows uint64, hash Hash) {
	c.flush()
	c.content = append(c.content, endTable)
	c.content = binary.AppendUvarint(c.content, rows)
	c.content = append(c.content, hash[:]...)
	c.flush()
	if c.err == nil {
		c.err = c.w.Flush()
	}
}

// Restore replaces the whole state by a snapshot. When it fails, nothing has changed.
// Readers keep what they have; their watches fire, and followers get ErrLagged.
func (s *Store) Restore(r io.Reader) error {
	db, err := readSnapshot(r)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.become(db)
	return nil
}

// become is for who has locked mu.
func (s *Store) become(db *memdb.MemDB) {
	s.db, s.about = db, metaOf(db)
	close(s.abandon)
	s.abandon = make(chan struct{})
	s.feed.reset()
}

// readSnapshot makes a database of a snapshot and compares its hash with the one that the
// snapshot says.
func readSnapshot(r io.Reader) (*memdb.MemDB, error) {
	db, err := memdb.NewMemDB(schema())
	if err != nil {
		return nil, err
	}
	in := bufio.NewReaderSize(r, 64<<10)
	if err := readHead(in); err != nil {
		return nil, err
	}
	txn := newTxn(nil, db, metaOf(db))
	defer txn.Abort()
	load := loader{txn: txn, tables: map[byte]anyTable{}}
	for _, t := range tableList {
		if !t.isDerived() {
			load.tables[t.tableNumber()] = t
		}
	}
	for !load.ended {
		content, err := readChunk(in)
		if err != nil {
			return nil, err
		}
		if err := load.chunk(content); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrSnapshot, err)
		}
	}
	switch _, err := in.ReadByte(); {
	case err == nil:
		return nil, fmt.Errorf("%w: bytes after its end", ErrSnapshot)
	case err != io.EOF:
		return nil, fmt.Errorf("%w: %w", ErrSnapshot, err)
	}
	if got := txn.hash(); got != load.hash {
		return nil, fmt.Errorf("%w: its state hash is %s and should be %s", ErrSnapshot, got, load.hash)
	}
	if err := errors.Join(restoreCounts(txn), restoreWork(txn)); err != nil {
		return nil, err
	}
	txn.txn.Commit()
	return db, nil
}

func readHead(in io.Reader) error {
	head := make([]byte, len(snapshotMagic)+2)
	if _, err := io.ReadFull(in, head); err != nil {
		return fmt.Errorf("%w: %w", ErrSnapshot, err)
	}
	if string(head[:len(snapshotMagic)]) != snapshotMagic {
		return fmt.Errorf("%w: it is none", ErrSnapshot)
	}
	if f := binary.LittleEndian.Uint16(head[len(snapshotMagic):]); f != snapshotFormat {
		return fmt.Errorf("%w: its format is %d, this program knows %d", ErrSnapshot, f, snapshotFormat)
	}
	return nil
}

func readChunk(in io.Reader) ([]byte, error) {
	var head [8]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSnapshot, err)
	}
	n := binary.LittleEndian.Uint32(head[:])
	if n > maxChunkSize {
		return nil, fmt.Errorf("%w: a chunk of %d bytes, at most %d are allowed", ErrSnapshot, n, maxChunkSize)
	}
	packed := make([]byte, n)
	if _, err := io.ReadFull(in, packed); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSnapshot, err)
	}
	if crc32.Checksum(packed, castagnoli) != binary.LittleEndian.Uint32(head[4:]) {
		return nil, fmt.Errorf("%w: wrong checksum", ErrSnapshot)
	}
	if size, err := s2.DecodedLen(packed); err != nil || size > maxChunkSize {
		return nil, fmt.Errorf("%w: a chunk that unpacks to %d bytes, at most %d are allowed", ErrSnapshot, size, maxChunkSize)
	}
	content, err := s2.Decode(nil, packed)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSnapshot, err)
	}
	return content, nil
}

// loader puts the rows of chunks into a transaction.
type loader struct {
	txn    *Txn
	tables map[byte]anyTable
	rows   uint64
	ended  bool
	hash   Hash
}

func (l *loader) chunk(b []byte) error {
	for len(b) > 0 {
		number := b[0]
		n, size := binary.Uvarint(b[1:])
		if size <= 0 {
			return io.ErrUnexpectedEOF
		}
		b = b[1+size:]
		if number == endTable {
			return l.end(n, b)
		}
		t := l.tables[number]
		if t == nil {
			return fmt.Errorf("table %d is unknown; a newer version wrote this", number)
		}
		if n > uint64(len(b)) {
			return io.ErrUnexpectedEOF
		}
		if err := t.load(l.txn, b[:n]); err != nil {
			return err
		}
		b = b[n:]
		l.rows++
	}
	return nil
}

func (l *loader) end(rows uint64, b []byte) error {
	if rows != l.rows || len(b) != len(l.hash) {
		return fmt.Errorf("%d rows where it says %d", l.rows, rows)
	}
	copy(l.hash[:], b)
	l.ended = true
	return nil
}
