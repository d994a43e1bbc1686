//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/nomadish/nomadish/e2e/machine"
	"github.com/nomadish/nomadish/nomadish"
)

// isolated measures plain processes in containers without an image.
func (b *bench) isolated(ctx context.Context) error {
	return b.with(ctx, "isolated", machine.Config{}, func(ctx context.Context, n *machine.Node) error {
		if err := errors.Join(n.Start(), n.Ready(ctx)); err != nil {
			return err
		}
		sleep := func(id string) *nomadish.Job {
			job := machine.Job(id, nomadish.JobTypeService, "exec", machine.Command("/bin/sleep", "100000"))
			job.TaskGroups[0].Tasks[0].KillTimeout = nomadish.Ptr(time.Millisecond) // the first process hears no signal
			return job
		}
		if _, err := submit(ctx, n, 1, func(string) *nomadish.Job { return sleep("first") }); err != nil {
			return err
		}
		before, err := used(n)
		if err != nil {
			return err
		}
		took, err := submit(ctx, n, 2*starts, sleep)
		if err != nil {
			return err
		}
		after, err := used(n)
		b.add(fmt.Sprintf("exec, submit to running, %d jobs: p50", 2*starts), ms(percentile(took, 50)), 250, "ms")
		b.add("  CPU of all per start", (after-before).Seconds()/(2*starts), 0.1, "s")
		return err
	})
}

// used is the CPU time of all the node's processes, with that of those that have ended.
func used(n *machine.Node) (sum time.Duration, err error) {
	all, err := n.Processes()
	if err != nil {
		return 0, err
	}
	for _, p := range all {
		t, err := machine.CPUTimeWithChildren(p.PID)
		if err != nil {
			return 0, err
		}
		sum += t
	}
	return sum, nil
}

// atOnce measures the start of many containers together.
func (b *bench) atOnce(ctx context.Context, n *machine.Node, job *nomadish.Job) error {
	const count = 20
	job.TaskGroups[0].Count = nomadish.Ptr(count)
	begin := time.Now()
	if _, err := n.Register(ctx, job); err != nil {
		return err
	}
	if err := machine.Until(ctx, "all containers run", func(ctx context.Context) error {
		allocs, _, err := n.API.Jobs().Allocations(ctx, *job.ID, false, nil)
		if err != nil {
			return err
		}
		run := slices.DeleteFunc(allocs, func(a *nomadish.AllocationListStub) bool { return a.ClientStatus != nomadish.AllocClientRunning })
		if len(run) != count {
			return fmt.Errorf("%d run", len(run))
		}
		return nil
	}); err != nil {
		return err
	}
	b.add(fmt.Sprintf("  %d containers at once, submit to all running", count), ms(time.Since(begin)), 2000, "ms")
	return n.Stopped(ctx, *job.ID, true)
}

// together measures what further tasks of an allocation cost its shim.
func (b *bench) together(ctx context.Context, n *machine.Node, job *nomadish.Job, alone int64) error {
	const further = 8
	group := job.TaskGroups[0]
	for i := range further {
		task := *group.Tasks[0]
		task.Name, task.Config = fmt.Sprintf("further-%d", i), maps.Clone(task.Config)
		task.Config["args"] = []any{"-every", "1h", "-record", task.Name}
		group.Tasks = append(group.Tasks, &task)
	}
	if _, err := n.Register(ctx, job); err != nil {
		return err
	}
	if err := runs(ctx, n, *job.ID); err != nil {
		return err
	}
	a, err := n.Allocation(ctx, *job.ID, nomadish.AllocClientRunning)
	if err != nil {
		return err
	}
	var pids []int
	if err := machine.Until(ctx, "all its tasks run", func(context.Context) error {
		if pids, err = n.TaskPIDs(a.ID); err != nil || len(pids) != 1+further {
			return errors.Join(err, fmt.Errorf("%d processes", len(pids)))
		}
		return nil
	}); err != nil {
		return err
	}
	if err := wait(ctx, time.Second); err != nil { // runc's last words to the shim
		return err
	}
	shim, err := n.Shim(pids[0])
	if err != nil {
		return err
	}
	private, err := machine.PrivateMemory(shim)
	b.add("  private memory of a helper, per further task", float64(private-alone)/further/(1<<20), 1.001, "MiB")
	return errors.Join(err, n.Stopped(ctx, *job.ID, true))
}
