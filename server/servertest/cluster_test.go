package servertest_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/consensus"
	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/servertest"
)

func job(id, value string) *nomadish.Job {
	return &nomadish.Job{
		ID: nomadish.Ptr(id), Name: nomadish.Ptr(id), Namespace: nomadish.Ptr("default"),
		Type: nomadish.Ptr("service"), Meta: map[string]string{"value": value},
	}
}

// converged waits until all servers have applied the same and have the same state.
func converged(t testing.TB, c *servertest.Cluster) {
	t.Helper()
	servertest.Eventually(t, "the same state on all servers", func() error {
		want := c.Servers()[0].State()
		for _, s := range c.Servers()[1:] {
			got := s.State()
			if got.Index() != want.Index() || got.Hash() != want.Hash() {
				return fmt.Errorf("%s: index %d hash %s; s1: index %d hash %s", s.ID, got.Index(), got.Hash(), want.Index(), want.Hash())
			}
		}
		return nil
	})
}

// A job that was acknowledged is known to the next leader, and to the old one when it is back.
func TestJobSurvivesLeaderLoss(t *testing.T) {
	for name, lose := range map[string]func(*testing.T, *servertest.Cluster, *servertest.Server) (back func()){
		"cut off": func(t *testing.T, c *servertest.Cluster, s *servertest.Server) func() {
			c.Disconnect(s)
			return func() { c.Connect(s) }
		},
		"power cut": func(t *testing.T, c *servertest.Cluster, s *servertest.Server) func() {
			c.Kill(t, s)
			return func() { c.Restart(t, s) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := servertest.Start(t, 3)
				old := c.Leader(t)
				if _, err := old.Propose(t.Context(), &fsm.RegisterJob{Job: job("web", "1")}); err != nil {
					t.Fatal(err)
				}
				back := lose(t, c, old)
				lost := time.Now()
				next := c.Leader(t, old)
				t.Logf("next leader after %s", time.Since(lost))
				r, err := next.Read(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if _, err := r.Job(nil, "default", "web"); err != nil {
					t.Error(err)
				}
				back()
				converged(t, c)
			})
		})
	}
}

// A server that is added gets everything, also what only a snapshot has; one that is removed gets no more.
func TestMembership(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := servertest.StartWith(t, servertest.Options{Spares: 1, Configure: func(c *consensus.Config) {
			c.SnapshotThreshold, c.TrailingEntries, c.SnapshotInterval = 20, 5, time.Second
			c.SegmentSize = 4 << 10
		}})
		leader := c.Leader(t)
		for i := range 100 {
			must(t, register(t, leader, fmt.Sprintf("job-%d", i)))
		}
		time.Sleep(5 * time.Second) // a snapshot is written
		spare := c.Servers()[3]
		must(t, leader.Consensus().AddNonvoter(t.Context(), spare.ID))
		converged(t, c)
		must(t, leader.Consensus().AddVoter(t.Context(), spare.ID))
		must(t, leader.Consensus().TransferLeadership(t.Context(), spare.ID))
		if next := c.Leader(t, leader); next != spare {
			t.Errorf("leader is %s after the transfer, want %s", next.ID, spare.ID)
		}
		must(t, spare.Consensus().RemoveServer(t.Context(), leader.ID))
		want := []consensus.Peer{{ID: "s1", Voter: true}, {ID: "s2", Voter: true}, {ID: "s3", Voter: true}, {ID: "s4", Voter: true}}
		want = slices.DeleteFunc(want, func(p consensus.Peer) bool { return p.ID == leader.ID })
		servertest.Eventually(t, "the new members", func() error {
			if diff := cmp.Diff(spare.Consensus().Peers(), want); diff != "" {
				return errors.New(diff)
			}
			return nil
		})
		must(t, register(t, c.Leader(t, leader), "last"))
	})
}

