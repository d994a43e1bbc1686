package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/snapshot"
)

// SnapshotSchedule says how a server saves the state by itself. Each server does that, so that the files
// are on several machines: one that is lost takes its own with it.
type SnapshotSchedule struct {
	Interval time.Duration // between two files; 0: none are made
	Retain   int           // files that are kept, the newest; default 24
	Dir      string        // default: saved, in the server's directory
}

// saver is what a server knows of the files that it saves.
type saver struct {
	cfg SnapshotSchedule

	mu       sync.Mutex
	failures int
	last     error
}

const (
	savedPrefix = "nomadish-"
	savedSuffix = ".snap"
	savedTime   = "20060102-150405"
	// saveAgain is the time after which a server tries again that could not save.
	saveAgain = time.Minute
)

// save saves the state again and again, until ctx ends.
func (s *Server) save(ctx context.Context) error {
	if s.saver.cfg.Interval <= 0 {
		<-ctx.Done()
		return nil
	}
	for {
		wait, err := s.untilSave()
		if err == nil && wait <= 0 {
			err = s.saveNow(ctx)
			wait = s.saver.cfg.Interval
		}
		if ctx.Err() != nil {
			return nil
		}
		s.saver.note(err)
		if err != nil {
			s.cfg.Logger.Error("the state is not saved", "dir", s.saver.cfg.Dir, "err", err)
			wait = min(saveAgain, s.saver.cfg.Interval)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// untilSave is the time until the next file is due, which a restart does not change.
func (s *Server) untilSave() (time.Duration, error) {
	files, err := listSaved(s.saver.cfg.Dir)
	if err != nil || len(files) == 0 {
		return 0, err
	}
	since := s.cfg.Now().Sub(files[0].Created)
	return min(s.saver.cfg.Interval-since, s.saver.cfg.Interval), nil
}

// saveNow saves the state to a new file, whole and verified or not at all, and removes the oldest.
func (s *Server) saveNow(ctx context.Context) error {
	if err := s.CaughtUp(ctx); err != nil {
		return err
	}
	if err := s.Serving(); err != nil {
		return err
	}
	write, index, err := s.SaveSnapshot(ctx)
	if err != nil {
		return err
	}
	dir := s.saver.cfg.Dir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".saving-*") // 0600
	if err != nil {
		return err
	}
	name := fmt.Sprintf("%s%s-%d%s", savedPrefix, s.cfg.Now().UTC().Format(savedTime), index, savedSuffix)
	err = errors.Join(write(f), f.Sync(), f.Close())
	if err == nil {
		err = verifySaved(f.Name(), index)
	}
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(dir, name))
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return s.dropSaved()
}

// verifySaved reads a file back.
func verifySaved(name string, index uint64) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	meta, _, err := snapshot.Verify(f)
	if err == nil && meta.Index != index {
		err = fmt.Errorf("%w: it is of index %d, not of %d", snapshot.ErrDamaged, meta.Index, index)
	}
	return err
}

// dropSaved removes the files beyond those that are kept, and what a crash left.
func (s *Server) dropSaved() error {
	files, err := listSaved(s.saver.cfg.Dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, f := range files[min(s.saver.cfg.Retain, len(files)):] {
		errs = append(errs, os.Remove(filepath.Join(s.saver.cfg.Dir, f.Name)))
	}
	left, err := filepath.Glob(filepath.Join(s.saver.cfg.Dir, ".saving-*"))
	errs = append(errs, err)
	for _, name := range left {
		errs = append(errs, os.Remove(name))
	}
	d, err := os.Open(s.saver.cfg.Dir)
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	return errors.Join(append(errs, d.Sync(), d.Close())...)
}

// listSaved lists the files in a directory, the newest first.
func listSaved(dir string) ([]*nomadish.SavedSnapshot, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	files := []*nomadish.SavedSnapshot{}
	for _, e := range entries {
		f, ok := parseSaved(e.Name())
		if !ok {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		f.Bytes = info.Size()
		files = append(files, f)
	}
	slices.SortFunc(files, func(a, b *nomadish.SavedSnapshot) int {
		return cmp.Or(b.Created.Compare(a.Created), cmp.Compare(b.Index, a.Index))
	})
	return files, nil
}

// parseSaved reads time and index in a file's name.
func parseSaved(name string) (*nomadish.SavedSnapshot, bool) {
	text, ours := strings.CutPrefix(name, savedPrefix)
	text, whole := strings.CutSuffix(text, savedSuffix)
	if !ours || !whole || len(text) <= len(savedTime) {
		return nil, false
	}
	created, err := time.Parse(savedTime, text[:len(savedTime)])
	f := &nomadish.SavedSnapshot{Name: name, Created: created}
	if _, scanned := fmt.Sscanf(text[len(savedTime):], "-%d", &f.Index); err != nil || scanned != nil {
		return nil, false
	}
	return f, true
}

// SavedSnapshots lists the files that this server has saved. That their directory can't be read is one of the
// reasons for which it saves none.
func (s *Server) SavedSnapshots(context.Context) (*nomadish.SavedSnapshots, error) {
	files, err := listSaved(s.saver.cfg.Dir)
	if err != nil && s.saver.cfg.Interval <= 0 {
		return nil, err
	}
	out := &nomadish.SavedSnapshots{
		Server: s.cfg.Name, Interval: nomadish.TextDuration(s.saver.cfg.Interval), Retain: s.saver.cfg.Retain, Snapshots: files,
	}
	if s.saver.cfg.Interval > 0 {
		out.Dir = s.saver.cfg.Dir
	}
	s.saver.mu.Lock()
	defer s.saver.mu.Unlock()
	if out.Failures = s.saver.failures; s.saver.last != nil {
		out.LastError = s.saver.last.Error()
	} else if err != nil {
		out.LastError = err.Error()
	}
	return out, nil
}

func (s *saver) note(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = err
	if err == nil {
		s.failures = 0
	} else {
		s.failures++
	}
}
