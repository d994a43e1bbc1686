//go:build linux && faults

package cluster

import (
	"context"
	"errors"
	"testing"
)

// A server that was away for so long that it was removed is taken back when it is there again.
func TestRemovedServerComesBack(t *testing.T) {
	lab := newLab(t, cluster(0)...)
	leader, err := lab.Leader(testContext(t))
	must(t, err)
	dead := lab.Others(leader)[0]
	must(t, dead.Kill())
	must(t, until(testContext(t), "it is removed", func(ctx context.Context) error {
		c, err := leader.API.Operator().RaftConfiguration(ctx, nil)
		if err == nil && len(c.Servers) > 2 {
			err = errors.New("it is there")
		}
		return err
	}))
	must(t, dead.Start())
	must(t, lab.Ready(testContext(t)))
}
