//go:build linux

package cluster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nomadish/nomadish/e2e/machine"
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/api"
)

// Work is a job of processes that want to run for ever, one on each of its allocations. They are spread
// over the nodes, and not started again where they are: each start is a new allocation.
type Work struct {
	lab   *Lab
	api   *api.Client
	id    string
	count int
}

// StartWork has the cluster run a job of so many processes and returns when they run.
// What else its group says is the caller's.
func (l *Lab) StartWork(ctx context.Context, id string, count int, edits ...func(*nomadish.TaskGroup)) (*Work, error) {
	job := machine.Job(id, nomadish.JobTypeService, "raw_exec", machine.Command("/bin/sleep", "1000000"))
	job.TaskGroups[0].Count = nomadish.Ptr(count)
	job.TaskGroups[0].ReschedulePolicy = nil
	job.Spreads = []*nomadish.Spread{{Attribute: "${node.unique.id}", Weight: nomadish.Ptr(int8(100))}}
	for _, edit := range edits {
		edit(job.TaskGroups[0])
	}
	users, err := l.Users(0)
	if err != nil {
		return nil, err
	}
	w := &Work{lab: l, api: users, id: id, count: count}
	if _, err := users.Jobs().Register(ctx, &nomadish.JobRegisterRequest{Job: job}); err != nil {
		return nil, err
	}
	return w, w.Runs(ctx)
}

// Stop ends the work and returns when no process of it is left.
func (w *Work) Stop(ctx context.Context) error {
	if _, err := w.api.Jobs().Deregister(ctx, &nomadish.JobDeregisterRequest{JobID: w.id, Purge: true}); err != nil {
		return err
	}
	return until(ctx, "nothing of "+w.id+" runs", func(context.Context) error {
		left, err := w.Processes()
		if err == nil && len(left) > 0 {
			err = fmt.Errorf("processes %v", left)
		}
		return err
	})
}

// Runs returns when the cluster says that all of the work runs, and it does: each process once, on a
// machine that is not cut off.
func (w *Work) Runs(ctx context.Context, except ...*Machine) error {
	return until(ctx, "all of "+w.id+" runs", func(ctx context.Context) error {
		allocs, err := w.allocations(ctx)
		if err != nil {
			return err
		}
		processes, err := w.Processes(except...)
		if err != nil {
			return err
		}
		running := 0
		for _, a := range allocs {
			if a.ClientStatus == nomadish.AllocClientRunning && a.DesiredStatus == nomadish.AllocDesiredRun && len(processes[a.ID]) == 1 {
				running++
			}
		}
		if running != w.count {
			return fmt.Errorf("%d of %d run: %s", running, w.count, states(allocs))
		}
		return nil
	})
}

func (w *Work) allocations(ctx context.Context) (allocs []*nomadish.AllocationListStub, err error) {
	ctx, cancel := context.WithTimeout(ctx, userPatience)
	defer cancel()
	allocs, _, err = w.api.Jobs().Allocations(ctx, w.id, true, nil)
	return allocs, err
}

func states(allocs []*nomadish.AllocationListStub) string {
	var all []string
	for _, a := range allocs {
		all = append(all, fmt.Sprintf("%s on %s: %s, wanted %s", a.ID[:8], a.NodeName, a.ClientStatus, a.DesiredStatus))
	}
	slices.Sort(all)
	return strings.Join(all, "; ")
}

// Processes returns the work's processes on all machines but some, by allocation.
func (w *Work) Processes(except ...*Machine) (map[string][]int, error) {
	all := map[string][]int{}
	var errs []error
	for _, m := range w.lab.machines {
		if m.cfg.Client && !slices.Contains(except, m) {
			found, err := m.AllTaskPIDs()
			errs = append(errs, err)
			maps.Copy(all, found)
		}
	}
	return all, errors.Join(errs...)
}

// Same returns an error unless the work's processes still are the same ones, and the cluster knows of no
// other allocation than those.
func (w *Work) Same(ctx context.Context, before map[string][]int) error {
	now, err := w.Processes()
	if err != nil {
		return err
	}
	if err := same(before, now); err != nil {
		return err
	}
	allocs, err := w.allocations(ctx)
	if err != nil {
		return err
	}
	for _, a := range allocs {
		if before[a.ID] == nil || a.DesiredStatus != nomadish.AllocDesiredRun {
			return fmt.Errorf("allocations were stopped or made: %s", states(allocs))
		}
	}
	return nil
}

// same compares processes.
func same(before, now map[string][]int) error {
	if !maps.EqualFunc(before, now, slices.Equal) {
		return fmt.Errorf("the processes were %v, are %v", before, now)
	}
	return nil
}

// stays checks for so long that the work's processes and allocations are the same.
func (w *Work) stays(ctx context.Context, before map[string][]int, during time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, during+userPatience)
	defer cancel()
	for end := time.Now().Add(during); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if err := w.Same(ctx, before); err != nil {
			return fmt.Errorf("%s before the end: %w", time.Until(end).Round(time.Millisecond), err)
		}
	}
	return nil
}

// Busiest is the machine that runs most of the work, among some.
func (w *Work) Busiest(among []*Machine) (*Machine, error) {
	var busiest *Machine
	most := -1
	for _, m := range among {
		found, err := m.AllTaskPIDs()
		if err != nil {
			return nil, err
		}
		if len(found) > most {
			busiest, most = m, len(found)
		}
	}
	return busiest, nil
}
