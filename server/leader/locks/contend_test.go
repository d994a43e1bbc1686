package locks_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-memdb"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/leader/locks"
)

// contention is what many contenders for one lock do to each other. Its fields but for the
// first three are guarded by mu.
type contention struct {
	*world
	timers atomic.Pointer[locks.Timers]
	rounds int

	mu       sync.Mutex
	round    int
	fences   map[uint64]string // who was given each fence
	highest  uint64            // that was given
	holder   string            // who holds the lock by its own clock
	until    time.Time
	written  uint64 // the highest fence that has written to what the lock protects
	expiries int
	late     int // writes of those that did not notice that they lost the lock
}

// won records that somebody was given the lock.
func (c *contention) won(id string, fence uint64, until time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if other, taken := c.fences[fence]; taken {
		c.t.Errorf("round %d: %s has fence %d, and so has %s", c.round, id, fence, other)
	}
	if fence <= c.highest {
		c.t.Errorf("round %d: %s has fence %d after %d", c.round, id, fence, c.highest)
	}
	if c.holder != "" && time.Now().Before(c.until) {
		c.t.Errorf("round %d: %s was given the lock that is still %s's for %s", c.round, id, c.holder, time.Until(c.until))
	}
	c.fences[fence], c.highest, c.holder, c.until = id, fence, id, until
	c.round++
}

// renewed records that a holder has more time.
func (c *contention) renewed(until time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.until = until
}

// released records that a holder gives the lock back.
func (c *contention) released(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.holder == id {
		c.holder = ""
	}
}

// write is what the lock protects: it lets nobody in who comes after a later holder.
func (c *contention) write(fence uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if fence < c.written {
		c.late++
		return false
	}
	c.written = fence
	return true
}

func (c *contention) over() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.round >= c.rounds
}

// contend is one contender.
func (c *contention) contend(ctx context.Context, name string, rng *rand.Rand) {
	const ttl = 10 * time.Second
	for n := 0; !c.over(); n++ {
		id := fmt.Sprint(name, "/", n)
		before := time.Now()
		v := c.acquire("leader", id)
		if v == nil {
			ws := memdb.NewWatchSet()
			_, _ = c.store.Reader().Variable(ws, "default", "leader") // it is there: somebody has its lock
			if c.holderNow() != "" {
				_ = ws.WatchCtx(ctx)
			}
			continue
		}
		c.won(id, v.Lock.Fence, before.Add(ttl))
		for range rng.IntN(4) {
			time.Sleep(upTo(rng, ttl-time.Millisecond))
			before = time.Now()
			if err := c.timers.Load().Renew(v); err == nil {
				c.renewed(before.Add(ttl))
			} else if nomadish.KindOf(err) != nomadish.KindNoLeader {
				c.t.Errorf("%s renewed in time: %v", id, err)
			}
			if !c.write(v.Lock.Fence) {
				c.t.Errorf("%s holds the lock and can't write", id)
			}
		}
		if rng.IntN(4) == 0 { // it hangs, and does not notice how long
			time.Sleep(3*ttl + upTo(rng, 3*ttl))
			c.mu.Lock()
			c.expiries++
			c.mu.Unlock()
			c.write(v.Lock.Fence)
			continue
		}
		c.released(id)
		c.release("leader", id)
	}
}

func upTo(rng *rand.Rand, d time.Duration) time.Duration { return time.Duration(rng.Int64N(int64(d))) }

func (c *contention) holderNow() string { return c.world.holder("leader") }

// replace changes the leader now and then.
func (c *contention) replace(ctx context.Context, rng *rand.Rand) {
	for ctx.Err() == nil {
		timers := c.world.timers()
		end := c.lead(timers)
		c.timers.Store(timers)
		select {
		case <-ctx.Done():
		case <-time.After(upTo(rng, 20*time.Minute)):
		}
		end()
	}
}

// Of many contenders that release their lock, lose it or hang while the leader changes, no two
// are ever given the same fence, fences only rise, and no two hold the lock at once by their
// own clocks. NOMADISH_LOCK_ROUNDS sets how often the lock is given.
func TestContention(t *testing.T) {
	rounds := 500
	if os.Getenv("NOMADISH_SOAK") != "" {
		rounds = 10_000
	}
	const seed = 7
	synctest.Test(t, func(t *testing.T) {
		c := &contention{world: newWorld(t), rounds: rounds, fences: map[uint64]string{}}
		ctx, cancel := context.WithCancel(t.Context())
		var contenders, leader sync.WaitGroup
		leader.Go(func() { c.replace(ctx, rand.New(rand.NewPCG(seed, 0))) })
		synctest.Wait()
		for i := range 32 {
			contenders.Go(func() { c.contend(ctx, fmt.Sprint("c", i), rand.New(rand.NewPCG(seed, uint64(i+1)))) })
		}
		contenders.Wait()
		cancel()
		leader.Wait()
		t.Logf("%d rounds, %d expiries, %d late writes refused", c.round, c.expiries, c.late)
		if c.expiries == 0 || c.late == 0 {
			t.Error("nobody lost the lock, or nobody was late: the test shows nothing")
		}
	})
}
