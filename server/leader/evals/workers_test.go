package evals

import (
	"slices"
	"testing"
	"testing/synctest"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/fsm"
)

// Without workers nothing is placed; once there are some, what has waited is, by those that
// schedule its type.
func TestSetWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		c.do(t, &fsm.RegisterNode{Node: testNode(1)})
		e := c.lead(t, Config{Workers: 2})
		placed := func() int {
			synctest.Wait()
			return len(slices.Collect(c.store.Reader().AllocationsByJob(nil, "default", "web")))
		}
		placed()
		e.SetWorkers(0, jobTypes)
		placed() // once the others are gone
		c.do(t, &fsm.RegisterJob{Job: testJob("web", 1, 10), Eval: &nomadish.Evaluation{
			ID: nomadish.NewID(), Namespace: "default", JobID: "web", Type: "service", Priority: 50, Status: nomadish.EvalStatusPending,
			TriggeredBy: nomadish.EvalTriggerJobRegister,
		}})
		if n := placed(); n != 0 {
			t.Errorf("%d placed without workers", n)
		}
		e.SetWorkers(3, []string{"batch"})
		if n := placed(); n != 0 {
			t.Errorf("%d placed by workers of another type", n)
		}
		e.SetWorkers(1, []string{"service"})
		if n := placed(); n != 1 {
			t.Errorf("%d placed, want 1", n)
		}
		if n, types := e.Workers(); n != 1 || !slices.Equal(types, []string{"service"}) {
			t.Errorf("%d workers for %v", n, types)
		}
		e.SetWorkers(1<<20, nil)
		if n, _ := e.Workers(); n != MaxWorkers {
			t.Errorf("%d workers, the bound is %d", n, MaxWorkers)
		}
	})
}
