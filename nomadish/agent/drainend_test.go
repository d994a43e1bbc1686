package agent_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/agent"
	"github.com/nomadish/nomadish/nomadish/api"
)

// An agent that is to empty its node before it ends does: what ran there has ended, and the node
// takes nothing new until somebody says so.
func TestDrainAtEnd(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cfg := config(t, forever)
	cfg.DrainAtEnd = &agent.DrainAtEnd{
		Spec: nomadish.DrainSpec{Deadline: time.Second}, When: func(cause error) bool { return errors.Is(cause, context.Canceled) },
	}
	allocs := func(ctx context.Context, c *api.Client) (status string, err error) {
		all, _, err := c.Jobs().Allocations(ctx, "web", false, nil)
		if err != nil || len(all) == 0 {
			return "", errors.Join(err, errors.New("there is no allocation"))
		}
		return all[0].ClientStatus, nil
	}
	err := agent.With(ctx, cfg, func(ctx context.Context, c *api.Client) error {
		j := job("web")
		j.Type = nomadish.Ptr(nomadish.JobTypeService)
		err := until(ctx, func() error { // there may be no leader yet
			_, err := c.Jobs().Register(ctx, &nomadish.JobRegisterRequest{Job: j})
			return err
		})
		if err != nil {
			return err
		}
		return until(ctx, func() error {
			if status, err := allocs(ctx, c); err != nil || status != nomadish.AllocClientRunning {
				return errors.Join(err, errors.New("it does not run yet"))
			}
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	cfg.DrainAtEnd = nil
	err = agent.With(ctx, cfg, func(ctx context.Context, c *api.Client) error {
		n, err := oneNode(ctx, c)
		if err != nil {
			return err
		}
		status, err := allocs(ctx, c)
		if status != nomadish.AllocClientComplete || n.LastDrain == nil || n.SchedulingEligibility != nomadish.NodeIneligible {
			t.Errorf("allocation %s, last drain %v, node %s; want it complete, drained and ineligible", status, n.LastDrain, n.SchedulingEligibility)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
