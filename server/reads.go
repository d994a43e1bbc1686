package server

import (
	"context"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/leader/evals"
)

// Sync returns once this server's state holds every write that was acknowledged before the call.
func (s *Server) Sync(ctx context.Context) error {
	index, err := s.commitIndex(ctx)
	if err != nil {
		return err
	}
	return s.consensus.WaitIndex(ctx, index)
}

func (s *Server) commitIndex(ctx context.Context) (uint64, error) {
	if s.consensus.IsLeader() || s.cfg.AskLeader == nil {
		return s.CommitIndex(ctx)
	}
	return s.asked.ask(ctx)
}

// CommitIndex returns, on the leader, an index at or past all acknowledged writes.
func (s *Server) CommitIndex(ctx context.Context) (uint64, error) { return s.consensus.ReadIndex(ctx) }

// questions are readers that wait for the leader's answer. Those that come while it is asked share the
// next question: an answer to one that was put before they came could be too old for them.
type questions struct {
	put     func(ctx context.Context) (uint64, error)
	waiting chan chan<- answer
}

type answer struct {
	index uint64
	err   error
}

// Bounds of questions.
const (
	maxReaders = 16384           // that wait
	askWithin  = 2 * time.Second // the leader has to answer
)

func newQuestions(put func(ctx context.Context) (uint64, error)) *questions {
	return &questions{put: put, waiting: make(chan chan<- answer, maxReaders)}
}

// ask waits for the leader's answer to a question that is put after the call.
func (q *questions) ask(ctx context.Context) (uint64, error) {
	reply := make(chan answer, 1)
	select {
	case q.waiting <- reply:
	default:
		return 0, nomadish.Errorf(nomadish.KindLimited, "%d reads wait already", maxReaders)
	}
	select {
	case a := <-reply:
		return a.index, a.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// run asks the leader for all who wait, until ctx ends.
func (q *questions) run(ctx context.Context) error {
	for {
		var batch []chan<- answer
		select {
		case r := <-q.waiting:
			batch = append(batch, r)
		case <-ctx.Done():
			return nil // the contexts of readers end with the server, too
		}
		for len(q.waiting) > 0 {
			batch = append(batch, <-q.waiting)
		}
		within, cancel := context.WithTimeout(ctx, askWithin)
		index, err := q.put(within)
		cancel()
		if err != nil && ctx.Err() == nil && within.Err() != nil {
			err = nomadish.Errorf(nomadish.KindNoLeader, "the leader does not answer: %w", err)
		}
		for _, r := range batch {
			r <- answer{index, err}
		}
	}
}

// Contact says whether a leader is known, and when this server last heard of it.
func (s *Server) Contact() (knownLeader bool, lastContact time.Duration) {
	_, ok := s.consensus.Leader()
	return ok, s.consensus.SinceContact()
}

// Restored is the index at which the state was last replaced by a saved one; 0: never.
func (s *Server) Restored() uint64 { return s.store.Reader().Restored() }

// Evals returns what works on evaluations while this server leads.
func (s *Server) Evals() *evals.Evals { return s.evals }
