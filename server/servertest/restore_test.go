package servertest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/consensus"
	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/servertest"
	"github.com/nomadish/nomadish/server/state"
)

func saved(t testing.TB, r state.Reader) *state.Store {
	t.Helper()
	var b bytes.Buffer
	if err := r.WriteSnapshot(&b); err != nil {
		t.Fatal(err)
	}
	store, err := state.ReadSnapshot(&b)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// jobIDs returns what is in the state.
func jobIDs(r state.Reader) (ids []string) {
	for j := range r.Jobs(nil, "default") {
		ids = append(ids, nomadish.Val(j.ID))
	}
	return ids
}

func put(t testing.TB, s *servertest.Server, id string) uint64 {
	t.Helper()
	res, err := s.Propose(t.Context(), &fsm.RegisterJob{Job: job(id, "1")})
	if err != nil {
		t.Fatal(err)
	}
	return res.Index
}

// A restored state is on all servers when Restore returns, and for who comes later or was away; indexes
// go on, writes too, and all of it survives a restart.
func TestRestore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := servertest.StartWith(t, servertest.Options{Servers: 3, Spares: 1})
		leader := c.Leader(t)
		put(t, leader, "kept")
		old := saved(t, leader.State())
		before := put(t, leader, "gone")
		var away *servertest.Server
		for _, s := range c.Servers()[:3] {
			if s != leader {
				away = s
			}
		}
		c.Kill(t, away)

		index, err := leader.Consensus().Restore(t.Context(), old)
		if err != nil {
			t.Fatal(err)
		}
		if index <= before {
			t.Errorf("index %d after %d", index, before)
		}
		r, err := leader.Read(t.Context())
		if err != nil || r.Index() < index || r.Restored() <= before || r.TableIndex(state.TableNodes) <= before {
			t.Errorf("state is at %d, restored at %d, its nodes changed at %d, %v; want all past %d", r.Index(), r.Restored(), r.TableIndex(state.TableNodes), err, before)
		}
		if got := fmt.Sprint(jobIDs(r)); got != "[kept]" {
			t.Errorf("jobs %s, want the one that was saved", got)
		}
		put(t, leader, "new")
		c.Restart(t, away)
		if err := leader.Consensus().AddVoter(t.Context(), c.Servers()[3].ID); err != nil {
			t.Fatal(err)
		}
		converged(t, c)

		for _, s := range c.Servers() {
			c.Kill(t, s)
		}
		for _, s := range c.Servers() {
			c.Restart(t, s)
		}
		servertest.Eventually(t, "the restored state", func() error {
			r, err := c.Leader(t).Read(t.Context())
			if err != nil {
				return err
			}
			if got := fmt.Sprint(jobIDs(r)); got != "[kept new]" {
				return fmt.Errorf("jobs %s", got)
			}
			return nil
		})
		converged(t, c)
	})
}

// While a state is restored no write is lost that is acknowledged after it, reads never show the old state
// after the new one, and what the leader runs begins again.
func TestRestoreUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := servertest.StartWith(t, servertest.Options{Servers: 3, Delay: 2 * time.Millisecond})
		leader := c.Leader(t)
		put(t, leader, "kept")
		old := saved(t, leader.State())
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var parts sync.WaitGroup
		defer parts.Wait()
		runs := make(chan uint64, 64)
		parts.Go(func() {
			_ = leader.Consensus().Lead(ctx, func(ctx context.Context, term uint64) error {
				runs <- term
				<-ctx.Done()
				return nil
			})
		})
		<-runs
		put(t, leader, "gone")
		acknowledged := make(chan string, 4096)
		parts.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				id := fmt.Sprintf("load-%04d", i)
				if _, err := leader.Propose(ctx, &fsm.RegisterJob{Job: job(id, "1")}); err == nil {
					acknowledged <- id
				}
				time.Sleep(time.Millisecond)
			}
		})
		restored := false
		parts.Go(func() {
			for ctx.Err() == nil {
				r, err := leader.Read(ctx)
				if err == nil {
					there, _ := r.Job(nil, "default", "gone")
					if there != nil && restored {
						t.Error("the state of before is read after the restored one")
					}
					restored = there == nil
				}
				time.Sleep(time.Millisecond)
			}
		})
		time.Sleep(50 * time.Millisecond)
		if _, err := leader.Consensus().Restore(t.Context(), old); err != nil {
			t.Fatal(err)
		}
		for len(acknowledged) > 0 {
			<-acknowledged
		}
		<-runs // the leader's parts run again
		time.Sleep(50 * time.Millisecond)
		cancel()
		parts.Wait()
		close(acknowledged)
		n := 0
		for id := range acknowledged {
			n++
			if there, err := leader.State().Job(nil, "default", id); err != nil || there == nil {
				t.Errorf("%s was acknowledged after the restore, and is not there", id)
			}
		}
		if n == 0 {
			t.Error("nothing was acknowledged after the restore")
		}
	})
}

// Followers restore nothing, and two states are not restored at once.
func TestRestoreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := servertest.Start(t, 3)
		leader := c.Leader(t)
		put(t, leader, "web")
		for _, s := range c.Servers() {
			if s == leader {
				continue
			}
			if _, err := s.Consensus().Restore(t.Context(), saved(t, leader.State())); nomadish.KindOf(err) != nomadish.KindNoLeader {
				t.Errorf("%s: %v, want KindNoLeader", s.ID, err)
			}
			c.Disconnect(s)
		}
		// Without a majority it is not known what will be.
		_, err := leader.Consensus().Restore(t.Context(), saved(t, leader.State()))
		if err == nil {
			t.Error("restored without a majority")
		}
		if errors.Is(err, consensus.ErrUnknownOutcome) == (nomadish.KindOf(err) == nomadish.KindNoLeader) {
			t.Errorf("%v: want either that it is not known, or that there is no leader", err)
		}
	})
}
