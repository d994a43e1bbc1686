package logstore

import (
	"errors"
	"fmt"
	"slices"
)

// DeleteRange deletes the oldest entries or the newest ones, both bounds included.
func (s *Store) DeleteRange(from, to uint64) error {
	if from > to {
		return nil
	}
	if err := s.lock(); err != nil {
		return err
	}
	defer s.unlock()
	var err error
	switch {
	case s.last == 0 || to < s.first || from > s.last:
		return nil
	case from <= s.first && to >= s.last:
		err = s.deleteAll()
	case from <= s.first:
		err = s.deleteHead(to + 1)
	case to >= s.last:
		err = s.deleteTail(from - 1)
	default:
		return fmt.Errorf("delete entries %d to %d: neither the oldest nor the newest of %d to %d", from, to, s.first, s.last)
	}
	if err != nil {
		return s.fail(err)
	}
	return nil
}

// deleteAll leaves an empty log. The mark goes down first: entries beyond it may be missing.
func (s *Store) deleteAll() error {
	if err := s.mark.set(encodeMark(0, 0, 0)); err != nil {
		return err
	}
	s.mu.Lock()
	gone := s.segments
	s.segments, s.first, s.last = nil, 0, 0
	s.mu.Unlock()
	return s.remove(gone)
}

// deleteHead leaves the entries from first on, and the files that hold them.
func (s *Store) deleteHead(first uint64) error {
	if err := s.mark.set(encodeMark(first, s.last, s.find(s.last).sumAt(s.last))); err != nil {
		return err
	}
	s.mu.Lock()
	keep := slices.Index(s.segments, s.find(first))
	gone := s.segments[:keep]
	s.segments, s.first = slices.Clone(s.segments[keep:]), first
	s.mu.Unlock()
	return s.remove(gone)
}

// deleteTail leaves the entries up to last. Files that go are gone for good before the one that stays is
// cut, so that a crash can leave a gap between files but no entry twice.
func (s *Store) deleteTail(last uint64) error {
	g := s.find(last)
	if err := s.mark.set(encodeMark(s.first, last, g.sumAt(last))); err != nil {
		return err
	}
	s.mu.Lock()
	keep := slices.Index(s.segments, g) + 1
	gone := s.segments[keep:]
	s.segments, s.last = slices.Clone(s.segments[:keep]), last
	if n := last - g.base + 1; n < uint64(len(g.recs)) {
		g.size = int64(g.recs[n].off)
		g.recs = slices.Clone(g.recs[:n]) // readers may hold the old ones
	}
	s.mu.Unlock()
	if err := s.remove(gone); err != nil {
		return err
	}
	return s.cut(g)
}

// cut drops what is behind the last record, so that nothing of it can be taken for an entry later.
func (s *Store) cut(g *segment) error {
	if err := g.f.Truncate(g.size); err != nil {
		return err
	}
	g.allocated = g.size
	return g.f.Sync()
}

func (s *Store) remove(gone []*segment) error {
	if len(gone) == 0 {
		return nil
	}
	for _, g := range slices.Backward(gone) {
		if err := errors.Join(s.cfg.FS.Remove(g.name), g.retire()); err != nil {
			return err
		}
	}
	return s.cfg.FS.SyncDir(s.cfg.Dir)
}
