//go:build linux

package faults

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nomadish/nomadish/e2e/machine"
	"github.com/nomadish/nomadish/nomadish"
)

// However many allocations with networks of their own come and go, there is as much on the
// machine afterwards as before, and the agent has as many files and goroutines open and
// little more memory.
func TestCyclesLeaveNothing(t *testing.T) {
	const (
		atOnce  = 4
		maxMore = 32 << 20 // bytes of memory
		slack   = 32       // of files and goroutines: connections that idle
	)
	w := newWorkload(t, seed(t))
	for range 3 {
		w.cycle(atOnce) // what is made once and stays: containerd, images, tables
	}
	before, agent := w.calm()
	rounds := often(60, 1000) / atOnce
	begin := time.Now()
	for round := range rounds {
		w.cycle(atOnce)
		if round%10 == 9 { // what is known of those that ended is kept for hours otherwise, and meant to
			w.must(w.node.API.Operator().CollectGarbage(w.context()))
		}
	}
	t.Logf("%d allocations in %s", rounds*atOnce, time.Since(begin).Round(time.Second))
	w.must(w.node.API.Operator().CollectGarbage(w.context()))
	after, now := w.calm()
	if after != before {
		t.Errorf("on the machine: %+v, was %+v", after, before)
	}
	if now.Files > agent.Files+slack || now.Goroutines > agent.Goroutines+slack {
		t.Errorf("the agent: %+v, was %+v", now, agent)
	}
	if now.RSS > agent.RSS+maxMore {
		t.Errorf("the agent's memory: %d MiB, was %d MiB", now.RSS>>20, agent.RSS>>20)
	}
	t.Logf("before: %+v %+v", before, agent)
	t.Logf("after:  %+v %+v", after, now)
	w.must(w.node.Left())
}

// cycle runs allocations of one of the drivers until they run, and stops them.
func (w *workload) cycle(count int) {
	w.t.Helper()
	w.made++
	id := fmt.Sprintf("cycle-%d", w.made)
	var job *nomadish.Job
	switch w.made % 3 {
	case 0:
		job = w.container(id, nomadish.JobTypeService)
	case 1:
		job = machine.Job(id, nomadish.JobTypeService, "exec", machine.Command("/bin/sleep", "1000"))
		job.TaskGroups[0].Tasks[0].KillTimeout = nomadish.Ptr(time.Millisecond) // the first process hears no signal
	default:
		job = machine.Job(id, nomadish.JobTypeService, "raw_exec", machine.Command(w.counter))
	}
	group := job.TaskGroups[0]
	group.Count = nomadish.Ptr(count)
	group.Networks = []*nomadish.NetworkResource{{Mode: "bridge", DynamicPorts: []nomadish.Port{{Label: "http", To: 8080}}}}
	w.register(job)
	w.must(machine.Until(w.context(), id+" runs", func(ctx context.Context) error {
		allocs, _, err := w.node.API.Jobs().Allocations(ctx, id, true, nil)
		if err != nil {
			return err
		}
		if len(allocs) != count {
			return fmt.Errorf("%d allocations", len(allocs))
		}
		for _, a := range allocs {
			switch a.ClientStatus {
			case nomadish.AllocClientRunning:
			case nomadish.AllocClientPending:
				return errors.New("one is pending")
			default:
				return machine.Final(fmt.Errorf("%s is %s, events %v", a.ID, a.ClientStatus, machine.Events(a)))
			}
		}
		return nil
	}))
	w.must(w.node.Stopped(w.context(), id, true))
}

// calm counts when nothing has changed for a while and nothing is left of any task.
func (w *workload) calm() (c machine.Census, f machine.Figures) {
	w.t.Helper()
	quiet := 0
	w.must(machine.Until(w.context(), "the node is calm", func(ctx context.Context) error {
		if err := w.node.Left(); err != nil {
			quiet = 0
			return err
		}
		now, err := w.node.Count()
		if err != nil {
			return err
		}
		if quiet++; now != c {
			c, quiet = now, 0
		}
		if quiet < 100 {
			return errors.New("it may change yet")
		}
		f, err = w.node.Figures(ctx)
		return err
	}))
	return c, f
}
