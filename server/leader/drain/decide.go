package drain

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/state"
)

// Decision is what is to be done about all nodes that drain.
type Decision struct {
	Migrate []string            // allocations that are to leave their nodes, and were not told so yet
	Jobs    []Job               // that are to be evaluated, so that allocations leave
	Done    []fsm.FinishedDrain // drains that are over
	Forced  []fsm.FinishedDrain // that are over after their deadlines
	Next    time.Time           // when to look again though nothing has changed; zero: need not be
}

// Job is a job to evaluate.
type Job struct {
	*nomadish.Job
	Since time.Time // the evaluation is not to be older than this
}

// leaver is an allocation on a node that drains.
type leaver struct {
	alloc  *nomadish.Allocation
	job    *nomadish.Job
	node   *nomadish.Node
	forced bool
}

func (l *leaver) marked() bool { return nomadish.Val(l.alloc.DesiredTransition.Migrate) }

// groupName names a group of a job.
type groupName struct{ namespace, job, group string }

// decider is one call of Decide.
type decider struct {
	r      state.Reader
	now    time.Time
	out    Decision
	groups map[groupName][]*leaver // services' allocations that wait for their turn
	jobs   map[fsm.JobName]Job
}

// Decide says what to do now. It depends on nothing but the state and the time.
//
// A service's allocations leave a few at a time, as their group's migrate block says: so many
// that, of those that are wanted, all but max_parallel are healthy somewhere, or have had until their
// healthy_deadline to become so. Batch work stays until it has ended. Allocations of system jobs stay until all others have left, or for good
// if the drain ignores them. When a drain's deadline has passed everything leaves at once.
func Decide(r state.Reader, now time.Time) Decision {
	d := &decider{r: r, now: now, groups: map[groupName][]*leaver{}, jobs: map[fsm.JobName]Job{}}
	for n := range r.Nodes(nil) {
		if n.DrainStrategy != nil {
			d.node(n)
		}
	}
	names := make([]groupName, 0, len(d.groups))
	for name := range d.groups {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b groupName) int {
		return cmp.Or(strings.Compare(a.namespace, b.namespace), strings.Compare(a.job, b.job), strings.Compare(a.group, b.group))
	})
	for _, name := range names {
		d.group(name, d.groups[name])
	}
	for _, j := range d.jobs {
		d.out.Jobs = append(d.out.Jobs, j)
	}
	slices.SortFunc(d.out.Jobs, func(a, b Job) int {
		return cmp.Or(strings.Compare(nomadish.Val(a.Namespace), nomadish.Val(b.Namespace)), strings.Compare(nomadish.Val(a.ID), nomadish.Val(b.ID)))
	})
	slices.Sort(d.out.Migrate)
	return d.out
}

// node looks at one node that drains.
func (d *decider) node(n *nomadish.Node) {
	forced := n.DrainStrategy.Forced(d.now)
	if !forced {
		d.lookAgain(n.DrainStrategy.ForceDeadline)
	}
	var system []*leaver
	others := 0
	for a := range d.r.AllocationsByNode(nil, n.ID) {
		if a.ClientTerminal() {
			continue
		}
		l := &leaver{alloc: a, job: d.job(a), node: n, forced: forced}
		kind := nomadish.Val(l.job.Type)
		ofSystem := kind == nomadish.JobTypeSystem || kind == nomadish.JobTypeSysBatch
		if ofSystem && n.DrainStrategy.IgnoreSystemJobs {
			continue
		}
		if kind == nomadish.JobTypeSystem {
			system = append(system, l)
			continue
		}
		others++
		switch {
		case a.ServerTerminal(): // it is about to end
		case forced:
			d.leave(l)
		case kind == nomadish.JobTypeService:
			name := groupName{a.Namespace, a.JobID, a.TaskGroup}
			d.groups[name] = append(d.groups[name], l)
		}
	}
	for _, l := range system {
		if !l.alloc.ServerTerminal() && (forced || others == 0) {
			d.leave(l)
		}
	}
	if others == 0 && len(system) == 0 {
		done := fsm.FinishedDrain{NodeID: n.ID, Strategy: n.DrainStrategy}
		if forced {
			d.out.Forced = append(d.out.Forced, done)
		} else {
			d.out.Done = append(d.out.Done, done)
		}
	}
}

// job returns the job of an allocation: as it is now or, when it is gone, as the allocation
// runs it.
func (d *decider) job(a *nomadish.Allocation) *nomadish.Job {
	if job, err := d.r.Job(nil, a.Namespace, a.JobID); err == nil {
		return job
	}
	if job, err := d.r.JobVersion(nil, a.Namespace, a.JobID, a.JobVersion); err == nil {
		return job
	}
	return &nomadish.Job{ID: &a.JobID, Namespace: &a.Namespace, Type: nomadish.Ptr(nomadish.JobTypeService)}
}

