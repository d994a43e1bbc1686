package servertest_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nomadish/nomadish/nomadish"
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
