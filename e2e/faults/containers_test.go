//go:build linux

package faults

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/nomadish/nomadish/e2e/machine"
	"github.com/nomadish/nomadish/nomadish"
)

// fleet is a node full of containers.
type fleet struct {
	*workload
	pids  map[string][]int // by allocation
	codes map[string]int   // of the jobs whose task ends by itself
	alone int              // tasks that ended while no agent ran
}

// Containers run on, each as the process that it was, while containerd and the agent are
// killed at random moments, one at a time or both. Tasks that end meanwhile, under whatever
// is dead just then, are reported with the code that they ended with. In the end nothing
// was restarted, nothing ran twice, no output is missing, and nothing is left.
func TestKilledContainerdAndAgentChangeNothing(t *testing.T) {
	seed := seed(t)
	t.Logf("NOMADISH_SEED=%d repeats the choices", seed)
	f := &fleet{workload: newWorkload(t, seed), codes: map[string]int{}}
	f.launch(often(10, 50))
	faults := slices.Concat(slices.Repeat([]string{"containerd"}, often(5, 50)), slices.Repeat([]string{"agent"}, often(10, 100)))
	f.rand.Shuffle(len(faults), func(i, j int) { faults[i], faults[j] = faults[j], faults[i] })
	begin := time.Now()
	for round, fault := range faults {
		f.brief(round)
		f.pass(400)
		f.strike(fault)
		f.same(round)
	}
	t.Logf("%d faults in %s", len(faults), time.Since(begin).Round(time.Second))
	f.checkCodes()
	f.checkNothingRestarted()
	f.end()
}

// launch starts the containers that must stay.
func (f *fleet) launch(count int) {
	f.t.Helper()
	job := f.container("fleet", nomadish.JobTypeService, "-every", "200ms")
	job.TaskGroups[0].Count = nomadish.Ptr(count)
	f.register(job)
	begin := time.Now()
	f.must(machine.Until(f.context(), fmt.Sprintf("%d containers run", count), func(ctx context.Context) error {
		pids, err := f.running(ctx)
		if err == nil && len(pids) != count {
			err = fmt.Errorf("%d run", len(pids))
		}
		f.pids = pids
		return err
	}))
	f.t.Logf("%d containers ran after %s", count, time.Since(begin).Round(time.Millisecond))
}

// running returns the processes of the fleet's allocations when all of them run.
func (f *fleet) running(ctx context.Context) (map[string][]int, error) {
	allocs, _, err := f.node.API.Jobs().Allocations(ctx, "fleet", true, nil)
	if err != nil {
		return nil, err
	}
	for _, a := range allocs {
		if a.ClientStatus != nomadish.AllocClientRunning {
			return nil, fmt.Errorf("%s is %s, events %v", a.ID, a.ClientStatus, machine.Events(a))
		}
	}
	return f.processes()
}

// processes returns those of all running tasks by allocation.
func (f *fleet) processes() (map[string][]int, error) {
	pids, err := f.node.AllTaskPIDs()
	for id := range pids {
		if f.pids != nil && f.pids[id] == nil {
			delete(pids, id) // a brief one's
		}
	}
	return pids, err
}

// brief starts a task that ends by itself at a random moment with a code of its own.
func (f *fleet) brief(round int) {
	f.t.Helper()
	id, code := "brief-"+strconv.Itoa(round), 1+f.rand.IntN(100)
	f.codes[id] = code
	last := time.Duration(1+f.rand.IntN(2000)) * time.Millisecond
	f.register(f.container(id, nomadish.JobTypeBatch, "-every", "5ms", "-for", last.String(), "-exit", strconv.Itoa(code)))
}

// strike kills one of the two. The next agent starts after a while, containerd when the agent
// wants it: other faults meet them on their way.
func (f *fleet) strike(fault string) {
	f.t.Helper()
	if fault == "containerd" {
		f.must(f.node.KillContainerd(f.context()))
		return
	}
	f.must(f.node.Kill())
	before, err := f.node.AllTaskPIDs()
	f.must(err)
	f.pass(1000)
	after, err := f.node.AllTaskPIDs()
	f.must(err)
	for id := range before {
		if after[id] == nil {
			f.alone++
		}
	}
	f.startAgent()
}

// same checks that each container of the fleet still is the process that it was.
func (f *fleet) same(round int) {
	f.t.Helper()
	got, err := f.processes()
	f.must(err)
	if !maps.EqualFunc(got, f.pids, slices.Equal) {
		f.t.Fatalf("after fault %d: processes %v, were %v", round, got, f.pids)
	}
}

// checkCodes checks that each brief task is reported as it ended.
func (f *fleet) checkCodes() {
	f.t.Helper()
	for _, id := range slices.Sorted(maps.Keys(f.codes)) {
		a, err := f.node.Allocation(f.context(), id, nomadish.AllocClientComplete, nomadish.AllocClientFailed, nomadish.AllocClientLost)
		f.must(err)
		var codes []int
		for _, e := range a.TaskStates[machine.Task].Events {
			if e.Type == nomadish.TaskEventTerminated {
				codes = append(codes, e.ExitCode)
			}
		}
		if a.ClientStatus != nomadish.AllocClientFailed || !slices.Equal(codes, []int{f.codes[id]}) {
			f.t.Errorf("%s: got %s with codes %v, want failed with [%d]; events %v", id, a.ClientStatus, codes, f.codes[id], machine.Events(a))
		}
	}
	f.t.Logf("%d tasks ended, %d of them while no agent ran", len(f.codes), f.alone)
	if often(0, 1) > 0 && f.alone == 0 {
		f.t.Error("no task ended without an agent: this run says little")
	}
}

// checkNothingRestarted compares what the server knows of the fleet with what it was.
func (f *fleet) checkNothingRestarted() {
	f.t.Helper()
	f.must(machine.Until(f.context(), "all run as they did", func(ctx context.Context) error {
		pids, err := f.running(ctx)
		if err == nil && !maps.EqualFunc(pids, f.pids, slices.Equal) {
			err = fmt.Errorf("processes %v, were %v", pids, f.pids)
		}
		return err
	}))
	allocs, _, err := f.node.API.Jobs().Allocations(f.context(), "fleet", true, nil)
	f.must(err)
	for _, a := range allocs {
		state := a.TaskStates[machine.Task]
		started := slices.DeleteFunc(slices.Clone(state.Events), func(e *nomadish.TaskEvent) bool { return e.Type != nomadish.TaskEventStarted })
		if state.Restarts != 0 || len(started) != 1 {
			f.t.Errorf("%s: %d restarts, events %v", a.ID, state.Restarts, machine.Events(a))
		}
	}
}

// end stops and forgets all, and checks records and leftovers.
func (f *fleet) end() {
	f.t.Helper()
	jobs := append(slices.Sorted(maps.Keys(f.codes)), "fleet")
	f.must(f.node.Stopped(f.context(), "fleet", false))
	checked := 0
	for _, id := range jobs {
		allocs, _, err := f.node.API.Jobs().Allocations(f.context(), id, true, nil)
		f.must(err)
		var errs []error
		for _, a := range allocs {
			errs = append(errs, f.checkRecord(a))
			checked++
		}
		if err := errors.Join(errs...); err != nil {
			f.t.Errorf("%s: %v", id, err)
		}
	}
	f.t.Logf("%d allocations compared with their records", checked)
	for _, id := range jobs {
		f.must(f.node.Stopped(f.context(), id, true))
	}
	f.must(machine.Until(f.context(), "nothing is left", func(context.Context) error { return f.node.Left() }))
}
