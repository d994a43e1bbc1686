package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/gossip"
)

// world is servers that see each other and reach each other only as far as it lets them.
type world struct {
	mu      sync.Mutex
	rng     *rand.Rand
	servers map[string]*founder
	loss    float64 // of offers, and of answers to them
	begun   [][]string
}

// founder is one server: its raft, its pool, and the part under test.
type founder struct {
	*Bootstrap
	w     *world
	id    string
	state bool
	sees  map[string]bool
	woken chan struct{}
}

func newWorld(seed uint64, loss float64) *world {
	return &world{rng: rand.New(rand.NewPCG(seed, 1)), servers: map[string]*founder{}, loss: loss}
}

func (w *world) add(id string, expect int) *founder {
	f := &founder{w: w, id: id, sees: map[string]bool{id: true}, woken: make(chan struct{})}
	f.Bootstrap = New(Config{ID: id, Region: "global", Expect: expect}, raftOf{f}, f, f.put)
	w.servers[id] = f
	return f
}

func (f *founder) HasState() bool {
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	return f.state
}

// Bootstrap notes the cluster, and soon its servers belong to it.
func (f *founder) begin(ids []string) {
	f.w.begun = append(f.w.begun, ids)
	for _, id := range ids {
		f.w.servers[id].state = true
	}
}

func (w *world) seen(f *founder, m *founder) gossip.Member {
	return gossip.Member{ID: m.id, Name: m.id, Region: "global", Status: gossip.StatusAlive, Expect: m.cfg.Expect, HasState: m.state}
}

func (f *founder) Members() []gossip.Member {
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	var all []gossip.Member
	for id := range f.sees {
		all = append(all, f.w.seen(f, f.w.servers[id]))
	}
	return all
}

func (f *founder) Changed() <-chan struct{} {
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	return f.woken
}

// show has a server see another one.
func (f *founder) show(id string) {
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	f.sees[id] = true
	close(f.woken)
	f.woken = make(chan struct{})
}

var errLost = errors.New("lost")

func (f *founder) put(ctx context.Context, id string, o *nomadish.BootstrapOffer) (*nomadish.BootstrapAnswer, error) {
	f.w.mu.Lock()
	to, lost, unheard := f.w.servers[id], f.w.rng.Float64() < f.w.loss, f.w.rng.Float64() < f.w.loss
	delay := time.Duration(f.w.rng.IntN(50)) * time.Millisecond
	f.w.mu.Unlock()
	select {
	case <-time.After(delay):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if lost {
		return nil, errLost
	}
	a := to.Offer(o)
	if unheard {
		return nil, errLost
	}
	return a, nil
}

// raftOf is the founder's raft.
type raftOf struct{ *founder }

func (r raftOf) Bootstrap(_ context.Context, ids []string) error {
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	r.begin(ids)
	return nil
}

// However servers come to see each other, and whatever is lost between them, they begin one cluster, and
// of those that would begin it differently only one does.
func TestOneClusterIsBegun(t *testing.T) {
	for _, tt := range []struct{ servers, expect int }{{3, 3}, {5, 5}, {5, 3}, {4, 3}} {
		for seed := range uint64(60) {
			t.Run(fmt.Sprintf("%d of %d/%d", tt.expect, tt.servers, seed), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { oneCluster(t, seed, tt.servers, tt.expect) })
			})
		}
	}
}

func oneCluster(t *testing.T, seed uint64, servers, expect int) {
	w := newWorld(seed, 0.3)
	ids := make([]string, servers)
	for i := range ids {
		ids[i] = fmt.Sprint("s", i)
		w.add(ids[i], expect)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for _, f := range w.servers {
		running.Go(func() {
			if err := f.Run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	pairs := make([][2]string, 0, servers*servers)
	for _, a := range ids {
		for _, b := range ids {
			pairs = append(pairs, [2]string{a, b})
		}
	}
	rng := rand.New(rand.NewPCG(seed, 2))
	rng.Shuffle(len(pairs), func(i, j int) { pairs[i], pairs[j] = pairs[j], pairs[i] })
	for _, p := range pairs {
		time.Sleep(time.Duration(rng.IntN(300)) * time.Millisecond)
		w.servers[p[0]].show(p[1])
	}
	time.Sleep(10 * time.Minute)
	cancel()
	running.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.begun) != 1 {
		t.Errorf("clusters %v, want one", w.begun)
	}
}

// A server that belongs to a cluster, and is seen by any of those that are asked, keeps another one from
// beginning a second.
func TestNoSecondCluster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(1, 0)
		for _, id := range []string{"s0", "s1", "s2", "s3"} {
			w.add(id, 3)
		}
		for id, f := range w.servers {
			for other := range w.servers {
				f.sees[other] = true
			}
			if id == "s0" {
				delete(f.sees, "s3")
			}
		}
		w.servers["s3"].state = true
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		for _, f := range w.servers {
			running.Go(func() {
				if err := f.Run(ctx); err != nil {
					t.Error(err)
				}
			})
		}
		time.Sleep(10 * time.Minute)
		cancel()
		running.Wait()
		if len(w.begun) > 0 {
			t.Errorf("clusters %v beside the one of s3", w.begun)
		}
	})
}

// Who waits for what is a reason that says which server, and why.
func TestWhatIsWaitedFor(t *testing.T) {
	member := func(id string, change func(*gossip.Member)) gossip.Member {
		m := gossip.Member{ID: id, Name: id, Region: "global", Status: gossip.StatusAlive, Expect: 3}
		if change != nil {
			change(&m)
		}
		return m
	}
	self := member("b", nil)
	for name, tt := range map[string]struct {
		members []gossip.Member
		ids     []string
		wait    string
	}{
		"alone":              {[]gossip.Member{self}, nil, "1 of 3 expected"},
		"all":                {[]gossip.Member{member("c", nil), self, member("a", nil)}, []string{"a", "b", "c"}, ""},
		"one more":           {[]gossip.Member{member("c", nil), self, member("a", nil), member("d", nil)}, []string{"a", "b", "c", "d"}, ""},
		"another region":     {[]gossip.Member{self, member("a", nil), member("c", func(m *gossip.Member) { m.Region = "west" })}, nil, "2 of 3"},
		"one without a vote": {[]gossip.Member{self, member("a", nil), member("c", func(m *gossip.Member) { m.Nonvoter, m.Expect = true, 0 })}, nil, "2 of 3"},
		"one that failed":    {[]gossip.Member{self, member("a", nil), member("c", func(m *gossip.Member) { m.Status = gossip.StatusFailed })}, nil, "2 of 3"},
		"a cluster":          {[]gossip.Member{self, member("a", nil), member("c", func(m *gossip.Member) { m.HasState = true })}, nil, "c.global belongs to a cluster"},
		"another number":     {[]gossip.Member{self, member("a", func(m *gossip.Member) { m.Expect = 5 })}, nil, "3 here and 5 on server a.global"},
	} {
		t.Run(name, func(t *testing.T) {
			ids, wait := candidates(Config{ID: "b", Region: "global", Expect: 3}, tt.members)
			if !slices.Equal(ids, tt.ids) || !strings.Contains(wait, tt.wait) || (wait == "") != (tt.wait == "") {
				t.Errorf("%v, %q; want %v, %q", ids, wait, tt.ids, tt.wait)
			}
		})
	}
}
