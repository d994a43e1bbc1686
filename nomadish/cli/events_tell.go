package cli

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

// maxTold bounds for how many allocations and nodes a teller knows what it told.
const maxTold = 10_000

// teller makes sentences of events. It tells of each thing what is new.
type teller struct {
	*call
	told map[string]string // by topic and ID: what was said of its state
	seen map[string]int64  // by allocation and task: the newest event that was told
}

func newTeller(c *call) *teller {
	return &teller{call: c, told: map[string]string{}, seen: map[string]int64{}}
}

// tell makes lines of what one command changed.
func (t *teller) tell(events *nomadish.Events) []string {
	if len(t.told) > maxTold || len(t.seen) > maxTold {
		clear(t.told)
		clear(t.seen)
	}
	var lines []string
	for _, e := range events.Events {
		if e.Payload == nil {
			continue
		}
		switch p := e.Payload; {
		case p.Job != nil:
			lines = append(lines, t.job(e, p.Job)...)
		case p.Allocation != nil:
			lines = append(lines, t.allocation(p.Allocation)...)
		case p.Evaluation != nil:
			lines = append(lines, t.evaluation(p.Evaluation)...)
		case p.Deployment != nil:
			lines = append(lines, t.deployment(p.Deployment)...)
		case p.Node != nil:
			lines = append(lines, t.node(e, p.Node)...)
		case p.NodePool != nil:
			lines = append(lines, t.line(0, "node pool %s: %s", p.NodePool.Name, map[bool]string{true: "deleted", false: "changed"}[e.Type == nomadish.EventNodePoolDeleted]))
		}
	}
	return lines
}

// line is a sentence with the time of what it tells; 0: now.
func (t *teller) line(nanos int64, format string, args ...any) string {
	at := t.Now()
	if nanos > 0 {
		at = time.Unix(0, nanos)
	}
	return printable(at.Format("2006-01-02 15:04:05") + "  " + strings.Join(strings.Fields(fmt.Sprintf(format, args...)), " "))
}

// news says whether something else was told of a thing before.
func (t *teller) news(thing, state string) bool {
	if t.told[thing] == state {
		return false
	}
	t.told[thing] = state
	return true
}

func (t *teller) job(e *nomadish.Event, j *nomadish.Job) []string {
	name := nomadish.Val(j.ID)
	if namespace := nomadish.Val(j.Namespace); namespace != nomadish.DefaultNamespace {
		name = namespace + "/" + name
	}
	switch {
	case e.Payload.Deleted:
		return []string{t.line(0, "job %s: forgotten", name)}
	case e.Type == nomadish.EventJobDeregistered:
		return []string{t.line(0, "job %s: stopped", name)}
	case e.Type == nomadish.EventJobRegistered:
		t.news("job "+name, nomadish.Val(j.Status))
		return []string{t.line(nomadish.Val(j.SubmitTime), "job %s: version %d registered", name, nomadish.Val(j.Version))}
	case t.news("job "+name, nomadish.Val(j.Status)):
		return []string{t.line(0, "job %s: %s", name, joined(nomadish.Val(j.Status), nomadish.Val(j.StatusDescription)))}
	}
	return nil
}

// allocation tells what the server wants of an allocation, then what its tasks did, then what
// has become of it.
func (t *teller) allocation(a *nomadish.Allocation) []string {
	name := fmt.Sprintf("%s (%s) on %s", a.Name, t.id(a.ID), cmp.Or(a.NodeName, short(a.NodeID)))
	var lines []string
	add := func(nanos int64, format string, args ...any) {
		lines = append(lines, t.line(nanos, name+": "+format, args...))
	}
	switch {
	case a.CreateIndex == a.ModifyIndex && a.PreviousAllocation != "":
		add(a.CreateTime, "placed, takes the place of %s", t.id(a.PreviousAllocation))
	case a.CreateIndex == a.ModifyIndex:
		add(a.CreateTime, "placed")
	}
	if t.news("wanted "+a.ID, a.DesiredStatus) && a.DesiredStatus != nomadish.AllocDesiredRun {
		add(a.ModifyTime, "is to %s: %s", a.DesiredStatus, cmp.Or(a.DesiredDescription, "no reason given"))
	}
	for _, task := range slices.Sorted(maps.Keys(a.TaskStates)) {
		key := a.ID + "/" + task
		for _, e := range a.TaskStates[task].Events {
			if e.Time <= t.seen[key] {
				continue
			}
			t.seen[key] = e.Time
			add(e.Time, "task %s: %s: %s", task, e.Type, message(e))
		}
	}
	if t.news("state "+a.ID, a.ClientStatus) && a.ClientStatus != nomadish.AllocClientPending {
		add(a.ModifyTime, "%s", joined(a.ClientStatus, a.ClientDescription))
	}
	if s := a.DeploymentStatus; s != nil && s.Healthy != nil {
		if state := map[bool]string{true: "healthy", false: "unhealthy"}[*s.Healthy]; t.news("health "+a.ID, state) {
			add(a.ModifyTime, "%s", state)
		}
	}
	return lines
}

// evaluation tells of evaluations that could not place everything; of others when asked.
func (t *teller) evaluation(e *nomadish.Evaluation) []string {
	name := "evaluation of job " + e.JobID
	if t.remote.verbose {
		return []string{t.line(e.ModifyTime, "%s (%s), by %s: %s", name, e.ID, e.TriggeredBy, joined(e.Status, e.StatusDescription))}
	}
	if e.Status != nomadish.EvalStatusBlocked && e.Status != nomadish.EvalStatusFailed || !t.news("evaluation "+e.JobID+e.TriggeredBy, e.Status+e.StatusDescription) {
		return nil
	}
	lines := []string{t.line(e.ModifyTime, "%s: %s", name, joined(e.Status, e.StatusDescription))}
	for _, problem := range placementProblems(e.FailedTGAllocs) {
		lines = append(lines, t.line(e.ModifyTime, "%s: %s", name, problem))
	}
	return lines
}

func (t *teller) deployment(d *nomadish.Deployment) []string {
	if state := joined(d.Status, d.StatusDescription); t.news("deployment "+d.ID, state) {
		return []string{t.line(d.ModifyTime, "deployment of job %s, version %d: %s", d.JobID, d.JobVersion, state)}
	}
	return nil
}

func (t *teller) node(e *nomadish.Event, n *nomadish.Node) []string {
	if e.Type == nomadish.EventNodeDeregistration {
		return []string{t.line(0, "node %s: gone", n.Name)}
	}
	var lines []string
	state := n.Status + ", " + n.SchedulingEligibility
	if n.Drain {
		state += ", drains"
	}
	if t.news("node "+n.ID, state) {
		lines = append(lines, t.line(0, "node %s: %s", n.Name, joined(state, n.StatusDescription)))
	}
	for _, event := range n.Events {
		if at := event.Timestamp.UnixNano(); at > t.seen[n.ID] {
			t.seen[n.ID] = at
			lines = append(lines, t.line(at, "node %s: %s: %s", n.Name, event.Subsystem, event.Message))
		}
	}
	return lines
}
