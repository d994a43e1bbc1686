package state

import (
	"maps"

	"github.com/hashicorp/go-memdb"

	"github.com/nomadish/nomadish/nomadish"
)

var jobSummaries = newTable[nomadish.JobSummary](3, TableJobSummaries, func(s *nomadish.JobSummary) ([]byte, error) {
	return nameKey(s.Namespace, s.JobID)
})

// JobSummary returns the counts of a job's allocations. Those that ended count for ever,
// also when their rows are gone.
func (r Reader) JobSummary(ws memdb.WatchSet, namespace, id string) (*nomadish.JobSummary, error) {
	key, err := nameKey(namespace, id)
	if err != nil {
		return nil, err
	}
	if s, ok := first(r, ws, jobSummaries, key); ok {
		return s, nil
	}
	return nil, missing("summary of job", id)
}

// WatchJobSummaries adds to ws one channel that closes when any job's counts change.
func (r Reader) WatchJobSummaries(ws memdb.WatchSet) {
	list(r, ws, jobSummaries, indexID+withPrefix, nil)
}

// openSummary makes the summary of a job that has none, and adds the groups that are new.
func (w *Writer) openSummary(c *jobChange, j *nomadish.Job) error {
	if c.summary == nil {
		c.summary = &nomadish.JobSummary{Namespace: c.name.namespace, JobID: c.name.id, Summary: map[string]nomadish.TaskGroupSummary{}}
		for a := range w.AllocationsByJob(nil, c.name.namespace, c.name.id) {
			c.count(a, 1)
		}
	}
	for _, g := range j.TaskGroups {
		name := nomadish.Val(g.Name)
		if _, counted := c.summary.Summary[name]; !counted {
			c.summary.Summary[name] = nomadish.TaskGroupSummary{}
		}
	}
	if c.summary.Children == nil && (j.Periodic != nil || j.ParameterizedJob != nil) {
		c.summary.Children = &nomadish.JobChildrenSummary{}
	}
	c.summaryChanged = true
	return nil
}

// copySummary returns a summary that may be changed.
func copySummary(s *nomadish.JobSummary) *nomadish.JobSummary {
	c := *s
	c.Summary = maps.Clone(s.Summary)
	if s.Children != nil {
		c.Children = nomadish.Ptr(*s.Children)
	}
	return &c
}

// count adds n to the number of allocations in a's state.
func (c *jobChange) count(a *nomadish.Allocation, n int) {
	if c.summary == nil {
		return
	}
	g := c.summary.Summary[a.TaskGroup]
	switch a.ClientStatus {
	case nomadish.AllocClientPending:
		g.Starting += n
	case nomadish.AllocClientRunning:
		g.Running += n
	case nomadish.AllocClientComplete:
		g.Complete += n
	case nomadish.AllocClientFailed:
		g.Failed += n
	case nomadish.AllocClientLost:
		g.Lost += n
	case nomadish.AllocClientUnknown:
		g.Unknown += n
	}
	c.summary.Summary[a.TaskGroup] = g
	c.summaryChanged = true
}

// queue sets how many placements are still to be made, as an evaluation says.
func (c *jobChange) queue(e *nomadish.Evaluation) {
	if c.summary == nil {
		return
	}
	for name, n := range e.QueuedAllocations {
		g, ok := c.summary.Summary[name]
		if ok && g.Queued != n {
			g.Queued = n
			c.summary.Summary[name] = g
			c.summaryChanged = true
		}
	}
}

// countChild moves a child from one state to another in its parent's summary. An empty
// state is none.
func (w *Writer) countChild(child *nomadish.Job, from, to string) error {
	parent := nomadish.Val(child.ParentID)
	if parent == "" || from == to {
		return nil
	}
	c, err := w.jobChange(nomadish.Val(child.Namespace), parent)
	if err != nil || c.summary == nil || c.summary.Children == nil {
		return err
	}
	for state, n := range map[string]int64{from: -1, to: 1} { // the order changes nothing
		switch state {
		case nomadish.JobStatusPending:
			c.summary.Children.Pending += n
		case nomadish.JobStatusRunning:
			c.summary.Children.Running += n
		case nomadish.JobStatusDead:
			c.summary.Children.Dead += n
		}
	}
	c.summaryChanged = true
	return nil
}
