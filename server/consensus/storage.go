package consensus

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/nomadish/nomadish/server/consensus/logstore"
)

// storage is the log store as raft gets it: with the newest entries in memory, and with an end of the
// server where raft would panic.
type storage struct {
	*logstore.Store
	reserve *reserve
	pace    *pace
	fatal   func(error) // told of the first error that can't be survived
	armed   atomic.Bool // whether raft runs

	mu     sync.Mutex
	recent []raft.Log // consecutive, oldest first
	bytes  int
	// cut: the newest entries were deleted, and raft takes them for its last ones until others are
	// stored in their place.
	cut bool
}

// recentLimit bounds the entries in memory; followers that are close behind are served from there.
const recentLimit = 8 << 20

// stop reports an error of the disk. Raft answers some of them with a panic, so its goroutine ends here
// instead, with its deferred calls; the server is shut down by whoever was told.
func (s *storage) stop(err error) {
	s.fatal(err)
	if s.armed.Load() {
		runtime.Goexit()
	}
}

// GetLog implements raft.LogStore.
func (s *storage) GetLog(index uint64, out *raft.Log) error {
	if s.cached(index, out) {
		return nil
	}
	err := s.Store.GetLog(index, out)
	if err != nil && !errors.Is(err, raft.ErrLogNotFound) {
		s.stop(err)
	}
	return err
}

func (s *storage) cached(index uint64, out *raft.Log) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.recent) == 0 || index < s.recent[0].Index || index > s.recent[len(s.recent)-1].Index {
		return false
	}
	*out = s.recent[index-s.recent[0].Index]
	return true
}

// StoreLog implements raft.LogStore.
func (s *storage) StoreLog(l *raft.Log) error { return s.StoreLogs([]*raft.Log{l}) }

// StoreLogs implements raft.LogStore.
func (s *storage) StoreLogs(logs []*raft.Log) error {
	err := s.append(logs)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		switch {
		case !errors.Is(err, logstore.ErrFull):
			s.fatal(err)
		case s.cut: // raft would go on with entries that are not there; a new start finds what is
			s.fatal(fmt.Errorf("entries that were replaced are gone, and there is no space for those in their place: %w", err))
		}
		return err
	}
	s.cut = false
	for _, l := range logs {
		s.recent = append(s.recent, *l)
		s.bytes += len(l.Data)
	}
	drop := 0
	for ; s.bytes > recentLimit || len(s.recent)-drop > 1024; drop++ {
		s.bytes -= len(s.recent[drop].Data)
	}
	clear(s.recent[:drop])
	s.recent = s.recent[drop:]
	return nil
}

// append makes entries durable. On a full disk that takes the reserve.
func (s *storage) append(logs []*raft.Log) error {
	s.pace.begin(time.Now())
	defer func() { s.pace.end(time.Now()) }()
	err := s.Store.StoreLogs(logs)
	if !errors.Is(err, logstore.ErrFull) {
		return err
	}
	released, removed := s.reserve.release()
	if removed != nil {
		return removed
	}
	if !released {
		return err
	}
	return s.Store.StoreLogs(logs)
}

// DeleteRange implements raft.LogStore.
func (s *storage) DeleteRange(from, to uint64) error {
	last, _ := s.LastIndex() // it never fails
	s.mu.Lock()
	s.recent, s.bytes = nil, 0
	s.cut = s.cut || to >= last
	s.mu.Unlock()
	err := s.Store.DeleteRange(from, to)
	if err != nil {
		s.fatal(err)
	}
	return err
}

// Set implements raft.StableStore.
func (s *storage) Set(key, value []byte) error {
	err := s.Store.Set(key, value)
	if err != nil {
		s.fatal(err)
	}
	return err
}

// SetUint64 implements raft.StableStore.
func (s *storage) SetUint64(key []byte, value uint64) error {
	err := s.Store.SetUint64(key, value)
	if err != nil {
		s.stop(err)
	}
	return err
}
