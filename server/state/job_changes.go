package state

import (
	"cmp"
	"maps"
	"slices"

	"github.com/nomadish/nomadish/nomadish"
)

// jobName names a job.
type jobName struct{ namespace, id string }

// jobCounts is what the store counts of a job, so that its state need not be found by
// looking at its allocations and evaluations. It is computed, and so not part of the hash.
type jobCounts struct {
	name       jobName
	Allocs     int
	LiveAllocs int // neither ended nor wanted to end
	Evals      int
	OpenEvals  int
	Versions   map[uint64]int // allocations by the version that they run
}

var jobCountsTable = &table[jobCounts]{
	name:    tableJobCounts,
	number:  14,
	derived: true,
	key:     func(c *jobCounts) ([]byte, error) { return nameKey(c.name.namespace, c.name.id) },
}

// jobChange collects what a command does to one job's allocations and evaluations, so
// that counts and summary are written once, in Finish.
type jobChange struct {
	name           jobName
	counts         *jobCounts
	summary        *nomadish.JobSummary // nil: the job has none, as it was deleted
	countsChanged  bool
	summaryChanged bool
	fresh          bool // a version was added
	prune          bool // versions may have become superfluous
}

// jobChange returns the collected changes of a job in this command.
func (w *Writer) jobChange(namespace, id string) (*jobChange, error) {
	name := jobName{namespace, id}
	if c := w.jobs[name]; c != nil {
		return c, nil
	}
	key, err := nameKey(namespace, id)
	if err != nil {
		return nil, err
	}
	c := &jobChange{name: name, counts: &jobCounts{name: name, Versions: map[uint64]int{}}}
	if old, ok := first(w.Reader, nil, jobCountsTable, key); ok {
		counts := *old
		counts.Versions = maps.Clone(old.Versions)
		c.counts = &counts
	}
	if s, ok := first(w.Reader, nil, jobSummaries, key); ok {
		c.summary = copySummary(s)
	}
	if w.jobs == nil {
		w.jobs = map[jobName]*jobChange{}
	}
	w.jobs[name] = c
	return c, nil
}

// allocation counts an allocation that was before and is after; one of them may be nil.
func (c *jobChange) allocation(before, after *nomadish.Allocation) {
	for _, side := range []struct {
		a *nomadish.Allocation
		n int
	}{{before, -1}, {after, 1}} {
		if side.a == nil {
			continue
		}
		c.counts.Allocs += side.n
		if !side.a.Terminal() {
			c.counts.LiveAllocs += side.n
		}
		v := side.a.JobVersion
		if c.counts.Versions[v] += side.n; c.counts.Versions[v] == 0 {
			delete(c.counts.Versions, v)
			c.prune = true
		}
	}
	c.countsChanged = true
	switch {
	case before == nil:
		c.count(after, 1)
	case after == nil:
		if !before.ClientTerminal() {
			c.count(before, -1)
		}
	case before.ClientStatus != after.ClientStatus || before.TaskGroup != after.TaskGroup:
		c.count(before, -1)
		c.count(after, 1)
	}
}

// evaluation counts an evaluation that was before and is after; one of them may be nil.
func (c *jobChange) evaluation(before, after *nomadish.Evaluation) {
	for _, side := range []struct {
		e *nomadish.Evaluation
		n int
	}{{before, -1}, {after, 1}} {
		if side.e == nil {
			continue
		}
		c.counts.Evals += side.n
		if !side.e.Terminal() {
			c.counts.OpenEvals += side.n
		}
	}
	c.countsChanged = true
	if after != nil {
		c.queue(after)
	}
}

// finishJobs writes the collected changes. A child's state changes its parent's summary,
// so parents are written after all states are known.
func (w *Writer) finishJobs() error {
	for _, c := range w.sortedJobs() {
		if err := w.finishState(c); err != nil {
			return err
		}
	}
	for _, c := range w.sortedJobs() {
		if err := w.finishCounts(c); err != nil {
			return err
		}
	}
	return nil
}

func (w *Writer) sortedJobs() []*jobChange {
	return slices.SortedFunc(maps.Values(w.jobs), func(a, b *jobChange) int {
		return cmp.Or(cmp.Compare(a.name.namespace, b.name.namespace), cmp.Compare(a.name.id, b.name.id))
	})
}

// finishState brings a job's state up to date, and drops versions that nothing needs.
func (w *Writer) finishState(c *jobChange) error {
	j, err := w.Job(nil, c.name.namespace, c.name.id)
	if err == nil {
		old := nomadish.Val(j.Status)
		status := jobStatus(j, c)
		from := old
		if c.fresh && nomadish.Val(j.CreateIndex) == w.txn.meta.Index {
			from = "" // the job is new: no state of it was counted
		}
		if err := w.countChild(j, from, status); err != nil {
			return err
		}
		if status != old {
			changed := *j
			changed.Status = nomadish.Ptr(status)
			changed.ModifyIndex = nomadish.Ptr(w.txn.meta.Index)
			if err := w.putCurrent(&changed); err != nil {
				return err
			}
		}
	}
	if c.prune {
		return w.pruneVersions(c)
	}
	return nil
}

func (w *Writer) finishCounts(c *jobChange) error {
	if c.summaryChanged && c.summary != nil {
		w.stamp(&c.summary.CreateIndex, &c.summary.ModifyIndex, c.summary.CreateIndex)
		if err := put(w.txn, jobSummaries, c.summary); err != nil {
			return err
		}
	}
	if !c.countsChanged {
		return nil
	}
	if c.counts.Allocs == 0 && c.counts.Evals == 0 {
		key, err := jobCountsTable.key(c.counts)
		if err != nil {
			return err
		}
		return remove(w.txn, jobCountsTable, key)
	}
	return put(w.txn, jobCountsTable, c.counts)
}

// jobStatus is the state of a job: running while an allocation of it is wanted and has not
// ended, pending while there is something to decide, dead after that. A job that launches
// others runs until it is stopped.
func jobStatus(j *nomadish.Job, c *jobChange) string {
	stopped := nomadish.Val(j.Stop)
	collected := c.countsChanged || nomadish.Val(j.Status) == nomadish.JobStatusDead // where nothing is left to count
	switch {
	case c.counts.LiveAllocs > 0:
		return nomadish.JobStatusRunning
	case !stopped && launches(j):
		return nomadish.JobStatusRunning
	case c.counts.OpenEvals > 0:
		return nomadish.JobStatusPending
	case stopped, collected, c.counts.Allocs > 0, c.counts.Evals > 0:
		return nomadish.JobStatusDead
	}
	return nomadish.JobStatusPending
}

// launches says that a job places nothing itself, but launches jobs that do.
func launches(j *nomadish.Job) bool {
	return j.Periodic != nil || j.ParameterizedJob != nil && !j.Dispatched
}

// restoreCounts computes the counts of all jobs.
func restoreCounts(txn *Txn) error {
	all := map[jobName]*jobChange{}
	of := func(namespace, id string) *jobChange {
		name := jobName{namespace, id}
		if all[name] == nil {
			all[name] = &jobChange{name: name, counts: &jobCounts{name: name, Versions: map[uint64]int{}}}
		}
		return all[name]
	}
	r := txn.reader()
	for a := range r.Allocations(nil) {
		of(a.Namespace, a.JobID).allocation(nil, a)
	}
	for e := range r.Evaluations(nil) {
		of(e.Namespace, e.JobID).evaluation(nil, e)
	}
	for _, c := range all { // the order changes nothing
		if err := put(txn, jobCountsTable, c.counts); err != nil {
			return err
		}
	}
	return nil
}
