package server_test

import (
	"testing"
	"testing/synctest"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/servertest"
)

// A leader that is to be removed hands over first, so that who is left goes on at once, also if the removed
// one loses its power at that moment: of three servers, and of two. The last one can't be asked to hand over.
func TestLeaderIsRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, 1)
		for left := 2; left > 0; left-- {
			old := c.awaitLeader(t, nil)
			if err := old.now.Load().RemoveRaftPeer(t.Context(), old.id); nomadish.KindOf(err) != nomadish.KindNoLeader {
				t.Fatalf("the leader was asked to remove itself: %v, want to be sent to the next one", err)
			}
			next := c.awaitLeader(t, old)
			if err := next.now.Load().RemoveRaftPeer(t.Context(), old.id); err != nil {
				t.Fatal(err)
			}
			c.kill(t, old)
			servertest.Eventually(t, "whoever is left to write", func() error {
				_, _, err := c.awaitLeader(t, old).now.Load().Endpoint().RegisterJob(t.Context(), &nomadish.JobRegisterRequest{Job: newJob("after-"+old.id, 0)})
				return err
			})
			if got := len(next.now.Load().Consensus().Peers()); got != left {
				t.Errorf("%d servers, want %d", got, left)
			}
		}
	})
}
