package agent_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nomadish/nomadish/client"
	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/agent"
	"github.com/nomadish/nomadish/nomadish/api"
)

// forever is a task that runs until it is stopped.
func forever(ctx context.Context, _ *drivers.TaskSpec) int {
	<-ctx.Done()
	return 0
}

// until waits until look returns nil.
func until(ctx context.Context, look func() error) error {
	for {
		err := look()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// the one node that there is.
func oneNode(ctx context.Context, c *api.Client) (*nomadish.Node, error) {
	var id string
	err := until(ctx, func() error {
		all, _, err := c.Nodes().List(ctx, nil)
		if err == nil && len(all) != 1 {
			err = errors.New("there is no node yet")
		}
		if err == nil {
			id = all[0].ID
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	n, _, err := c.Nodes().Node(ctx, id, nil)
	return n, err
}

// A node's metadata can be set while it runs, holds over restarts, and can unset what the
// configuration says; constraints see it.
func TestNodeMetadata(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cfg := config(t, func(context.Context, *drivers.TaskSpec) int { return 0 })
	cfg.Client = &client.Config{Meta: map[string]string{"rack": "r1"}}
	err := agent.With(ctx, cfg, func(ctx context.Context, c *api.Client) error {
		n, err := oneNode(ctx, c)
		if err != nil {
			return err
		}
		got, err := c.Nodes().ApplyMetadata(ctx, &nomadish.NodeMetaApplyRequest{
			NodeID: n.ID, Meta: map[string]*string{"rack": nil, "stage": nomadish.Ptr("test"), "unknown": nil},
		})
		if err != nil {
			return err
		}
		if len(got.Dynamic) != 2 || got.Static["rack"] != "r1" || got.Meta["stage"] != "test" || got.Meta["rack"] != "" {
			t.Errorf("metadata is %+v", got)
		}
		_, err = c.Nodes().ApplyMetadata(ctx, &nomadish.NodeMetaApplyRequest{NodeID: n.ID, Meta: map[string]*string{"": nil}})
		if nomadish.KindOf(err) != nomadish.KindInvalid {
			t.Errorf("a key without a name: %v, want it to be refused", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	err = agent.With(ctx, cfg, func(ctx context.Context, c *api.Client) error {
		j := job("staged")
		j.Constraints = []*nomadish.Constraint{{LTarget: "${meta.stage}", Operand: "=", RTarget: "test"}}
		if err := c.Jobs().Finish(ctx, j); err != nil {
			return err
		}
		n, err := oneNode(ctx, c)
		if err != nil {
			return err
		}
		if n.Meta["stage"] != "test" || n.Meta["rack"] != "" {
			t.Errorf("the node's metadata after a restart: %v", n.Meta)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Draining a node with a deadline stops what runs there, also when there is room nowhere; the
// node stays ineligible and remembers the drain. When it is eligible again, the work is back.
func TestDrainNode(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err := agent.With(ctx, config(t, forever), func(ctx context.Context, c *api.Client) error {
		j := job("web")
		j.Type = nomadish.Ptr(nomadish.JobTypeService)
		err := until(ctx, func() error { // there may be no leader yet
			_, err := c.Jobs().Register(ctx, &nomadish.JobRegisterRequest{Job: j})
			return err
		})
		if err != nil {
			return err
		}
		running := func(want int) func() error {
			return func() error {
				allocs, _, err := c.Jobs().Allocations(ctx, "web", false, nil)
				got := 0
				for _, a := range allocs {
					if a.ClientStatus == nomadish.AllocClientRunning {
						got++
					}
				}
				if err == nil && got != want {
					err = errors.New("not as many allocations run as should")
				}
				return err
			}
		}
		if err := until(ctx, running(1)); err != nil {
			return err
		}
		n, err := oneNode(ctx, c)
		if err != nil {
			return err
		}
		_, err = c.Nodes().Drain(ctx, &nomadish.NodeDrainRequest{
			NodeID: n.ID, DrainSpec: &nomadish.DrainSpec{Deadline: -1}, Meta: map[string]string{"why": "disk"},
		})
		if err != nil {
			return err
		}
		err = until(ctx, func() error {
			if n, err = oneNode(ctx, c); err == nil && n.DrainStrategy != nil {
				err = errors.New("the drain goes on")
			}
			return err
		})
		if err != nil {
			return err
		}
		last := n.LastDrain
		if n.Drain || n.SchedulingEligibility != nomadish.NodeIneligible || last == nil || last.Status != nomadish.DrainComplete || last.Meta["why"] != "disk" {
			t.Errorf("after the drain: %v, %s, last %+v", n.Drain, n.SchedulingEligibility, last)
		}
		if err := running(0)(); err != nil {
			return err
		}
		if _, err := c.Nodes().Drain(ctx, &nomadish.NodeDrainRequest{NodeID: n.ID, MarkEligible: true}); err != nil {
			return err
		}
		if err := until(ctx, running(1)); err != nil {
			return err
		}
		if _, err := c.Jobs().Deregister(ctx, &nomadish.JobDeregisterRequest{JobID: "web"}); err != nil {
			return err
		}
		if err := until(ctx, running(0)); err != nil {
			return err
		}
		return c.Nodes().CollectGarbage(ctx, n.ID)
	})
	if err != nil {
		t.Fatal(err)
	}
}
