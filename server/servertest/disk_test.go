package servertest_test

import (
	"errors"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/consensus"
	"github.com/nomadish/nomadish/server/consensus/vfs"
	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/servertest"
)

// A disk that fails ends the server with an error, and the others go on.
func TestDiskErrorEndsServer(t *testing.T) {
	for name, op := range map[string]vfs.Op{"write": vfs.OpWrite, "sync": vfs.OpSync} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { checkDiskError(t, op) })
		})
	}
}

func checkDiskError(t *testing.T, op vfs.Op) {
	c := servertest.Start(t, 3)
	old := c.Leader(t)
	var bad atomic.Bool
	c.Kill(t, old)
	old.SetHook(func(o vfs.Op, _ string) error {
		if bad.Load() && o == op {
			return syscall.EIO
		}
		return nil
	})
	c.Restart(t, old)
	c.Leader(t)
	servertest.Eventually(t, "the server with the bad disk to lead", func() error {
		leader := c.Leader(t)
		if leader == old {
			return nil
		}
		return leader.Consensus().TransferLeadership(t.Context(), old.ID)
	})
	bad.Store(true)
	_, err := old.Propose(t.Context(), &fsm.RegisterJob{Job: job("web", "1")})
	if !errors.Is(err, consensus.ErrUnknownOutcome) && nomadish.KindOf(err) != nomadish.KindNoLeader {
		t.Errorf("propose with a failing disk: %v, want ErrUnknownOutcome, or no leader if the disk was asked before", err)
	}
	if err := old.Wait(); !errors.Is(err, syscall.EIO) {
		t.Errorf("the server ended with %v, want EIO", err)
	}
	next := c.Leader(t, old)
	if _, err := next.Propose(t.Context(), &fsm.RegisterJob{Job: job("web", "2")}); err != nil {
		t.Error(err)
	}
	bad.Store(false)
	time.Sleep(time.Second)
	c.Restart(t, old)
	converged(t, c)
}
