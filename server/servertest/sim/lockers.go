package sim

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server"
)

// lockedVariables is how many variables there are to lock: one whose holder is gone is not free for a while.
const lockedVariables = 6

// Times of each lock. Nobody renews one.
const (
	lockTTL   = 10 * time.Second
	lockDelay = 10 * time.Second
)

// fences are the locks that were acquired.
type fences struct {
	mu   sync.Mutex
	held []*grant
}

// grant is a lock that somebody was told to have.
type grant struct {
	path      string
	fence     uint64
	call, ack time.Duration
	who       string
	released  bool // its holder has begun to give it back
}

// add notes a lock. One that was asked for after another had been given has the greater fence (I1: what was
// acknowledged counts), and no two have the same. Nobody gets what another one has, while his time is not over.
func (f *fences) add(w *world, g *grant) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, old := range f.held {
		if old.fence == g.fence || old.ack < g.call && old.fence > g.fence {
			w.violate("I2", "%s got the lock with fence %d at %s, and %s with fence %d at %s", old.who, old.fence, old.ack, g.who, g.fence, g.ack)
		}
		if until := old.call + lockTTL + lockDelay; old.path == g.path && old.ack < g.call && !old.released && g.ack < until {
			w.violate("I2", "%s got %s at %s, has it until %s at least, and %s got it at %s", old.who, g.path, old.ack, until, g.who, g.ack)
		}
	}
	f.held = append(f.held, g)
}

// release notes that a lock may be free from now on.
func (f *fences) release(g *grant) {
	f.mu.Lock()
	defer f.mu.Unlock()
	g.released = true
}

// unlocked says which lock is still held, or waits to be free.
func (w *world) unlocked() error {
	m := w.leader()
	if m == nil {
		return w.oneLeader()
	}
	s := m.up()
	if s == nil {
		return errRefused
	}
	for v := range s.Store().Reader().Variables(nil, namespace, "lock/", nomadish.VariableName{}) {
		if v.Lock != nil || v.Lost != nil {
			return fmt.Errorf("%s is not free", v.Path)
		}
	}
	return nil
}

// lock is a client that wants a lock again and again, holds it for a while, and releases it or dies.
func (w *world) lock(ctx context.Context, id int) {
	rng := w.rng(streamLocker + uint64(id))
	name := fmt.Sprint("l", id)
	for ctx.Err() == nil {
		all := w.voters()
		target := all[rng.IntN(len(all))]
		want := &nomadish.Variable{}
		want.Namespace, want.Path = namespace, fmt.Sprint("lock/", rng.IntN(lockedVariables))
		want.Lock = &nomadish.VariableLock{TTL: lockTTL.String(), LockDelay: lockDelay.String()}
		var got *nomadish.Variable
		call := time.Since(w.began)
		err := w.locking(ctx, name, target, func(ctx context.Context, s *server.Server) (err error) {
			got, _, err = s.Variables().Acquire(ctx, want)
			return err
		})
		if err == nil && got != nil && got.Lock != nil {
			held := &grant{path: want.Path, fence: got.Lock.Fence, call: call, ack: time.Since(w.began), who: name}
			w.ledger.fences.add(w, held)
			w.count("locks acquired", 1)
			pause(ctx, time.Duration(rng.IntN(1500))*time.Millisecond)
			if rng.IntN(8) > 0 { // otherwise its time is over some day
				w.ledger.fences.release(held)
				want.Lock = &nomadish.VariableLock{ID: got.Lock.ID}
				w.release(ctx, name, target, want)
			}
		}
		pause(ctx, time.Duration(300+rng.IntN(1000))*time.Millisecond)
	}
}

// release gives a lock back. If that fails again and again, it is as if the holder had died.
func (w *world) release(ctx context.Context, name string, target *member, want *nomadish.Variable) {
	for range retries {
		err := w.locking(ctx, name, target, func(ctx context.Context, s *server.Server) error {
			_, _, err := s.Variables().Release(ctx, want)
			return err
		})
		if err == nil || nomadish.KindOf(err) == nomadish.KindConflict {
			return
		}
		pause(ctx, 500*time.Millisecond)
	}
}

func (w *world) locking(ctx context.Context, name string, target *member, do func(context.Context, *server.Server) error) error {
	ctx, cancel := context.WithTimeout(managing(ctx), opTimeout)
	defer cancel()
	return w.ask(ctx, name, target, do)
}
