//go:build linux

package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/nomadish/nomadish/e2e/machine"
	"github.com/nomadish/nomadish/nomadish"
)

// A driver that was enabled and is not any more runs nothing: not what an earlier agent left
// to be restarted, not a job that is registered again or changed, and not an earlier version.
func TestDisabledDriverStaysDisabled(t *testing.T) {
	n := newNode(t, machine.Config{})
	ctx := testContext(t)
	job := func(version string) *nomadish.Job {
		j := machine.Shell("plain", nomadish.JobTypeService, "exec sleep 1000")
		j.Meta = map[string]string{"version": version}
		j.TaskGroups[0].RestartPolicy.Attempts = nomadish.Ptr(10)
		j.TaskGroups[0].ReschedulePolicy = &nomadish.ReschedulePolicy{
			Unlimited: nomadish.Ptr(true), Delay: nomadish.Ptr(5 * time.Second), DelayFunction: nomadish.Ptr("constant"),
		}
		return j
	}
	var before map[string][]int
	for _, version := range []string{"0", "1"} {
		resp, err := n.Register(ctx, job(version))
		must(t, err)
		must(t, machine.Until(ctx, "version "+version+" runs alone", func(ctx context.Context) error {
			a, err := n.Allocation(ctx, "plain", nomadish.AllocClientRunning)
			if err != nil {
				return err
			}
			if before, err = n.AllTaskPIDs(); err != nil || len(before) != 1 || a.CreateIndex < resp.JobModifyIndex {
				err = errors.Join(err, fmt.Errorf("processes %v, newest %s", before, a.ID))
			}
			return err
		}))
	}

	must(t, n.Kill())
	must(t, n.Reconfigure(map[string]any{"plugin": map[string]any{"raw_exec": map[string]any{"config": map[string]any{"enabled": false}}}}))
	for _, pid := range pids(before) { // its next start would be this agent's
		must(t, syscall.Kill(pid, syscall.SIGKILL))
	}
	restart(t, n)
	node, err := n.NodeID(ctx)
	must(t, err)
	must(t, machine.Until(ctx, "the node has no such driver", func(ctx context.Context) error {
		info, _, err := n.API.Nodes().Node(ctx, node, nil)
		if err == nil && info.Drivers["raw_exec"] != nil && info.Drivers["raw_exec"].Detected {
			err = errors.New("it is detected")
		}
		return err
	}))
	steps := []struct {
		name string
		call func() error
	}{
		{"restart", func() error { return nil }},
		{"register unchanged", func() error { _, err := n.Register(ctx, job("1")); return err }},
		{"register changed", func() error { _, err := n.Register(ctx, job("2")); return err }},
		{"revert", func() error {
			_, err := n.API.Jobs().Revert(ctx, &nomadish.JobRevertRequest{JobID: "plain", JobVersion: 0})
			return err
		}},
	}
	for _, step := range steps {
		must(t, step.call())
		must(t, machine.Until(ctx, step.name+" is evaluated", func(ctx context.Context) error { return evaluated(ctx, n, "plain") }))
		if left, err := n.AllTaskPIDs(); err != nil || len(left) > 0 {
			t.Errorf("after %s: processes %v, %v", step.name, left, err)
		}
	}
	must(t, n.Stopped(ctx, "plain", true))
	must(t, machine.Until(ctx, "nothing is left", func(context.Context) error { return n.Left() }))
}

// evaluated returns nil when no evaluation of a job is on its way and none of its allocations
// may still start something.
func evaluated(ctx context.Context, n *machine.Node, jobID string) error {
	evals, _, err := n.API.Jobs().Evaluations(ctx, jobID, nil)
	if err != nil {
		return err
	}
	if i := slices.IndexFunc(evals, func(e *nomadish.Evaluation) bool {
		return e.Status == nomadish.EvalStatusPending && e.WaitUntil.IsZero()
	}); i >= 0 {
		return fmt.Errorf("evaluation %s is pending", evals[i].ID)
	}
	allocs, _, err := n.API.Jobs().Allocations(ctx, jobID, false, nil)
	if err != nil {
		return err
	}
	for _, a := range allocs {
		if a.ClientStatus == nomadish.AllocClientPending || a.ClientStatus == nomadish.AllocClientRunning {
			return fmt.Errorf("allocation %s is %s, events %v", a.ID, a.ClientStatus, machine.Events(a))
		}
	}
	return nil
}
