//go:build linux && corpus

package corpus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/nomadish/nomadish/e2e/machine"
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/api"
)

// Words of the table.
const (
	whole   = "runs"
	partial = "runs, but for"
	none    = "does not run"
)

// verdict is what became of a job.
type verdict struct{ result, reason string }

// run runs a job, and one that lacks nothing but Consul once more without its services, to
// see how far it comes. An error is a job that should have run.
func (e *entry) run(ctx context.Context, n *machine.Node) (verdict, error) {
	needs := missing(e.job)
	v, err := attempt(ctx, n, e.job, needs)
	if err != nil || v.result != none || len(needs) != 1 || !strings.HasPrefix(needs[0], needsConsul) {
		return v, err
	}
	without := e.job.Copy()
	for _, g := range without.TaskGroups {
		g.Services = slices.DeleteFunc(g.Services, ofConsul)
		for _, t := range g.Tasks {
			t.Services = slices.DeleteFunc(t.Services, ofConsul)
		}
	}
	return attempt(ctx, n, without, needs)
}

// attempt registers a job, waits until it runs or can't, checks what its tasks see, and stops
// it. What it needs and there is not is a part of the reason.
func attempt(ctx context.Context, n *machine.Node, job *nomadish.Job, needs []string) (v verdict, err error) {
	resp, err := n.API.Jobs().Register(ctx, &nomadish.JobRegisterRequest{Job: job})
	if err != nil {
		kind := nomadish.KindOf(err)
		if unanswered := (*url.Error)(nil); errors.As(err, &unanswered) || kind != nomadish.KindInvalid && kind != nomadish.KindInternal {
			return verdict{}, err
		}
		return verdict{none, because(needs, refusal(err))}, nil
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		err = errors.Join(err, n.Stopped(ctx, *job.ID, true))
	}()
	without := because(needs, withoutEffect(resp.Warnings)...)
	if resp.EvalID == "" || strings.Contains(resp.Warnings, notPlaced) {
		return verdict{none, without}, nil
	}
	allocs, why, err := settle(ctx, n, job, resp.JobModifyIndex)
	switch {
	case err != nil:
		return verdict{}, err
	case why != "":
		return verdict{none, because(needs, why)}, nil
	}
	for _, stub := range allocs {
		notices, err := check(ctx, n, job, stub)
		if err != nil {
			return verdict{}, fmt.Errorf("allocation %s: %w; events %v", stub.Name, err, machine.Events(stub))
		}
		without = because([]string{without}, notices...)
	}
	if without != "" {
		return verdict{partial, without}, nil
	}
	return verdict{whole, ""}, nil
}