// What runs under Lead ends with the leadership, and begins on the next leader with everything applied.
func TestLead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := servertest.Start(t, 3)
		ctx, cancel := context.WithCancel(t.Context())
		var mu sync.Mutex
		leading := map[string]uint64{} // server: term
		var parts sync.WaitGroup
		for _, s := range c.Servers() {
			parts.Go(func() {
				err := s.Consensus().Lead(ctx, func(ctx context.Context, term uint64) error {
					mu.Lock()
					leading[s.ID] = term
					mu.Unlock()
					<-ctx.Done()
					mu.Lock()
					delete(leading, s.ID)
					mu.Unlock()
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		only := func(want *servertest.Server) func() error {
			return func() error {
				mu.Lock()
				defer mu.Unlock()
				if term, ok := leading[want.ID]; len(leading) != 1 || !ok || term != want.Consensus().Term() {
					return fmt.Errorf("leading: %v, want %s only", leading, want.ID)
				}
				return nil
			}
		}
		old := c.Leader(t)
		servertest.Eventually(t, "the leader to lead", only(old))
		c.Disconnect(old)
		servertest.Eventually(t, "the next one to lead", only(c.Leader(t, old)))
		c.Connect(old)
		cancel()
		parts.Wait()
		if len(leading) > 0 {
			t.Errorf("%v lead after the end", leading)
		}
	})
}

// A server that is no leader refuses, names the leader, and does nothing; a leader that is cut off
// refuses reads, and does not know what became of writes.
func TestRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := servertest.Start(t, 3)
		old := c.Leader(t)
		for _, s := range c.Servers() {
			if s == old {
				continue
			}
			_, proposed := s.Propose(t.Context(), &fsm.Barrier{})
			_, read := s.Read(t.Context())
			for _, err := range []error{proposed, read, s.Consensus().AddVoter(t.Context(), "s9")} {
				if nomadish.KindOf(err) != nomadish.KindNoLeader {
					t.Errorf("%s: %v, want no leader", s.ID, err)
				}
			}
		}
		c.Disconnect(old)
		_, err := old.Propose(t.Context(), &fsm.RegisterJob{Job: job("web", "1")})
		if !errors.Is(err, consensus.ErrUnknownOutcome) {
			t.Errorf("write when cut off: %v, want ErrUnknownOutcome", err)
		}
		if _, err := old.Read(t.Context()); nomadish.KindOf(err) != nomadish.KindNoLeader {
			t.Errorf("read when cut off: %v, want no leader", err)
		}
		c.Leader(t, old)
		c.Connect(old)
		converged(t, c)
	})
}

// A request that is made again is carried out once.
func TestRequestTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := servertest.Start(t, 3)
		command := &fsm.RegisterJob{Job: job("web", "1"), EnforceIndex: true}
		leader := c.Leader(t).Consensus()
		first, err := leader.ProposeRequest(t.Context(), "request", command)
		must(t, err)
		again, err := leader.ProposeRequest(t.Context(), "request", command)
		must(t, err)
		if diff := cmp.Diff(again, first); diff != "" {
			t.Errorf("answer to the second (-got +want):\n%s", diff)
		}
		if _, err := leader.Propose(t.Context(), command); nomadish.KindOf(err) != nomadish.KindConflict {
			t.Errorf("without the request's ID: %v, want a conflict", err)
		}
	})
}

func register(t testing.TB, s *servertest.Server, id string) error {
	_, err := s.Propose(t.Context(), &fsm.RegisterJob{Job: job(id, "1")})
	return err
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A leader that is removed leaves the lead to others and goes on as somebody who may only ask; when it is
// stopped, nothing of it is left: the bubble would not end.
func TestRemovedLeaderEndsWhenItIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := servertest.Start(t, 3)
		leader := c.Leader(t)
		if err := leader.Consensus().RemoveServer(t.Context(), leader.ID); err != nil {
			t.Fatal(err)
		}
		next := c.Leader(t, leader)
		if peers := next.Consensus().Peers(); len(peers) != 2 {
			t.Errorf("servers %v, want 2 of them", peers)
		}
		time.Sleep(2 * time.Second)
		if leader.Consensus().IsLeader() {
			t.Error("the removed server leads")
		}
	})
}

// What is lost on the way is sent again: it comes late, and in order.
func TestLossDelays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := servertest.NewNetwork(rand.New(rand.NewPCG(1, 1)), time.Millisecond)
		net.Disturb(time.Millisecond, 0.5)
		began, late := time.Now(), 0
		for range 100 {
			at := time.Now()
			if err := net.Pass(t.Context(), "a", "b"); err != nil {
				t.Fatal(err)
			}
			if time.Since(at) >= 200*time.Millisecond {
				late++
			}
		}
		if late < 20 || late > 80 {
			t.Errorf("%d of 100 messages came late, in %s", late, time.Since(began))
		}
	})
}

// Nothing leaves a frozen server and nothing reaches it, until it thaws.
func TestFrozenServerIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := servertest.NewNetwork(rand.New(rand.NewPCG(1, 1)), 0)
		net.Freeze("a")
		for _, way := range [][2]string{{"a", "b"}, {"b", "a"}} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if err := net.Pass(ctx, way[0], way[1]); err == nil {
				t.Errorf("a message went from %s to %s", way[0], way[1])
			}
			cancel()
		}
		time.AfterFunc(time.Second, func() { net.Thaw("a") })
		began := time.Now()
		if err := net.Pass(t.Context(), "a", "b"); err != nil || time.Since(began) != time.Second {
			t.Errorf("%v after %s, want the message after 1s", err, time.Since(began))
		}
	})
}
