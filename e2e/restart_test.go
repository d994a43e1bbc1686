//go:build linux

package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/nomadish/nomadish/e2e/machine"
	"github.com/nomadish/nomadish/nomadish"
)

// writeFile makes an empty file, as a sign for a task.
func writeFile(path string) error { return os.WriteFile(path, nil, 0o600) }

// An agent that ends and one that is killed come back with all that was acknowledged:
// the same node, jobs, versions and allocations, and tasks with the processes that they had.
func TestAgentRestartKeepsJobsAndProcesses(t *testing.T) {
	n := newNode(t, machine.Config{})
	ctx := testContext(t)
	node, err := n.NodeID(ctx)
	must(t, err)
	job := machine.Shell("stays", nomadish.JobTypeService, "exec sleep 1000")
	job.TaskGroups[0].Count = nomadish.Ptr(2)
	_, err = n.Register(ctx, job)
	must(t, err)
	before := running(t, n, "stays", 2)
	for _, end := range []struct {
		name string
		call func() error
	}{{"stop", n.Stop}, {"kill", n.Kill}} {
		must(t, end.call())
		if got := processes(t, n, before); !slices.Equal(got, pids(before)) {
			t.Errorf("after %s, without an agent: processes %v, want %v", end.name, got, pids(before))
		}
		restart(t, n)
		if got, err := n.NodeID(ctx); err != nil || got != node {
			t.Errorf("after %s: node %s, %v; want %s", end.name, got, err, node)
		}
		if after := running(t, n, "stays", 2); fmt.Sprint(after) != fmt.Sprint(before) {
			t.Errorf("after %s: allocations and processes %v, want %v", end.name, after, before)
		}
	}
	must(t, n.Stopped(ctx, "stays", true))
	must(t, machine.Until(ctx, "nothing is left", func(context.Context) error { return n.Left() }))
}

// running returns the processes of a job's allocations when count of them run.
func running(t *testing.T, n *machine.Node, jobID string, count int) map[string][]int {
	t.Helper()
	found := map[string][]int{}
	must(t, machine.Until(testContext(t), fmt.Sprintf("%d allocations of %s run", count, jobID), func(ctx context.Context) error {
		clear(found)
		allocs, _, err := n.API.Jobs().Allocations(ctx, jobID, false, nil)
		if err != nil {
			return err
		}
		for _, a := range allocs {
			if a.ClientStatus != nomadish.AllocClientRunning {
				return fmt.Errorf("%s is %s", a.ID, a.ClientStatus)
			}
			if found[a.ID], err = n.TaskPIDs(a.ID); err != nil {
				return err
			}
		}
		if len(found) != count {
			return fmt.Errorf("there are %d", len(found))
		}
		return nil
	}))
	return found
}

func pids(allocs map[string][]int) []int {
	var all []int
	for _, p := range allocs {
		all = append(all, p...)
	}
	slices.Sort(all)
	return all
}

// processes returns the processes that the allocations have now.
func processes(t *testing.T, n *machine.Node, allocs map[string][]int) []int {
	t.Helper()
	now := map[string][]int{}
	for id := range allocs {
		var err error
		now[id], err = n.TaskPIDs(id)
		must(t, err)
	}
	return pids(now)
}

// How a task ended while no agent ran is reported by the next one, and what it wrote
// meanwhile is in its log.
func TestExitWithoutAnAgentIsReported(t *testing.T) {
	n := newNode(t, machine.Config{})
	ctx := testContext(t)
	_, err := n.Register(ctx, machine.Shell("ends", nomadish.JobTypeBatch,
		`echo before; while [ ! -e "$NOMAD_ALLOC_DIR/data/go" ]; do sleep 0.02; done; echo after; exit 7`))
	must(t, err)
	a, err := n.Allocation(ctx, "ends", nomadish.AllocClientRunning)
	must(t, err)
	must(t, n.Kill())
	must(t, writeFile(n.AllocFile(a.ID, "alloc/data/go")))
	must(t, machine.Until(ctx, "the task has ended", func(context.Context) error {
		if left, err := n.TaskPIDs(a.ID); err != nil || len(left) > 0 {
			return errors.Join(err, fmt.Errorf("processes %v", left))
		}
		return nil
	}))
	restart(t, n)
	ended, err := n.Allocation(ctx, "ends", nomadish.AllocClientComplete, nomadish.AllocClientFailed)
	must(t, err)
	if ended.ID != a.ID || ended.ClientStatus != nomadish.AllocClientFailed || fmt.Sprint(exitCodes(ended)) != "[7]" {
		t.Errorf("got %s %s with codes %v, want %s failed with 7; events %v",
			ended.ID, ended.ClientStatus, exitCodes(ended), a.ID, machine.Events(ended))
	}
	if out, err := n.Output(ctx, a.ID, machine.Task); err != nil || out != "before\nafter\n" {
		t.Errorf("output: got %q, %v", out, err)
	}
}
