package logstore

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
)

const (
	markSize   = 24
	markName   = "mark"
	stableName = "vote"
)

// Open opens the store in a directory, or makes an empty one there. It reads and verifies every entry,
// and drops what a crash left of an append that was not acknowledged. Damage to anything else is a
// *CorruptError, and then no file of the log has been changed.
func Open(cfg Config) (*Store, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("log store: %w", err)
	}
	s := &Store{cfg: cfg, writer: make(chan struct{}, 1)}
	s.writer <- struct{}{}
	if err := s.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("log store: %w", err), s.Close())
	}
	return s, nil
}

func (s *Store) open() error {
	if err := s.cfg.FS.MkdirAll(s.cfg.Dir, 0o700); err != nil {
		return err
	}
	names, err := s.cfg.FS.ReadDir(s.cfg.Dir)
	if err != nil {
		return err
	}
	var bases []uint64
	for _, name := range names {
		if strings.HasSuffix(name, ".tmp") {
			if err := s.cfg.FS.Remove(s.file(name)); err != nil {
				return err
			}
		}
		if base, ok := parseSegmentName(name); ok {
			bases = append(bases, base)
		} else if strings.HasSuffix(name, segmentSuffix) {
			return fmt.Errorf("%s: not a name of a log file", s.file(name))
		}
	}
	slices.Sort(bases)
	if err := s.openRegisters(names, len(bases) > 0); err != nil {
		return err
	}
	return s.load(bases)
}

// openRegisters opens the mark and the vote. The mark is made last, so it is missing in a directory that
// never was a store in use, and nowhere else.
func (s *Store) openRegisters(names []string, inUse bool) (err error) {
	if !slices.Contains(names, markName) && !inUse {
		if !slices.Contains(names, stableName) {
			if s.stable, err = createRegister(s.cfg.FS, s.file(stableName), nil); err != nil {
				return err
			}
		} else if s.stable, err = openRegister(s.cfg.FS, s.file(stableName)); err != nil {
			return err
		}
		if len(s.stable.value) > 0 {
			return &CorruptError{File: s.file(markName), Reason: "it is missing"}
		}
		s.values = map[string][]byte{}
		s.mark, err = createRegister(s.cfg.FS, s.file(markName), encodeMark(0, 0, 0))
		return err
	}
	if s.mark, err = openRegister(s.cfg.FS, s.file(markName)); err != nil {
		return err
	}
	if s.stable, err = openRegister(s.cfg.FS, s.file(stableName)); err != nil {
		return err
	}
	var ok bool
	if s.values, ok = decodeValues(s.stable.value); !ok {
		return &CorruptError{File: s.stable.name, Reason: "its value can't be read"}
	}
	if len(s.mark.value) != markSize {
		return &CorruptError{File: s.mark.name, Reason: "its value can't be read"}
	}
	return nil
}

// ending is where and why a log ends.
type ending struct {
	file   string
	offset int64
	reason string
}

// load reads the segments, compares them with the mark, and only then drops what is behind the log.
func (s *Store) load(bases []uint64) error {
	end := ending{file: s.cfg.Dir, reason: "its file is missing"}
	var deleted []uint64 // files that a crash kept deleteHead from removing, maybe with gaps between them
	for first := le.Uint64(s.mark.value); len(bases) > 1 && bases[1] <= first; bases = bases[1:] {
		deleted = append(deleted, bases[0])
	}
	for len(bases) > 0 {
		g, reason, err := s.loadSegment(bases[0])
		if err != nil {
			return err
		}
		if len(g.recs) == 0 {
			end = ending{g.name, g.size, reason}
		}
		if len(g.recs) == 0 || !s.continues(g) {
			if err := g.close(); err != nil {
				return err
			}
			break
		}
		s.segments = append(s.segments, g)
		end = ending{g.name, g.size, reason}
		bases = bases[1:]
	}
	if err := s.compare(end, bases); err != nil {
		return err
	}
	return s.dropRest(end, append(deleted, bases...))
}

// loadSegment reads a segment as far as it is right, and says what is wrong behind that.
func (s *Store) loadSegment(base uint64) (g *segment, reason string, err error) {
	g = &segment{name: segmentName(s.cfg.Dir, base), base: base}
	if g.f, err = s.cfg.FS.OpenFile(g.name, os.O_RDWR, 0); err != nil {
		return nil, "", err
	}
	if g.allocated, err = g.f.Size(); err == nil {
		err = g.readHeader()
	}
	if err == nil {
		err = g.scan()
	}
	var damage *CorruptError
	if errors.As(err, &damage) {
		return g, damage.Reason, nil
	}
	return nil, "", errors.Join(err, g.close())
}

// continues says whether a segment's first entry comes right behind the last one so far.
func (s *Store) continues(g *segment) bool {
	if len(s.segments) == 0 {
		return true
	}
	t := s.segments[len(s.segments)-1]
	return g.base == t.next() && g.prev == t.sumAt(t.next()-1)
}

// compare checks that the log has every entry that was acknowledged, and sets its bounds.
func (s *Store) compare(end ending, strays []uint64) error {
	first, last, sum := le.Uint64(s.mark.value), le.Uint64(s.mark.value[8:]), le.Uint64(s.mark.value[16:])
	if n := len(s.segments); n > 0 {
		s.first, s.last = s.segments[0].base, s.segments[n-1].next()-1
	}
	if last == 0 {
		return nil
	}
	switch {
	case s.last == 0:
		return &CorruptError{File: end.file, Offset: end.offset, Index: first, Reason: end.reason}
	case s.first > first:
		return &CorruptError{File: s.cfg.Dir, Index: first, Reason: "its file is missing"}
	case s.last < last:
		return &CorruptError{File: end.file, Offset: end.offset, Index: s.last + 1, Reason: end.reason}
	case s.find(last).sumAt(last) != sum:
		return &CorruptError{File: s.find(last).name, Index: last, Reason: "it is not the one that was acknowledged"}
	case len(strays) > 0 && strays[0] <= last:
		return &CorruptError{File: segmentName(s.cfg.Dir, strays[0]), Reason: "it does not continue the log"}
	}
	s.first = first
	return nil
}

// dropRest removes what is not of the log: of an append that a crash interrupted, or of a deletion.
func (s *Store) dropRest(end ending, strays []uint64) error {
	for _, base := range strays {
		if err := s.cfg.FS.Remove(segmentName(s.cfg.Dir, base)); err != nil {
			return err
		}
	}
	if len(strays) > 0 {
		if err := s.cfg.FS.SyncDir(s.cfg.Dir); err != nil {
			return err
		}
	}
	if len(strays) > 0 || s.last > 0 && end.reason != endOfRecords {
		s.cfg.Logger.Info("dropped what a crash left behind the log", "last", s.last, "file", end.file, "reason", end.reason)
	}
	n := len(s.segments)
	if n == 0 || s.segments[n-1].allocated == s.segments[n-1].size {
		return nil
	}
	return s.cut(s.segments[n-1])
}
