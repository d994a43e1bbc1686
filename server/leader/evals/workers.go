package evals

import (
	"context"
	"slices"
	"sync"
)

// MaxWorkers bounds how many workers a server may be told to have.
const MaxWorkers = 128

// crew is who schedules: so many workers, for jobs of these types.
type crew struct {
	workers int
	types   []string
	changed chan struct{} // closed when another crew takes over
}

// Workers is how many workers schedule side by side while this server leads, and the types of
// jobs that they schedule.
func (e *Evals) Workers() (n int, types []string) {
	c := e.crew.Load()
	return c.workers, slices.Clone(c.types)
}

// SetWorkers says how many workers there are to be from now on, at most MaxWorkers, and for which
// types of jobs. It holds for this server until it ends. What workers are at they finish.
func (e *Evals) SetWorkers(n int, types []string) {
	old := e.crew.Swap(&crew{workers: min(max(n, 0), MaxWorkers), types: slices.Clone(types), changed: make(chan struct{})})
	close(old.changed)
}

// workers keeps as many workers as there are to be.
func (s *session) workers(ctx context.Context) error {
	for ctx.Err() == nil {
		c := s.crew.Load()
		idle, dismiss := context.WithCancel(ctx)
		var wg sync.WaitGroup
		for range c.workers {
			if len(c.types) > 0 {
				wg.Go(func() { s.work(ctx, idle, c.types) })
			}
		}
		select {
		case <-ctx.Done():
		case <-c.changed:
		}
		dismiss()
		wg.Wait()
	}
	return nil
}
