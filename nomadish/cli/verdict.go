package cli

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

// outcome is how a followed job ends. The zero outcome is that it is still on its way.
type outcome string

const (
	underWay        outcome = ""
	outcomeRunning  outcome = "running"
	outcomeComplete outcome = "complete"
	outcomeFailed   outcome = "failed"
	outcomeBlocked  outcome = "blocked"
	outcomeTimeout  outcome = "timeout"
	outcomeDetached outcome = "interrupted"
)

// code is the exit code for an outcome.
func (o outcome) code() int {
	switch o {
	case outcomeRunning, outcomeComplete:
		return ExitOK
	case outcomeBlocked, outcomeTimeout:
		return ExitPartial
	case outcomeDetached:
		return ExitDetached
	}
	return ExitFailed
}

// verdict is what a view of a job says about its end. It holds once nothing has changed for
// the time hold.
type verdict struct {
	outcome outcome
	reason  string
	hold    time.Duration
}

// How long an outcome must last before it is believed.
const (
	settle      = 2 * time.Second  // for the next evaluation or a task's sudden end to show
	settleAgain = 10 * time.Second // for a task that has restarted, unless its group says how long
)

// Bounds of the patience with a task that keeps ending.
const (
	maxRestarts    = 5           // restarts while the job is followed
	maxRestartWait = time.Minute // until the next one
)

// view is what there is to see of a followed job at one moment.
type view struct {
	job     *nomadish.Job
	evals   []*nomadish.Evaluation
	allocs  []*nomadish.AllocationListStub
	evalID  string
	version uint64
	settled map[string]bool   // allocations that had ended before the job was submitted
	earlier map[string]uint64 // restarts of tasks before, by allocation and task
}

// judge says how the job has ended, or that it is still on its way.
func (v *view) judge() verdict {
	if v.job == nil {
		return verdict{outcome: outcomeFailed, reason: "it was purged"}
	}
	if nomadish.Val(v.job.Stop) {
		return verdict{outcome: outcomeFailed, reason: "it was stopped"}
	}
	if now := nomadish.Val(v.job.Version); now != v.version {
		return verdict{outcome: outcomeFailed, reason: fmt.Sprintf("version %d has taken the place of version %d", now, v.version)}
	}
	first := v.evaluation(v.evalID)
	if v.evalID != "" && (first == nil || first.Status == nomadish.EvalStatusPending) {
		return verdict{}
	}
	if first != nil && first.Status == nomadish.EvalStatusFailed && !v.open(nomadish.EvalStatusPending) && !v.open(nomadish.EvalStatusBlocked) {
		return verdict{outcome: outcomeFailed, reason: "its evaluation failed: " + first.StatusDescription, hold: settle}
	}
	switch nomadish.Val(v.job.Type) {
	case nomadish.JobTypeBatch, nomadish.JobTypeSysBatch:
		return v.judgeBatch()
	}
	return v.judgeService()
}

func (v *view) evaluation(id string) *nomadish.Evaluation {
	for _, e := range v.evals {
		if e.ID == id {
			return e
		}
	}
	return nil
}

// open says that an evaluation of the job is in a state.
func (v *view) open(status string) bool {
	return slices.ContainsFunc(v.evals, func(e *nomadish.Evaluation) bool { return e.Status == status })
}

// wanted counts the allocations of a group that the job wants; a job for each node wants
// those that it got.
func (v *view) wanted(group string) int {
	switch nomadish.Val(v.job.Type) {
	case nomadish.JobTypeSystem, nomadish.JobTypeSysBatch:
		return len(v.current(group))
	}
	return nomadish.Val(v.job.TaskGroup(group).Count)
}

