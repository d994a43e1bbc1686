package alloc

import (
	"context"
	"slices"

	"github.com/nomadish/nomadish/client/localstate"
	"github.com/nomadish/nomadish/client/task"
	"github.com/nomadish/nomadish/nomadish"
)

// RestartAll ends all tasks that run and then starts all tasks in the order of their
// lifecycles, also those that prepared the others and ended long ago. Tasks that clean up
// still wait for the end.
func (r *Runner) RestartAll(reason string) error {
	if all(r.views(), view.dead) {
		return nomadish.Errorf(nomadish.KindInvalid, "Task not running")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopping || r.alloc.ServerTerminal() {
		return nomadish.Errorf(nomadish.KindInvalid, "the allocation is being stopped")
	}
	r.rewinding = reason
	r.poke()
	return nil
}

// rewind makes the tasks wait for their turn again, and says whether that is under way. It
// is given up when the allocation is to end.
func (r *Runner) rewind(views []view, stopping bool) bool {
	r.mu.Lock()
	if stopping || slices.ContainsFunc(views, view.failed) {
		r.rewinding = ""
	}
	reason := r.rewinding
	r.mu.Unlock()
	if reason == "" {
		return false
	}
	for i, v := range views {
		if v.hook() != hookPoststop && !v.dead() && v.record.Phase != localstate.PhaseWaiting && !v.record.Rewind {
			r.tasks[i].Rewind(reason)
		}
	}
	return true
}

// revive ends a rewinding once nothing runs any more: it returns the dead tasks, which wait
// for their turn again and are to be run. running are those whose runners have not returned.
func (r *Runner) revive(ctx context.Context, running map[string]bool) []*task.Runner {
	r.mu.Lock()
	reason := r.rewinding
	r.mu.Unlock()
	if reason == "" {
		return nil
	}
	views := r.views()
	for _, v := range views {
		if v.hook() != hookPoststop && v.record.Phase != localstate.PhaseWaiting && (!v.dead() || running[v.name()]) {
			return nil
		}
	}
	var revived []*task.Runner
	for i, v := range views {
		if v.hook() == hookPoststop || !v.dead() {
			continue
		}
		if err := r.tasks[i].Revive(ctx, reason); err != nil {
			return revived // ctx has ended
		}
		revived = append(revived, r.tasks[i])
	}
	r.mu.Lock()
	r.rewinding = ""
	r.mu.Unlock()
	r.poke()
	return revived
}
