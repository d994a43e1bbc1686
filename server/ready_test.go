package server_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

// A server has caught up when it has held all that was acknowledged, once since its start; what
// happens to the cluster later does not take that back.
func TestCaughtUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, 1)
		leader := c.awaitLeader(t, nil)
		if _, _, err := leader.now.Load().Endpoint().RegisterJob(t.Context(), &nomadish.JobRegisterRequest{Job: newJob("web", 1)}); err != nil {
			t.Fatal(err)
		}
		again := c.members[0]
		if again == leader {
			again = c.members[1]
		}
		c.kill(t, again)
		c.boot(t, again)
		s := again.now.Load()
		if err := s.CaughtUp(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.Endpoint().Job(t.Context(), nil, "default", "web"); err != nil {
			t.Errorf("it has caught up and knows no job: %v", err)
		}
		alone := (*member)(nil)
		for _, m := range c.members {
			if m == again {
				continue
			}
			c.kill(t, m)
			alone = m
		}
		if err := s.CaughtUp(t.Context()); err != nil {
			t.Errorf("without a leader: %v", err)
		}
		c.boot(t, alone)
		c.kill(t, again)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := alone.now.Load().CaughtUp(ctx); err == nil {
			t.Error("a server that has just started, without a quorum, has caught up with nothing")
		}
	})
}
