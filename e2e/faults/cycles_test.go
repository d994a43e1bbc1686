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
// machine afterwards as before, and the agent has as many files and goroutines open. What is
// known of an allocation that has ended is kept for an hour, and takes no more memory than
// that; then nothing is left of it.
func TestCyclesLeaveNothing(t *testing.T) {
	const (
		atOnce  = 4
		maxKept = 16 << 10 // bytes of live heap per allocation that has ended: its row, its share of the job's, and indexes
		maxLeft = 6 << 20  // bytes of live heap: the newest events, entries of the log, and allocations of the node
		idle    = 2        // connections that may idle at one count and not at the other: the test's and containerd's
	)
	w := newWorkloadOn(t, seed(t), nil)
	for range 3 {
		w.cycle(atOnce) // what is made once and stays: containerd, images, tables
	}
	before, agent := w.calm()
	count := often(60, 1000)
	begin := time.Now()
	for range count / atOnce {
		w.cycle(atOnce)
	}
	t.Logf("%d allocations in %s", count, time.Since(begin).Round(time.Second))
	after, now := w.calm()
	w.must(w.node.API.Operator().CollectGarbage(w.context())) // as if the hour had gone by
	collected, last := w.calm()
	t.Logf("before:    %+v %+v", before, agent)
	t.Logf("after:     %+v %+v", after, now)
	t.Logf("collected: %+v %+v", collected, last)
	if after != before || collected != before {
		t.Errorf("on the machine: %+v, collected %+v, was %+v", after, collected, before)
	}
	if now.Files > agent.Files+idle || now.Goroutines > agent.Goroutines+3*idle { // each has one to read, to write and to serve it
		t.Errorf("the agent: %+v, was %+v", now, agent)
	}
	if kept := now.Live - agent.Live; kept > int64(maxLeft+count*maxKept) {
		t.Errorf("%d KiB of live heap are kept of %d allocations", kept>>10, count)
	}
	if left := last.Live - agent.Live; left > maxLeft {
		t.Errorf("%d KiB of live heap are left of %d allocations", left>>10, count)
	}
	w.memoryIsBack(agent.RSS, 32<<20)
	w.must(w.node.Left())
}

// memoryIsBack waits until the agent has no more than that many bytes more memory than before:
// the runtime gives back little by little what is free.
func (w *workload) memoryIsBack(before, more int64) {
	w.t.Helper()
	var rss int64
	w.must(machine.Until(w.context(), "the agent's memory is back", func(context.Context) (err error) {
		rss, err = machine.RSS(w.node.PID())
		if err == nil && rss > before+more {
			err = fmt.Errorf("it has %d MiB, had %d MiB", rss>>20, before>>20)
		}
		return err
	}))
	w.t.Logf("memory of the agent: %d MiB, was %d MiB", rss>>20, before>>20)
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