// group picks those of a group's allocations whose turn it is.
func (d *decider) group(name groupName, leavers []*leaver) {
	tg := leavers[0].job.TaskGroup(name.group)
	if tg == nil || nomadish.Val(leavers[0].job.Stop) {
		return // it ends anyway
	}
	migrate := tg.Migrate
	if migrate == nil {
		migrate = &nomadish.MigrateStrategy{MaxParallel: nomadish.Ptr(1)}
	}
	parallel := nomadish.Val(migrate.MaxParallel)
	settled := 0
	for a := range d.r.AllocationsByJob(nil, name.namespace, name.job) {
		if a.TaskGroup == name.group && !a.Terminal() && !nomadish.Val(a.DesiredTransition.Migrate) && d.settled(a, tg, migrate) {
			settled++
		}
	}
	room := min(settled-(nomadish.Val(tg.Count)-parallel), parallel)
	slices.SortStableFunc(leavers, func(a, b *leaver) int {
		return cmp.Or(a.node.DrainStrategy.StartedAt.Compare(b.node.DrainStrategy.StartedAt), strings.Compare(a.alloc.ID, b.alloc.ID))
	})
	for _, l := range leavers {
		if room > 0 && !l.marked() {
			room--
			d.leave(l)
		}
	}
}

// settled says that an allocation holds up no other: it does its work, or has had all the time that it
// is given to come to that. Its node says so or, where that says nothing, its tasks have run for
// min_healthy_time, or it is older than healthy_deadline.
func (d *decider) settled(a *nomadish.Allocation, tg *nomadish.TaskGroup, m *nomadish.MigrateStrategy) bool {
	if a.DeploymentStatus != nil && a.DeploymentStatus.Healthy != nil {
		return true
	}
	over := time.Unix(0, a.CreateTime).Add(orElse(m.HealthyDeadline, defaultHealthyDeadline))
	if !d.now.Before(over) {
		return true
	}
	since, running := runsSince(a, tg)
	from := since.Add(orElse(m.MinHealthyTime, defaultMinHealthy))
	switch {
	case !running:
		d.lookAgain(over)
		return false
	case from.After(d.now):
		d.lookAgain(earlier(from, over))
		return false
	}
	return true
}

// Defaults of a migrate block, as in Nomad.
const (
	defaultMinHealthy      = 10 * time.Second
	defaultHealthyDeadline = 5 * time.Minute
)

func orElse(d *time.Duration, otherwise time.Duration) time.Duration {
	if d == nil {
		return otherwise
	}
	return *d
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// runsSince says since when all tasks of an allocation run, but for those that prepare or clean up.
func runsSince(a *nomadish.Allocation, tg *nomadish.TaskGroup) (since time.Time, ok bool) {
	if a.ClientStatus != nomadish.AllocClientRunning {
		return since, false
	}
	passing := map[string]bool{}
	for _, t := range tg.Tasks {
		passing[t.Name] = t.Lifecycle != nil && !t.Lifecycle.Sidecar
	}
	for name, s := range a.TaskStates {
		switch {
		case s == nil || passing[name]:
		case s.State != nomadish.TaskStateRunning:
			return since, false
		case s.StartedAt.After(since):
			since = s.StartedAt
		}
	}
	return since, true
}

// leave has an allocation go, and its job evaluated. What was told before is told again only
// if a deadline has passed since.
func (d *decider) leave(l *leaver) {
	since := time.Unix(0, l.alloc.CreateTime)
	if l.forced {
		since = l.node.DrainStrategy.ForceDeadline
		if last := l.node.LastDrain; last != nil && last.UpdatedAt.After(since) {
			since = last.UpdatedAt
		}
	}
	if !l.marked() {
		d.out.Migrate = append(d.out.Migrate, l.alloc.ID)
	} else if !l.forced || d.evaluated(l.alloc, since) {
		return
	}
	name := fsm.JobName{Namespace: l.alloc.Namespace, ID: l.alloc.JobID}
	if have, ok := d.jobs[name]; !ok || have.Since.Before(since) {
		d.jobs[name] = Job{Job: l.job, Since: since}
	}
}

// evaluated says that a drain has had a job evaluated since some time.
func (d *decider) evaluated(a *nomadish.Allocation, since time.Time) bool {
	for e := range d.r.EvaluationsByJob(nil, a.Namespace, a.JobID) {
		if e.TriggeredBy == nomadish.EvalTriggerNodeDrain && !time.Unix(0, e.CreateTime).Before(since) {
			return true
		}
	}
	return false
}

// lookAgain has the next decision made no later than at a time.
func (d *decider) lookAgain(at time.Time) {
	if !at.IsZero() && (d.out.Next.IsZero() || at.Before(d.out.Next)) {
		d.out.Next = at
	}
}
