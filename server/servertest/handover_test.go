package servertest_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/servertest"
)

// A server that does not take over when it is asked, since nothing reaches it, costs the leader nothing: it
// leads on, and leads again after it has lost the lead, however often it has asked.
func TestHandOverInVain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := servertest.StartWith(t, servertest.Options{Seed: 1, Delay: time.Millisecond})
		leader := c.Leader(t)
		var silent *servertest.Server
		for _, s := range c.Servers() {
			if s != leader {
				silent = s
			}
		}
		c.Disconnect(silent)
		for i := range 4 {
			if _, err := leader.Propose(t.Context(), &fsm.RegisterJob{Job: job("web", string(rune('a'+i)))}); err != nil {
				t.Fatalf("after %d attempts: %v", i, err)
			}
			if err := leader.Consensus().TransferLeadership(t.Context(), silent.ID); err == nil {
				t.Fatal("a server that is cut off took the lead")
			}
		}
		c.Disconnect(leader)
		time.Sleep(2 * time.Second)
		c.Connect(leader)
		servertest.Eventually(t, "the first leader to lead again, and write", func() error {
			if now := c.Leader(t); now != leader {
				if err := now.Consensus().TransferLeadership(t.Context(), leader.ID); err != nil {
					return err
				}
			}
			_, err := leader.Propose(t.Context(), &fsm.RegisterJob{Job: job("web", "z")})
			return err
		})
		c.Connect(silent)
	})
}

// Who is not named is the one that can lead at once: never a server that is cut off, or behind.
func TestHandOverToTheBest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := servertest.StartWith(t, servertest.Options{Seed: 1, Delay: time.Millisecond})
		for round := range 6 {
			leader := c.Leader(t)
			away := c.Servers()[round%3]
			if away == leader {
				away = c.Servers()[(round+1)%3]
			}
			c.Disconnect(away)
			if _, err := leader.Propose(t.Context(), &fsm.RegisterJob{Job: job("web", string(rune('a'+round)))}); err != nil {
				t.Fatal(err)
			}
			if err := leader.Consensus().TransferLeadership(t.Context(), ""); err != nil {
				t.Fatal(err)
			}
			if next := c.Leader(t, leader); next == away {
				t.Errorf("%s leads, which was cut off", next.ID)
			}
			c.Connect(away)
			converged(t, c)
		}
	})
}
