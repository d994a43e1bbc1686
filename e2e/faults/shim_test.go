//go:build linux

package faults

import (
	"context"
	"fmt"
	"maps"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nomadish/nomadish/e2e/machine"
	"github.com/nomadish/nomadish/nomadish"
)

// A killed shim takes the tasks of its allocation with it, and no others: each of them is
// started again exactly once, nothing of the earlier ones runs on, and none runs twice.
func TestKilledShimRestartsItsAllocationOnce(t *testing.T) {
	w := newWorkload(t, seed(t))
	bystander := w.container("bystander", nomadish.JobTypeService, "-every", "1s")
	w.register(bystander)
	job := w.container("struck", nomadish.JobTypeService, "-every", "1s")
	group := job.TaskGroups[0]
	group.RestartPolicy = &nomadish.RestartPolicy{
		Attempts: nomadish.Ptr(1000), Mode: nomadish.Ptr("fail"), Interval: nomadish.Ptr(24 * time.Hour), Delay: nomadish.Ptr(time.Millisecond),
	}
	w.register(job)
	other := w.identity("bystander")
	a, err := w.node.Allocation(w.context(), "struck", nomadish.AllocClientRunning)
	w.must(err)
	rounds := often(3, 200)
	w.started(a.ID, 1)
	begin := time.Now()
	for round := range rounds {
		pid := w.onlyProcess(a.ID, 0, round)
		shim, err := w.node.Shim(pid)
		w.must(err)
		w.must(syscall.Kill(shim, syscall.SIGKILL))
		w.onlyProcess(a.ID, pid, round+1)
		w.started(a.ID, round+2)
	}
	t.Logf("%d shims killed in %s", rounds, time.Since(begin).Round(time.Second))
	if now := w.identity("bystander"); now != other {
		t.Errorf("the other allocation is %s, was %s", now, other)
	}
	w.must(w.node.Stopped(w.context(), "struck", true))
	w.must(w.node.Stopped(w.context(), "bystander", true))
	w.must(machine.Until(w.context(), "nothing is left", func(context.Context) error { return w.node.Left() }))
}

// onlyProcess returns the process of an allocation's task when there is one, it is not the
// earlier one, and the server knows of so many restarts.
func (w *workload) onlyProcess(allocID string, earlier, restarts int) (pid int) {
	w.t.Helper()
	w.must(machine.Until(w.context(), fmt.Sprintf("restart %d is over", restarts), func(ctx context.Context) error {
		pids, err := w.node.TaskPIDs(allocID)
		if err != nil {
			return err
		}
		if len(pids) != 1 || pids[0] == earlier { // while it starts, runc has several
			return fmt.Errorf("processes %v, and earlier %d", pids, earlier)
		}
		a, _, err := w.node.API.Allocations().Allocation(ctx, allocID, nil)
		if err != nil {
			return err
		}
		state := a.TaskStates[machine.Task]
		if a.ClientStatus != nomadish.AllocClientRunning || state.State != nomadish.TaskStateRunning || state.Restarts != uint64(restarts) {
			return fmt.Errorf("it is %s, %s, with %d restarts", a.ClientStatus, state.State, state.Restarts)
		}
		pid = pids[0]
		return nil
	}))
	return pid
}

// started waits until the record that the task's processes write themselves says that there
// were so many of them, and that no two ran at the same time.
func (w *workload) started(allocID string, want int) {
	w.t.Helper()
	w.must(machine.Until(w.context(), fmt.Sprintf("start %d is recorded", want), func(context.Context) error {
		record, err := os.ReadFile(w.node.AllocFile(allocID, "alloc/data/record"))
		if err != nil {
			return err
		}
		kinds := map[string]int{}
		for line := range strings.Lines(string(record)) {
			kind, _, _ := strings.Cut(line, " ")
			kinds[kind]++
		}
		if maps.Equal(kinds, map[string]int{"start": want}) {
			return nil
		}
		err = fmt.Errorf("the record has %v, want %d starts and nothing else", kinds, want)
		if len(kinds) > 1 || kinds["start"] > want {
			return machine.Final(err)
		}
		return err
	}))
}
