package server

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

// Readers that wait at the same time share a question to the leader, and none gets the answer to one that was
// put before it came.
func TestReadersShareQuestions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked, index atomic.Uint64
		q := newQuestions(func(context.Context) (uint64, error) {
			asked.Add(1)
			now := index.Load()
			time.Sleep(10 * time.Millisecond) // on the way back
			return now, nil
		})
		stop := answering(t, q)
		defer stop()
		var readers sync.WaitGroup
		for i := range 1000 {
			readers.Go(func() {
				time.Sleep(time.Duration(i) * 100 * time.Microsecond)
				wrote := index.Add(1)
				if got, err := q.ask(t.Context()); err != nil || got < wrote {
					t.Errorf("index %d, %v, want at least %d", got, err, wrote)
				}
			})
		}
		readers.Wait()
		if n := asked.Load(); n > 15 {
			t.Errorf("%d questions in 100 ms, each of which takes 10 ms", n)
		}
	})
}

// answering runs the questions until the function that it returns is called.
func answering(t *testing.T, q *questions) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- q.run(ctx) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// A leader that does not answer holds up nobody for ever.
func TestSilentLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQuestions(func(ctx context.Context) (uint64, error) {
			<-ctx.Done()
			return 0, ctx.Err()
		})
		stop := answering(t, q)
		defer stop()
		began := time.Now()
		if _, err := q.ask(t.Context()); nomadish.KindOf(err) != nomadish.KindNoLeader || time.Since(began) > askWithin {
			t.Errorf("%v after %s", err, time.Since(began))
		}
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := q.ask(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, want the caller's own deadline", err)
		}
	})
}
