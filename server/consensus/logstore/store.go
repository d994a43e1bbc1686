// Package logstore keeps a server's raft log, term and vote on disk, so that what was acknowledged is
// either read back as it was or an error: never something else, and never less without a word.
//
// Entries are in segment files, each with a checksum that includes the one of the entry before; it is
// verified at Open and on every read. A second file, the mark, remembers the last entry that was
// acknowledged. It tells the end of an append that a crash tore, which is dropped, from damage to
// acknowledged entries, with which the store refuses to open. (The mark is not synced on its own: a power
// cut together with damage to the last entries before it can pass for a torn append. The peers know.)
// Term and vote are in a third file, twice.
//
// After an error of a write or a sync the store is failed for good, as what the disk holds is not known
// then; only a full disk is an error to recover from.
package logstore

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"

	"github.com/hashicorp/raft"

	"github.com/nomadish/nomadish/server/consensus/vfs"
)

// EntryLimit is the size that an entry may have, with its header.
const EntryLimit = 16 << 20

// Config says where a Store is. Its zero value is not valid: FS and Dir have no default.
type Config struct {
	FS          vfs.FS
	Dir         string
	SegmentSize int64        // size at which a new segment begins; default 16 MiB, at most 1 GiB
	Logger      *slog.Logger // default: discard
}

func (c Config) withDefaults() Config {
	if c.SegmentSize == 0 {
		c.SegmentSize = 16 << 20
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

func (c Config) validate() error {
	var errs []error
	if c.FS == nil {
		errs = append(errs, errors.New("no FS is given"))
	}
	if c.Dir == "" {
		errs = append(errs, errors.New("no Dir is given"))
	}
	if c.SegmentSize < 0 || c.SegmentSize > 1<<30 {
		errs = append(errs, fmt.Errorf("SegmentSize: %d is not within 1 byte and 1 GiB", c.SegmentSize))
	}
	return errors.Join(errs...)
}

// Store is a raft.LogStore, a raft.MonotonicLogStore and a raft.StableStore. Its methods may be called
// concurrently.
type Store struct {
	cfg Config

	// writer holds a token; who has it may write. It is no mutex because writing blocks on the disk.
	writer chan struct{}
	mark   *register // value: first, last, sum of last
	stable *register
	buf    []byte

	mu          sync.RWMutex // guards what follows; never held while the disk is used
	first, last uint64       // 0 for an empty log
	segments    []*segment   // oldest first, each with at least one record
	values      map[string][]byte
	failed      error
}

var (
	_ raft.LogStore          = (*Store)(nil)
	_ raft.MonotonicLogStore = (*Store)(nil)
	_ raft.StableStore       = (*Store)(nil)
)

// IsMonotonic says that entries have consecutive indexes.
func (s *Store) IsMonotonic() bool { return true }

// FirstIndex returns the index of the oldest entry, or 0.
func (s *Store) FirstIndex() (uint64, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.first, nil
}

// LastIndex returns the index of the newest entry, or 0.
func (s *Store) LastIndex() (uint64, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.last, nil
}

// LastOfType returns the index of the newest entry of a type that is not beyond index, or 0.
func (s *Store) LastOfType(t raft.LogType, index uint64) uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for index = min(index, s.last); index >= s.first && index > 0; index-- {
		g := s.find(index)
		if g.recs[index-g.base].typ == t {
			return index
		}
	}
	return 0
}

// find returns the segment of an entry within first and last; the caller holds the lock.
func (s *Store) find(index uint64) *segment {
	for i := len(s.segments) - 1; i >= 0; i-- {
		if s.segments[i].base <= index {
			return s.segments[i]
		}
	}
	return nil
}

// GetLog reads an entry, or returns raft.ErrLogNotFound. What is not as it was written is a *CorruptError.
func (s *Store) GetLog(index uint64, out *raft.Log) error {
	g, want, prev, off, size := s.locate(index)
	if g == nil {
		return raft.ErrLogNotFound
	}
	buf := make([]byte, size)
	_, err := g.f.ReadAt(buf, off)
	reason := "checksum differs"
	if err == nil && parseSize(buf) == size {
		var sum uint64
		sum, err = parseRecord(buf, index, prev, out)
		if err == nil && sum == want {
			return g.release()
		}
	}
	if err != nil {
		reason = err.Error()
	}
	if err := g.release(); err != nil {
		return err
	}
	return s.badRead(index, want, &CorruptError{File: g.name, Offset: off, Index: index, Reason: reason})
}

// locate finds an entry and keeps its file open until release.
func (s *Store) locate(index uint64) (g *segment, sum, prev uint64, off, size int64) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if index < s.first || index > s.last || index == 0 {
		return nil, 0, 0, 0, 0
	}
	g = s.find(index)
	g.refs.Add(1)
	off, size = g.bounds(index)
	return g, g.sumAt(index), g.sumAt(index - 1), off, size
}

// badRead tells damage from an entry that was deleted while it was read.
func (s *Store) badRead(index, sum uint64, damage error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if index < s.first || index > s.last || s.find(index).sumAt(index) != sum {
		return raft.ErrLogNotFound
	}
	if s.failed == nil {
		s.failed = damage
	}
	return damage
}

