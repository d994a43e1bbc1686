package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

// report tells what is new in the view.
func (f *follower) report(ctx context.Context) {
	for _, e := range f.evals {
		if e.CreateIndex >= f.from || e.ID == f.evalID {
			f.reportEvaluation(e)
		}
	}
	for _, a := range f.allocs {
		if f.settled[a.ID] {
			continue
		}
		last, known := f.told[a.ID]
		if !known {
			f.note("Allocation %s (%s) is placed on node %s.", f.id(a.ID), a.Name, cmp.Or(a.NodeName, f.id(a.NodeID)))
			last = nomadish.AllocClientPending
		}
		f.reportTasks(ctx, a)
		if now := state(a); now != last {
			f.note("Allocation %s (%s) is %s.", f.id(a.ID), a.Name, now)
		}
		f.told[a.ID] = state(a)
	}
}

func (f *follower) reportEvaluation(e *nomadish.Evaluation) {
	text := e.Status + strings.Join(placementProblems(e.FailedTGAllocs), "\n")
	if f.told[e.ID] == text {
		return
	}
	f.told[e.ID] = text
	switch {
	case e.Status == nomadish.EvalStatusPending && e.ID != f.evalID && !e.WaitUntil.IsZero():
		f.say("Evaluation %s waits for %s: %s.", f.id(e.ID), age(e.WaitUntil.Sub(f.Now())), cmp.Or(e.StatusDescription, e.TriggeredBy))
	case e.Status == nomadish.EvalStatusFailed:
		f.say("Evaluation %s failed: %s.", f.id(e.ID), e.StatusDescription)
	case len(e.FailedTGAllocs) > 0:
		f.sayProblems(e)
	case e.Status == nomadish.EvalStatusComplete && f.remote.verbose:
		f.say("Evaluation %s is complete.", f.id(e.ID))
	}
}

// sayProblems tells once why placements failed: a blocked evaluation repeats what the one
// before it says.
func (f *follower) sayProblems(e *nomadish.Evaluation) {
	problems := strings.Join(placementProblems(e.FailedTGAllocs), "\n         ")
	if f.told["problems"] == problems {
		return
	}
	f.told["problems"] = problems
	f.say("Evaluation %s could not place all:\n         %s", f.id(e.ID), problems)
}

// reportTasks tells what has happened to the tasks of an allocation.
func (f *follower) reportTasks(ctx context.Context, a *nomadish.AllocationListStub) {
	for _, name := range taskNames(a.TaskStates) {
		key := a.ID + "/" + name
		crashed, last := false, f.since[key]
		for _, e := range a.TaskStates[name].Events {
			if e.Time <= last {
				continue
			}
			f.since[key] = e.Time
			if e.Type == nomadish.TaskEventDriver {
				f.note("Allocation %s (%s) task %q: %s", f.id(a.ID), a.Name, name, pulling(e))
			} else if f.remote.verbose || matters(e) {
				f.say("Allocation %s (%s) task %q: %s: %s", f.id(a.ID), a.Name, name, e.Type, message(e))
			}
			crashed = crashed || e.Type == nomadish.TaskEventTerminated && (e.ExitCode != 0 || e.Signal != 0 || e.Details["exit_message"] != "")
		}
		if crashed && a.DesiredStatus == nomadish.AllocDesiredRun && f.tails < maxTails {
			f.tails++
			f.sayLogs(ctx, a, name)
		}
	}
}

// matters says that people want to know of an event.
func matters(e *nomadish.TaskEvent) bool {
	switch e.Type {
	case nomadish.TaskEventTerminated, nomadish.TaskEventRestarting, nomadish.TaskEventNotRestarting,
		nomadish.TaskEventRestartSignal:
		return true
	}
	return tellsFailure(e)
}

// sayLogs shows the last lines that a failing task has written.
func (f *follower) sayLogs(ctx context.Context, a *nomadish.AllocationListStub, task string) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	for _, kind := range []string{"stderr", "stdout"} {
		text, err := lastLines(f.client.Files().Logs(ctx, &nomadish.LogRequest{
			AllocID: a.ID, Task: task, Type: kind, Origin: "end", Offset: tailLines * bytesPerLine,
		}), tailLines)
		if err != nil {
			f.say("The %s of task %q can't be read: %s", kind, task, err)
			return
		}
		if len(text) > 0 {
			f.say("The last lines of task %q, %s:\n         | %s", task, kind, strings.Join(text, "\n         | "))
		}
	}
}

// sayEnd says how it ended, and what to do next.
func (f *follower) sayEnd(ctx context.Context, end verdict) {
	name := fmt.Sprintf("Job %q", f.jobID)
	status, again := f.command("job status"), f.command("job status -f")
	switch end.outcome {
	case outcomeRunning:
		f.say("%s runs: %s.", name, end.reason)
		f.sayAddresses(ctx)
	case outcomeComplete:
		f.say("%s is complete: %s.", name, end.reason)
	case outcomeDetached:
		f.say("Interrupted. %s goes on; come back with: %s", name, again)
	case outcomeBlocked, outcomeTimeout:
		f.say("%s is not complete: %s. It stays stored and goes on when it can; come back with: %s", name, end.reason, again)
	default:
		f.say("%s has failed: %s. See more with: %s", name, end.reason, status)
		if next := f.advice(); next != "" {
			f.say("%s", next)
		}
	}
}

// command is a command about the job, as its user would type it.
func (f *follower) command(words string) string {
	if ns := f.query.Namespace; ns != "" && ns != nomadish.DefaultNamespace {
		words += " -namespace " + ns
	}
	return "nomadish " + words + " " + f.jobID
}

// sayAddresses tells where the ports of the first few allocations are.
func (f *follower) sayAddresses(ctx context.Context) {
	asked := 0
	for _, stub := range f.allocs {
		if stub.JobVersion != f.version || !isUp(stub) {
			continue
		}
		if asked++; asked > maxAddresses {
			f.say("The addresses of the others: nomadish alloc status ID")
			return
		}
		a, _, err := f.client.Allocations().Allocation(ctx, stub.ID, nil)
		if err != nil {
			f.say("The addresses can't be read: %s", err)
			return
		}
		if a.AllocatedResources == nil {
			continue
		}
		for _, p := range a.AllocatedResources.Shared.Ports {
			f.say("%s port %q: %s", a.Name, p.Label, address(p))
		}
		if len(a.AllocatedResources.Shared.Ports) == 0 {
			return
		}
	}
}

// lastLines returns the last lines of a stream that begins somewhere in a line.
func lastLines(frames func(yield func(*nomadish.StreamFrame, error) bool), n int) ([]string, error) {
	var text []byte
	for frame, err := range frames {
		if err != nil {
			return nil, err
		}
		if text = append(text, frame.Data...); len(text) > n*bytesPerLine {
			text = text[len(text)-n*bytesPerLine:]
		}
	}
	lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return slices.DeleteFunc(lines, func(s string) bool { return s == "" }), nil
}