// current returns the newest allocation of this version for each name in the group.
func (v *view) current(group string) []*nomadish.AllocationListStub {
	newest := map[string]*nomadish.AllocationListStub{}
	for _, a := range v.allocs {
		if a.TaskGroup != group || a.JobVersion != v.version {
			continue
		}
		key := a.Name
		if v.onEveryNode() {
			key = a.NodeID
		}
		if old := newest[key]; old == nil || old.CreateIndex < a.CreateIndex {
			newest[key] = a
		}
	}
	out := make([]*nomadish.AllocationListStub, 0, len(newest))
	for _, a := range newest {
		out = append(out, a)
	}
	slices.SortFunc(out, func(a, b *nomadish.AllocationListStub) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
	return out
}

func (v *view) onEveryNode() bool {
	t := nomadish.Val(v.job.Type)
	return t == nomadish.JobTypeSystem || t == nomadish.JobTypeSysBatch
}

// judgeService judges a job whose tasks are to go on running.
func (v *view) judgeService() verdict {
	up, wanted, starting := 0, 0, 0
	hold := settle
	for _, g := range v.job.TaskGroups {
		group := nomadish.Val(g.Name)
		wanted += v.wanted(group)
		for _, a := range v.allocs {
			if a.TaskGroup != group || a.JobVersion != v.version || v.settled[a.ID] {
				continue
			}
			if reason := v.broken(a); reason != "" {
				return verdict{outcome: outcomeFailed, reason: reason}
			}
			switch {
			case a.DesiredStatus != nomadish.AllocDesiredRun || ended(a):
			case isUp(a):
				up++
				hold = max(hold, v.proof(g, a))
			default:
				starting++
			}
		}
	}
	switch {
	case up >= wanted && starting == 0:
		return verdict{outcome: outcomeRunning, reason: fmt.Sprintf("%d of %s running", up, plural(wanted, "allocation")), hold: hold}
	case starting > 0 || v.open(nomadish.EvalStatusPending):
		return verdict{}
	case v.open(nomadish.EvalStatusBlocked):
		return verdict{outcome: outcomeBlocked, reason: fmt.Sprintf("%d of %s running; the others wait for room", up, plural(wanted, "allocation")), hold: hold}
	}
	return verdict{}
}

// broken says why an allocation of a service won't come up, or nothing.
func (v *view) broken(a *nomadish.AllocationListStub) string {
	if a.DesiredStatus != nomadish.AllocDesiredRun && a.ClientStatus != nomadish.AllocClientFailed {
		return ""
	}
	switch a.ClientStatus {
	case nomadish.AllocClientFailed:
		return fmt.Sprintf("allocation %s (%s) failed: %s", short(a.ID), a.Name, failure(a))
	case nomadish.AllocClientComplete:
		return fmt.Sprintf("allocation %s (%s) has ended, though the job is a service", short(a.ID), a.Name)
	}
	if s := a.DeploymentStatus; s != nil && s.Healthy != nil && !*s.Healthy {
		return fmt.Sprintf("allocation %s (%s) is unhealthy", short(a.ID), a.Name)
	}
	for name, t := range a.TaskStates {
		restarts := t.Restarts - min(t.Restarts, v.earlier[a.ID+"/"+name])
		if restarts == 0 || t.State == nomadish.TaskStateRunning {
			continue
		}
		last := lastEvent(t, nomadish.TaskEventRestarting)
		if restarts >= maxRestarts || last != nil && time.Duration(last.StartDelay) > maxRestartWait {
			return fmt.Sprintf("task %q of allocation %s (%s) keeps failing: %s so far", name, short(a.ID), a.Name, plural(int(restarts), "restart"))
		}
	}
	return ""
}

// overdue says what there is to say of a job whose end was not seen in time: a task that has
// restarted and is not up has failed, as far as anybody can tell.
func (v *view) overdue(limit time.Duration) verdict {
	for _, a := range v.allocs {
		if a.JobVersion != v.version || v.settled[a.ID] || isUp(a) {
			continue
		}
		for _, name := range taskNames(a.TaskStates) {
			if t := a.TaskStates[name]; t.Restarts > v.earlier[a.ID+"/"+name] {
				return verdict{outcome: outcomeFailed, reason: fmt.Sprintf("after %s task %q of allocation %s (%s) still fails and restarts", limit, name, short(a.ID), a.Name)}
			}
		}
	}
	return verdict{outcome: outcomeTimeout, reason: "not complete after " + limit.String()}
}

// proof is how long an allocation must have been up to be believed.
func (v *view) proof(g *nomadish.TaskGroup, a *nomadish.AllocationListStub) time.Duration {
	for name, t := range a.TaskStates {
		if t.Restarts > v.earlier[a.ID+"/"+name] {
			if g.Update != nil && g.Update.MinHealthyTime != nil {
				return max(settle, *g.Update.MinHealthyTime)
			}
			return settleAgain
		}
	}
	return settle
}

// judgeBatch judges a job whose tasks are to end.
func (v *view) judgeBatch() verdict {
	complete, wanted := 0, 0
	failed := ""
	for _, g := range v.job.TaskGroups {
		group := nomadish.Val(g.Name)
		wanted += v.wanted(group)
		for _, a := range v.current(group) {
			switch {
			case !ended(a):
				if a.DesiredStatus == nomadish.AllocDesiredRun {
					return verdict{}
				}
			case a.ClientStatus == nomadish.AllocClientComplete:
				complete++
			default:
				failed = fmt.Sprintf("allocation %s (%s) failed: %s", short(a.ID), a.Name, failure(a))
			}
		}
	}
	if v.open(nomadish.EvalStatusPending) {
		return verdict{}
	}
	hold := settle
	if nomadish.Val(v.job.Status) == nomadish.JobStatusDead {
		hold = 0 // nothing more will be done for it
	}
	switch {
	case v.open(nomadish.EvalStatusBlocked):
		return verdict{outcome: outcomeBlocked, reason: fmt.Sprintf("%d of %s complete; the others wait for room", complete, plural(wanted, "allocation")), hold: settle}
	case failed != "":
		return verdict{outcome: outcomeFailed, reason: failed, hold: hold}
	case complete >= wanted:
		return verdict{outcome: outcomeComplete, reason: fmt.Sprintf("%d of %s complete", complete, plural(wanted, "allocation")), hold: hold}
	}
	return verdict{outcome: outcomeFailed, reason: fmt.Sprintf("%d of %s complete, and no other one comes", complete, plural(wanted, "allocation")), hold: settle}
}

// ended says that the node has reported the allocation's end.
func ended(a *nomadish.AllocationListStub) bool {
	return (&nomadish.Allocation{ClientStatus: a.ClientStatus}).ClientTerminal()
}

// isUp says that the allocation does what it is for.
func isUp(a *nomadish.AllocationListStub) bool {
	if a.ClientStatus != nomadish.AllocClientRunning {
		return false
	}
	if s := a.DeploymentStatus; s != nil && s.Healthy == nil {
		return false
	}
	for _, t := range a.TaskStates {
		if t.State != nomadish.TaskStateRunning && !t.Successful() {
			return false
		}
	}
	return true
}

// failure says in a few words how an allocation failed.
func failure(a *nomadish.AllocationListStub) string {
	if a.ClientStatus == nomadish.AllocClientLost {
		return "its node is lost"
	}
	for _, name := range taskNames(a.TaskStates) {
		t := a.TaskStates[name]
		if !t.Failed {
			continue
		}
		for i := len(t.Events) - 1; i >= 0; i-- {
			if e := t.Events[i]; tellsFailure(e) {
				return fmt.Sprintf("task %q: %s", name, message(e))
			}
		}
		return fmt.Sprintf("task %q failed", name)
	}
	return cmp.Or(a.ClientDescription, "its node does not say why")
}

// tellsFailure says that an event names the cause of a task's failure.
func tellsFailure(e *nomadish.TaskEvent) bool {
	switch e.Type {
	case nomadish.TaskEventTerminated, nomadish.TaskEventDriverFailure, nomadish.TaskEventSetupFailure,
		nomadish.TaskEventFailedValidation, nomadish.TaskEventHookFailed, nomadish.TaskEventArtifactFailed:
		return true
	}
	return false
}

func lastEvent(t *nomadish.TaskState, kind string) *nomadish.TaskEvent {
	for i := len(t.Events) - 1; i >= 0; i-- {
		if t.Events[i].Type == kind {
			return t.Events[i]
		}
	}
	return nil
}

func taskNames(states map[string]*nomadish.TaskState) []string {
	names := make([]string, 0, len(states))
	for name := range states {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