// fail makes the store refuse all writes from now on.
func (s *Store) fail(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed == nil {
		s.failed = fmt.Errorf("log store has failed and accepts nothing more: %w", err)
	}
	return s.failed
}

// lock takes the writer's token.
func (s *Store) lock() error {
	<-s.writer
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.failed != nil {
		s.writer <- struct{}{}
		return s.failed
	}
	return nil
}

func (s *Store) unlock() { s.writer <- struct{}{} }

// StoreLog appends an entry.
func (s *Store) StoreLog(l *raft.Log) error { return s.StoreLogs([]*raft.Log{l}) }

// StoreLogs appends entries; they are durable when it returns. The first one must be the next index, or
// any if the log is empty.
func (s *Store) StoreLogs(logs []*raft.Log) error {
	if len(logs) == 0 {
		return nil
	}
	if err := s.lock(); err != nil {
		return err
	}
	defer s.unlock()
	if err := s.checkAppend(logs); err != nil {
		return err
	}
	return s.append(logs)
}

func (s *Store) checkAppend(logs []*raft.Log) error {
	next := s.last + 1
	if s.last == 0 {
		next = max(logs[0].Index, 1)
	}
	for _, l := range logs {
		if l.Index != next {
			return fmt.Errorf("append of entry %d where %d is next", l.Index, next)
		}
		if size := recordSize(l); size > EntryLimit {
			return fmt.Errorf("entry %d: %d bytes, more than %d", l.Index, size, EntryLimit)
		}
		next++
	}
	return nil
}

func (s *Store) append(logs []*raft.Log) error {
	g, fresh, err := s.tail(logs[0].Index)
	if err != nil {
		return err
	}
	off, sum, recs := g.size, g.sumAt(g.next()-1), make([]record, 0, len(logs))
	s.buf = s.buf[:0]
	if fresh {
		off, s.buf = 0, append(s.buf, encodeSegmentHeader(g.base, g.prev)...)
	}
	for _, l := range logs {
		at := uint32(off + int64(len(s.buf)))
		s.buf, sum = appendRecord(s.buf, sum, l)
		recs = append(recs, record{sum: sum, off: at, typ: l.Type})
	}
	end := off + int64(len(s.buf))
	if err := s.write(g, off, end); err != nil {
		if fresh {
			err = errors.Join(err, g.close(), s.cfg.FS.Remove(g.name))
		}
		return err
	}
	if err := g.f.Sync(); err != nil {
		return s.fail(err)
	}
	if fresh {
		if err := s.cfg.FS.SyncDir(s.cfg.Dir); err != nil {
			return s.fail(err)
		}
	}
	if cap(s.buf) > 1<<20 {
		s.buf = nil
	}
	return s.acknowledge(g, fresh, recs, end)
}

// tail returns the segment to append to, which may be a fresh one that only the writer knows.
func (s *Store) tail(index uint64) (g *segment, fresh bool, err error) {
	var prev uint64
	if n := len(s.segments); n > 0 {
		g = s.segments[n-1]
		if g.size < s.cfg.SegmentSize {
			return g, false, nil
		}
		prev = g.sumAt(g.next() - 1)
	}
	name := segmentName(s.cfg.Dir, index)
	f, err := vfs.Create(s.cfg.FS, name)
	if isFull(err) {
		return nil, false, fmt.Errorf("%w: %w", ErrFull, err)
	}
	if err != nil {
		return nil, false, s.fail(err)
	}
	return &segment{name: name, f: f, base: index, prev: prev}, true, nil
}

// write puts the buffer at off. The disk may be full; any other error is the end of the store.
func (s *Store) write(g *segment, off, end int64) error {
	if end > g.allocated {
		step := min(allocateStep, s.cfg.SegmentSize)
		size := (end + step - 1) / step * step
		if err := g.f.Allocate(size); isFull(err) {
			return fmt.Errorf("%w: %w", ErrFull, err)
		} else if err != nil {
			return s.fail(err)
		}
		g.allocated = size
	}
	if _, err := g.f.WriteAt(s.buf, off); isFull(err) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	} else if err != nil {
		return s.fail(err)
	}
	return nil
}

// acknowledge makes durable records readable and marks them.
func (s *Store) acknowledge(g *segment, fresh bool, recs []record, end int64) error {
	s.mu.Lock()
	g.recs = append(g.recs, recs...)
	g.size = end
	if fresh {
		s.segments = append(s.segments, g)
	}
	s.last = g.next() - 1
	if s.first == 0 {
		s.first = g.base
	}
	first, last, sum := s.first, s.last, g.sumAt(s.last)
	s.mu.Unlock()
	if err := s.mark.note(encodeMark(first, last, sum)); err != nil {
		return s.fail(err)
	}
	return nil
}

func encodeMark(first, last, sum uint64) []byte {
	b := le.AppendUint64(nil, first)
	return le.AppendUint64(le.AppendUint64(b, last), sum)
}

// Close closes all files. The store must not be in use.
func (s *Store) Close() error {
	var errs []error
	for _, g := range s.segments {
		errs = append(errs, g.retire())
	}
	for _, r := range []*register{s.mark, s.stable} {
		if r != nil {
			errs = append(errs, r.f.Close())
		}
	}
	return errors.Join(errs...)
}

func (s *Store) file(name string) string { return filepath.Join(s.cfg.Dir, name) }
