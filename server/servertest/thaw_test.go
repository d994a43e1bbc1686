package servertest_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/consensus/vfs"
	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/servertest"
)

// A leader that was paused, with answers of its followers on their way, answers no read without what its
// successor has acknowledged since: those answers are older than the read. What comes first after the pause,
// the read, the answers or the end of the lease, is left to chance, so it is tried often.
func TestPausedLeaderReadsNothingStale(t *testing.T) {
	for seed := range uint64(30) {
		synctest.Test(t, func(t *testing.T) { pauseAndRead(t, seed) })
	}
}

// gate holds a disk's calls while it is shut.
type gate struct {
	mu   sync.Mutex
	open chan struct{} // nil: it is open
}

func (g *gate) pass(vfs.Op, string) error {
	g.mu.Lock()
	open := g.open
	g.mu.Unlock()
	if open != nil {
		<-open
	}
	return nil
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open = make(chan struct{})
}

func (g *gate) release() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.open)
	g.open = nil
}

func pauseAndRead(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 0))
	c := servertest.StartWith(t, servertest.Options{Seed: seed, Delay: time.Millisecond})
	gates := map[string]*gate{}
	for _, s := range c.Servers() {
		c.Leader(t)
		c.Kill(t, s)
		gates[s.ID] = &gate{}
		s.SetHook(gates[s.ID].pass)
		c.Restart(t, s)
		c.Leader(t)
	}
	old := c.Leader(t)
	// Its followers' answers are on their way, its disk is at work, and then the machine pauses.
	for _, s := range c.Servers() {
		if s != old {
			c.Net.Cut(s.ID, old.ID)
		}
	}
	gates[old.ID].shut()
	var calls sync.WaitGroup
	defer calls.Wait()
	calls.Go(func() {
		if _, err := old.Propose(t.Context(), &fsm.RegisterJob{Job: job("lost", "1")}); err == nil {
			t.Error("what a paused leader proposed was acknowledged")
		}
	})
	time.Sleep(100 * time.Millisecond)
	c.Net.Freeze(old.ID)
	next := c.Leader(t, old)
	if _, err := next.Propose(t.Context(), &fsm.RegisterJob{Job: job("web", "1")}); err != nil {
		t.Fatal(err)
	}
	calls.Go(func() {
		r, err := old.Read(t.Context())
		if err != nil {
			return // it leads no longer
		}
		if _, err := r.Job(nil, "default", "web"); err != nil {
			t.Errorf("seed %d: read of what was acknowledged before: %v", seed, err)
		}
	})
	time.Sleep(time.Duration(rng.IntN(3)) * time.Millisecond)
	gates[old.ID].release()
	c.Net.Thaw(old.ID)
	for _, s := range c.Servers() {
		if s != old {
			c.Net.Mend(s.ID, old.ID)
		}
	}
	servertest.Eventually(t, "the old leader to follow", func() error {
		if id, ok := old.Consensus().Leader(); !ok || id == old.ID {
			return fmt.Errorf("it follows %q", id)
		}
		if _, err := old.State().Job(nil, "default", "web"); nomadish.KindOf(err) == nomadish.KindNotFound {
			return errors.New("it has not got the job")
		}
		return nil
	})
}
