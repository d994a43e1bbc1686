package alloc

import (
	"slices"

	"github.com/nomadish/nomadish/client/localstate"
	"github.com/nomadish/nomadish/client/task"
	"github.com/nomadish/nomadish/nomadish"
)

// Hooks of a task's lifecycle.
const (
	hookPrestart  = "prestart"
	hookPoststart = "poststart"
	hookPoststop  = "poststop"
)

// view is a task as decide sees it.
type view struct {
	task   *nomadish.Task
	record localstate.Task
}

func (v view) name() string { return v.task.Name }
func (v view) dead() bool   { return v.record.Phase == localstate.PhaseDead }
func (v view) failed() bool { return v.dead() && v.record.State.Failed }

// began says that the task ran at least once.
func (v view) began() bool { return !v.record.State.StartedAt.IsZero() }

func (v view) running() bool { return v.record.State.State == nomadish.TaskStateRunning }

func (v view) hook() string {
	if v.task.Lifecycle == nil {
		return ""
	}
	return v.task.Lifecycle.Hook
}

func (v view) sidecar() bool { return v.task.Lifecycle != nil && v.task.Lifecycle.Sidecar }

// kill is an order to end a task.
type kill struct {
	task  string
	event *nomadish.TaskEvent
}

// decide says which tasks may begin and which must end. The same views always give the
// same orders; orders that are carried out already are not given again.
func decide(views []view, stopping bool) (begin []string, kills []kill) {
	reason := reasonToEnd(views, stopping)
	mains := with(views, "")
	mainsDead := all(mains, view.dead)
	for _, v := range views {
		switch {
		case v.hook() == hookPoststop:
			b, k := decidePoststop(v, mains, mainsDead, reason != nil)
			begin, kills = append(begin, b...), append(kills, k...)
		case reason != nil:
			kills = append(kills, reason(v)...)
		case v.record.Phase == localstate.PhaseWaiting && turn(v, views, mains):
			begin = append(begin, v.name())
		case mainsDead && len(mains) > 0 && !v.dead() && v.record.Kill == nil && v.hook() != "":
			kills = append(kills, kill{v.name(), task.MainDeadEvent()})
		}
	}
	return begin, kills
}

// reasonToEnd returns how the tasks are to be ended, or nil. It leaves those that clean up.
func reasonToEnd(views []view, stopping bool) func(view) []kill {
	order := func(event func() *nomadish.TaskEvent) func(view) []kill {
		return func(v view) []kill {
			if v.dead() || v.record.Kill != nil {
				return nil
			}
			return []kill{{v.name(), event()}}
		}
	}
	for _, v := range views {
		if v.failed() && v.hook() != hookPoststop {
			return order(func() *nomadish.TaskEvent { return task.SiblingFailedEvent(v.name()) })
		}
	}
	leader := slices.IndexFunc(views, func(v view) bool { return v.task.Leader })
	switch {
	case leader >= 0 && views[leader].dead():
		return order(task.LeaderDeadEvent)
	case stopping && leader >= 0 && views[leader].began():
		only := views[leader].name() // the others end when it has ended
		end := order(func() *nomadish.TaskEvent { return nil })
		return func(v view) []kill {
			if v.name() != only && v.record.Phase != localstate.PhaseWaiting {
				return nil
			}
			return end(v)
		}
	case stopping:
		return order(func() *nomadish.TaskEvent { return nil })
	}
	return nil
}

// decidePoststop lets a task that cleans up run once the main tasks have ended, if any of
// them ever ran.
func decidePoststop(v view, mains []view, mainsDead, ending bool) (begin []string, kills []kill) {
	if v.record.Phase != localstate.PhaseWaiting || v.record.Kill != nil {
		return nil, nil
	}
	switch {
	case mainsDead && slices.ContainsFunc(mains, view.began):
		return []string{v.name()}, nil
	case mainsDead && ending:
		return nil, []kill{{v.name(), nil}}
	}
	return nil, nil
}

// turn says whether it is a waiting task's turn.
func turn(v view, views, mains []view) bool {
	switch v.hook() {
	case hookPrestart:
		return true
	case hookPoststart:
		return all(mains, view.began)
	}
	return all(with(views, hookPrestart), func(p view) bool {
		if p.sidecar() {
			return p.running()
		}
		return p.dead() && !p.failed()
	})
}

func with(views []view, hook string) []view {
	var out []view
	for _, v := range views {
		if v.hook() == hook {
			out = append(out, v)
		}
	}
	return out
}

func all(views []view, is func(view) bool) bool {
	return !slices.ContainsFunc(views, func(v view) bool { return !is(v) })
}

// status is the allocation's status as its tasks make it.
func status(views []view) (client, description string) {
	var pending, running bool
	for _, v := range views {
		if v.failed() {
			return nomadish.AllocClientFailed, "Failed tasks"
		}
		running = running || v.running()
		pending = pending || v.record.State.State == nomadish.TaskStatePending
	}
	switch {
	case running:
		return nomadish.AllocClientRunning, "Tasks are running"
	case pending:
		return nomadish.AllocClientPending, "No tasks have started"
	}
	return nomadish.AllocClientComplete, "All tasks have completed"
}