// because joins reasons, each once.
func because(list []string, more ...string) string {
	var out []string
	for _, text := range append(slices.Clone(list), more...) {
		if text != "" && !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	return strings.Join(out, "; ")
}

// wanted is how many allocations the job has on one node.
func wanted(job *nomadish.Job) (count int) {
	for _, g := range job.TaskGroups {
		if g.Count == nil || strings.HasPrefix(nomadish.Val(job.Type), "sys") {
			count++
		} else {
			count += *g.Count
		}
	}
	return count
}

// settle waits until all allocations that the job wants run or have done their work, or
// something has failed, and says why. What is older than the index is of an earlier job.
func settle(ctx context.Context, n *machine.Node, job *nomadish.Job, index uint64) (allocs []*nomadish.AllocationListStub, why string, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	q := &api.Query{Wait: time.Second}
	for ctx.Err() == nil {
		evals, _, err := n.API.Jobs().Evaluations(ctx, *job.ID, nil)
		if err != nil {
			return nil, "", err
		}
		var meta api.Meta
		if allocs, meta, err = n.API.Jobs().Allocations(ctx, *job.ID, false, q); err != nil {
			return nil, "", err
		}
		q.MinIndex = meta.Index
		good := 0
		for _, a := range allocs {
			if why := failure(a); why != "" {
				return allocs, why, nil
			}
			if settled(a) {
				good++
			}
		}
		switch good {
		case wanted(job):
			return allocs, "", nil
		case len(allocs): // those that have a place do well
			for _, eval := range evals {
				if why := unplaced(eval); why != "" && eval.CreateIndex >= index {
					return allocs, why, nil
				}
			}
		}
	}
	var states []string
	for _, a := range allocs {
		states = append(states, a.ClientStatus+" "+fmt.Sprint(machine.Events(a)))
	}
	return allocs, "", fmt.Errorf("of %d allocations not all run after %s: %s", wanted(job), patience, states)
}

// settled says that an allocation runs with all its tasks, or has done its work.
func settled(a *nomadish.AllocationListStub) bool {
	if a.ClientStatus == nomadish.AllocClientComplete {
		return true
	}
	for _, state := range a.TaskStates {
		if state.State != nomadish.TaskStateRunning && !state.Successful() {
			return false
		}
	}
	return a.ClientStatus == nomadish.AllocClientRunning
}

// failure says what failed first of an allocation's tasks, in the order of their names.
func failure(a *nomadish.AllocationListStub) string {
	bad := []string{
		nomadish.TaskEventSetupFailure, nomadish.TaskEventDriverFailure, nomadish.TaskEventFailedValidation,
		nomadish.TaskEventArtifactFailed, nomadish.TaskEventHookFailed,
	}
	for _, name := range slices.Sorted(maps.Keys(a.TaskStates)) {
		for _, event := range a.TaskStates[name].Events {
			if slices.Contains(bad, event.Type) || event.Type == nomadish.TaskEventTerminated && event.ExitCode != 0 {
				return plain(a, event.DisplayMessage)
			}
		}
	}
	if a.ClientStatus == nomadish.AllocClientFailed {
		return plain(a, a.ClientDescription)
	}
	return ""
}

// unplaced says why an evaluation found no place for a group.
func unplaced(eval *nomadish.Evaluation) string {
	for _, group := range slices.Sorted(maps.Keys(eval.FailedTGAllocs)) {
		m := eval.FailedTGAllocs[group]
		filtered := slices.Concat(slices.Sorted(maps.Keys(m.ConstraintFiltered)), slices.Sorted(maps.Keys(m.DimensionExhausted)))
		return "no node for it: " + cmp.Or(strings.Join(filtered, ", "), "none in its datacenters")
	}
	return ""
}

// plain takes what differs from run to run out of a message.
func plain(a *nomadish.AllocationListStub, text string) string {
	return strings.ReplaceAll(text, a.ID, "ALLOC")
}

// refusal is what the server says of a job that it refuses, on one line.
func refusal(err error) string {
	text := err.Error()
	if _, list, ok := strings.Cut(text, "occurred:"); ok {
		text = list
	}
	text, _, _ = strings.Cut(text, " (500)")
	return strings.ReplaceAll(strings.TrimPrefix(oneLine(text), "* "), " * ", "; ")
}

var spaces = regexp.MustCompile(`\s+`)

func oneLine(s string) string { return strings.TrimSpace(spaces.ReplaceAllString(s, " ")) }

// fieldWarning is a warning of a field without effect: its path, and what that means.
var fieldWarning = regexp.MustCompile(`(?m)^\* ([A-Z]\w+(?:\[\d+\])?(?:\.\w+(?:\[\d+\])?)*): (.*)$`)

// notPlaced is in the warning of jobs whose type is not scheduled.
const notPlaced = "are not placed yet"

// driverWarning is one of an option of a task.
var driverWarning = regexp.MustCompile(`(?m)^\* Task ".*" driver "(\w+)": (.*)$`)

// withoutEffect finds what a job says in vain by the warnings that it was registered with.
func withoutEffect(warnings string) (list []string) {
	for _, m := range fieldWarning.FindAllStringSubmatch(warnings, -1) {
		list = append(list, m[2])
	}
	for _, m := range driverWarning.FindAllStringSubmatch(warnings, -1) {
		list = append(list, m[1]+": "+m[2])
	}
	return list
}
