package liveness_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nomadish/nomadish/nomadish/lifecycle"
)

// fleet is nodes that renew their leases as real ones do, and go over to other servers when theirs is
// off, or says that another has fewer sessions.
type fleet struct {
	*site
	rng   *rand.Rand // guarded by site.mu
	moves []time.Time
}

func newFleet(t *testing.T, nodes int) *fleet {
	f := &fleet{site: newStillSite(t, nodes), rng: rand.New(rand.NewPCG(1, 2))}
	f.run(t, func(ctx context.Context) error {
		var wg sync.WaitGroup
		for i := range nodes {
			wg.Go(func() { f.live(ctx, fmt.Sprint("n", i)) })
		}
		wg.Wait()
		return nil
	})
	return f
}

// some is a time of up to d.
func (f *fleet) some(d time.Duration) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return time.Duration(f.rng.Int64N(int64(d)))
}

// live is a node's life: it looks each second whether its server answers.
func (f *fleet) live(ctx context.Context, node string) {
	var renew time.Time
	for lifecycle.Sleep(ctx, time.Second) == nil {
		f.mu.Lock()
		server := f.holders[node]
		if f.off[server] {
			for f.off[server] {
				server = fmt.Sprint("s", f.rng.IntN(3))
			}
			f.holders[node] = server
			delete(f.leaving, node)
			f.leases[server].Began(node)
			renew = time.Time{}
		}
		l := f.leases[server]
		f.mu.Unlock()
		if time.Now().Before(renew) || !l.InTouch() {
			continue
		}
		ttl := l.Renew(node)
		renew = time.Now().Add(ttl/2 + f.some(ttl/4))
		if to := l.Elsewhere(node); to != "" {
			f.move(ctx, node, server, to)
		}
	}
}

// move has the new session stand for two seconds before the old one ends.
func (f *fleet) move(ctx context.Context, node, from, to string) {
	if lifecycle.Sleep(ctx, f.some(5*time.Second)) != nil {
		return
	}
	f.mu.Lock()
	stay := f.off[to] || f.off[from] || f.holders[node] != from
	if !stay {
		f.holders[node], f.leaving[node] = to, from
		f.moves = append(f.moves, time.Now())
		f.leases[to].Began(node)
	}
	f.mu.Unlock()
	if stay || lifecycle.Sleep(ctx, 2*time.Second) != nil {
		return
	}
	f.mu.Lock()
	delete(f.leaving, node)
	f.mu.Unlock()
	f.leases[from].Ended(node, "closed")
}

// counts returns how many nodes have sessions with each server.
func (f *fleet) counts() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := map[string]int{"s0": 0, "s1": 0, "s2": 0}
	for _, server := range f.holders {
		out[server]++
	}
	return out
}

// restart has a server gone for some seconds. What it knew is gone for good.
func (f *fleet) restart(id string, d time.Duration) {
	f.mu.Lock()
	f.off[id] = true
	f.mu.Unlock()
	time.Sleep(d)
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.off, id)
}

// roll restarts the servers one after the other, the leader last.
func (f *fleet) roll(t *testing.T) {
	stop := f.lead(t, "s0")
	time.Sleep(30 * time.Second)
	for _, id := range []string{"s2", "s1"} {
		f.restart(id, 5*time.Second)
		time.Sleep(8 * time.Second)
	}
	stop()
	f.mu.Lock()
	f.off["s0"] = true
	f.mu.Unlock()
	time.Sleep(time.Second)
	f.lead(t, "s1")
	f.restart("s0", 5*time.Second)
}

// After a restart of all servers one after the other, each comes to have its share of the nodes: within
// a fifth of it, at a bounded pace, and nobody is taken for down by that. Then nobody moves any more.
func TestSessionsEvenOut(t *testing.T) {
	for _, nodes := range []int{6, 40, 200} {
		t.Run(fmt.Sprint(nodes), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, nodes)
				f.roll(t)
				if n := f.counts()["s0"]; n > nodes/10 {
					t.Fatalf("after its restart s0 has %d nodes: nothing is left to test", n)
				}
				time.Sleep(5 * time.Minute)
				checkEven(t, f, nodes)
				f.mu.Lock()
				moved := len(f.moves)
				f.mu.Unlock()
				time.Sleep(10 * time.Minute)
				checkEven(t, f, nodes)
				f.mu.Lock()
				defer f.mu.Unlock()
				if len(f.moves) > moved+1 {
					t.Errorf("%d nodes moved between servers that have their shares", len(f.moves)-moved)
				}
				checkPace(t, f.moves, nodes)
			})
		})
	}
}

func checkEven(t *testing.T, f *fleet, nodes int) {
	t.Helper()
	for server, n := range f.counts() {
		if 15*n < 4*nodes || 15*n > 6*nodes {
			t.Errorf("%s has %d of %d nodes, want a third of them but for a fifth of that: %v", server, n, nodes, f.counts())
		}
	}
	if down, why := f.gone(); len(down) != 0 {
		t.Errorf("down are %v (%v), want none", down, why)
	}
}

// checkPace wants no ten seconds in which more moved than a hundredth of the nodes, and at least one, of
// each server in each second, and five seconds in which those of before spread.
func checkPace(t *testing.T, moves []time.Time, nodes int) {
	t.Helper()
	most := 3 * 15 * max(1, nodes/100)
	for i := range moves {
		n := 0
		for _, at := range moves[i:] {
			if at.Sub(moves[i]) < 10*time.Second {
				n++
			}
		}
		if n > most {
			t.Errorf("%d nodes moved within 10s, want at most %d", n, most)
			return
		}
	}
}

// Nobody moves while a server is away or nodes are silent, however uneven it is; when that is over, they do.
func TestNobodyMovesInTrouble(t *testing.T) {
	for name, trouble := range map[string]func(f *fleet){
		"a server is away": func(f *fleet) { f.off["s0"] = true },
		"nodes are silent": func(f *fleet) {
			for _, node := range slices.Sorted(maps.Keys(f.holders))[:12] {
				f.near[node], f.silent[node] = true, time.Now() // neighbours keep them from being taken for down
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, 60)
				f.lead(t, "s1")
				time.Sleep(30 * time.Second)
				f.mu.Lock()
				trouble(f)
				f.mu.Unlock()
				time.Sleep(8 * time.Second) // those that were told to move before have done so
				f.mu.Lock()
				for node := range f.holders {
					f.holders[node] = "s2" // all with one server
				}
				f.moves = nil
				f.mu.Unlock()
				time.Sleep(8 * time.Second)
				f.mu.Lock()
				if len(f.moves) > 0 {
					t.Errorf("%d nodes moved", len(f.moves))
				}
				delete(f.off, "s0")
				clear(f.silent)
				f.mu.Unlock()
				time.Sleep(3 * time.Minute)
				checkEven(t, f, 60)
			})
		})
	}
}
