//go:build linux && corpus

package corpus

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/nomadish/nomadish/e2e/machine"
	"github.com/nomadish/nomadish/nomadish"
)

// checkPatience is how long the tasks may take to look as they should: as long as one is not
// restarted that has ended.
const checkPatience = 20 * time.Second

// pause lies between two looks at tasks that have only just started.
const pause = 50 * time.Millisecond

// check holds the tasks of an allocation to what their job says, and returns what the node
// says that it does not do.
func check(ctx context.Context, n *machine.Node, job *nomadish.Job, stub *nomadish.AllocationListStub) (notices []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, checkPatience)
	defer cancel()
	group := job.TaskGroups[slices.IndexFunc(job.TaskGroups, func(g *nomadish.TaskGroup) bool { return *g.Name == stub.TaskGroup })]
	for { // a task is running a moment before its program has begun
		a, _, err := n.API.Allocations().Allocation(ctx, stub.ID, nil)
		if err != nil {
			return nil, err
		}
		if notices, err = checkOnce(ctx, n, group, a); err == nil {
			return notices, nil
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(pause):
		}
	}
}

func checkOnce(ctx context.Context, n *machine.Node, group *nomadish.TaskGroup, a *nomadish.Allocation) (notices []string, err error) {
	for _, name := range slices.Sorted(maps.Keys(a.TaskStates)) {
		for _, e := range a.TaskStates[name].Events {
			if e.Type == nomadish.TaskEventDriver && e.Details["image"] == "" {
				notices = append(notices, e.DisplayMessage)
			}
		}
	}
	pids, err := n.TaskPIDs(a.ID)
	if err != nil {
		return nil, err
	}
	for _, task := range group.Tasks {
		state := a.TaskStates[task.Name]
		if state.Successful() || ends(task) && state.State != nomadish.TaskStateRunning {
			continue
		}
		if state.Restarts > 0 && !ends(task) {
			return nil, fmt.Errorf("task %s: it was started %d times more", task.Name, state.Restarts)
		}
		s := &sight{node: n, alloc: a, group: group, task: task}
		if err := s.find(pids); err != nil {
			return nil, fmt.Errorf("task %s: %w", task.Name, err)
		}
		if err := s.check(ctx); err != nil {
			return nil, fmt.Errorf("task %s: %w", task.Name, err)
		}
	}
	for _, p := range a.AllocatedResources.Shared.Ports {
		if mapped(group, p.Label) {
			if err := answers(ctx, p, a.ID); err != nil {
				return nil, err
			}
		}
	}
	return notices, nil
}

// ends says that a task's program is one that ends soon, also in a service.
func ends(task *nomadish.Task) bool { return task.Config["command"] == "/bin/sleep" }

// mapped says that a port of the group leads to one of its tasks.
func mapped(group *nomadish.TaskGroup, label string) bool {
	return slices.ContainsFunc(group.Tasks, func(task *nomadish.Task) bool {
		ports, _ := task.Config["ports"].([]any)
		_, old := portMap(task)[label]
		own := task.Resources != nil && len(task.Resources.Networks) > 0
		return isContainer(task) && (slices.Contains(ports, any(label)) || old || own || task.Config["network_mode"] == "host")
	})
}

// portMap is a task's option of that name.
func portMap(task *nomadish.Task) map[string]any {
	out := map[string]any{}
	blocks, _ := task.Config["port_map"].([]any)
	for _, b := range blocks {
		if m, ok := b.(map[string]any); ok {
			maps.Copy(out, m)
		}
	}
	return out
}

// answers asks a port for the allocation behind it.
func answers(ctx context.Context, p nomadish.PortMapping, allocID string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	url := "http://" + net.JoinHostPort(p.HostIP, strconv.Itoa(p.Value))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("port %s: %w", p.Label, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	if err == nil && string(text) != allocID {
		err = fmt.Errorf("port %s: %q answers at %s, want %s", p.Label, text, url, allocID)
	}
	return err
}
