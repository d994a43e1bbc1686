package scheduler

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

// What users read in an allocation's desired description.
const (
	descNotNeeded   = "alloc not needed due to job update"
	descMigrating   = "alloc is being migrated"
	descUpdating    = "alloc is being updated due to job update"
	descLost        = "alloc is lost since its node is down"
	descRescheduled = "alloc was rescheduled because it failed"
)

// reconciler compares a job with its allocations. It decides only what is to be done; where
// new allocations go is decided by ranking.
type reconciler struct {
	job    *nomadish.Job // never nil; stopped when it is gone
	batch  bool
	evalID string
	now    time.Time
	where  func(nodeID string) whereabouts                       // of the node
	waits  func(evalID string) bool                              // an evaluation that still waits for its time
	older  func(*nomadish.Allocation) *nomadish.Job              // the version that it runs, or nil
	fits   func(*nomadish.Allocation, *nomadish.TaskGroup) error // its node still suits the group
	forced func(nodeID string) bool                              // what is to leave the node leaves it now, also for nothing
}

// changes is what one group needs.
type changes struct {
	group   *nomadish.TaskGroup
	stop    []stop
	inPlace []*nomadish.Allocation
	marked  []*nomadish.Allocation // as unknown
	place   []placement
	later   []delayed
	away    []delayed     // what is given up later
	waiting int           // destructive updates that wait for the ones before them
	again   time.Duration // when waiting: how soon to look again
	counts  nomadish.DesiredUpdates
}

// stop ends an allocation.
type stop struct {
	alloc  *nomadish.Allocation
	reason string
	lost   bool
}

// placement wants an allocation with a name. The predecessor is stopped only when the new
// one finds a place: work that runs is not given up for nothing.
type placement struct {
	index       int
	predecessor *nomadish.Allocation
	stop        string        // why the predecessor is stopped; empty: it isn't
	failed      bool          // the predecessor failed: its node is avoided, its history continued
	delay       time.Duration // that it waited
}

// delayed is a failed allocation whose replacement is to wait.
type delayed struct {
	alloc *nomadish.Allocation
	at    time.Time
}

// standing says where an existing allocation stands in its job.
type standing int

const (
	gone    standing = iota // it doesn't count: ended, or told to end
	lost                    // its node is down
	failed                  // to be replaced now
	due                     // failed, to be replaced later
	ended                   // it ended for good and keeps its place
	away                    // its node is gone, and it is not given up; it counts beside the others
	leaving                 // it runs, and is to run elsewhere
	live
)

// reconcile returns the changes of every group, in the job's order; allocations of groups
// that are no more come first, under no group.
func (r *reconciler) reconcile(allocs []*nomadish.Allocation) []changes {
	allocs = inOrder(allocs)
	byGroup := map[string][]*nomadish.Allocation{}
	for _, a := range allocs {
		byGroup[a.TaskGroup] = append(byGroup[a.TaskGroup], a)
	}
	stopped := nomadish.Val(r.job.Stop)
	var removed changes
	var all []changes
	for _, tg := range r.job.TaskGroups {
		if stopped {
			break
		}
		name := nomadish.Val(tg.Name)
		all = append(all, r.group(tg, byGroup[name]))
		delete(byGroup, name)
	}
	for _, a := range allocs {
		if _, none := byGroup[a.TaskGroup]; none && !a.Terminal() {
			removed.end(a, descNotNeeded, !r.where(a.NodeID).alive)
		}
	}
	return append([]changes{removed}, all...)
}

func (c *changes) end(a *nomadish.Allocation, reason string, isLost bool) {
	if isLost {
		reason = descLost
	}
	c.stop = append(c.stop, stop{alloc: a, reason: reason, lost: isLost})
	c.counts.Stop++
}

// group compares one group with its allocations: after the changes there is one for each
// index below count, and none above.
func (r *reconciler) group(tg *nomadish.TaskGroup, allocs []*nomadish.Allocation) changes {
	c := changes{group: tg}
	count := nomadish.Val(tg.Count)
	best := make([]*nomadish.Allocation, count)
	where := make([]standing, count)
	absent := make([][]absence, count)
	for _, a := range allocs {
		s, out := r.stands(a, tg)
		if s == gone {
			continue
		}
		i, ok := nameIndex(a.Name)
		if !ok || i >= count {
			c.retire(a, s, descNotNeeded)
			continue
		}
		if s == away {
			absent[i] = append(absent[i], out)
			continue
		}
		if best[i] == nil || s > where[i] || s == where[i] && r.better(a, best[i], tg) {
			c.retire(best[i], where[i], because(best[i], a))
			best[i], where[i] = a, s
			continue
		}
		c.retire(a, s, because(a, best[i]))
	}
	budget := r.budget(tg, best)
	for i, a := range best {
		r.part(&c, absent[i])
		if a == nil && len(absent[i]) > 0 {
			r.cover(&c, i, absent[i])
			continue
		}
		r.settle(&c, i, a, where[i], &budget)
	}
	if c.waiting > 0 {
		c.again = r.again(&c, best)
	}
	return c
}

// inOrder sorts allocations by age, whatever order they came in.
func inOrder(allocs []*nomadish.Allocation) []*nomadish.Allocation {
	return slices.SortedFunc(slices.Values(allocs), func(a, b *nomadish.Allocation) int {
		return cmp.Or(cmp.Compare(a.CreateIndex, b.CreateIndex), strings.Compare(a.ID, b.ID))
	})
}

// retire stops an allocation that has no place in the group, unless it has ended by itself.
func (c *changes) retire(a *nomadish.Allocation, s standing, reason string) {
	switch {
	case a == nil:
	case s == lost:
		c.end(a, descLost, true)
	case !a.ClientTerminal():
		c.end(a, reason, false)
	}
}

// stands says where an allocation stands, and in what way it is away if it is.
func (r *reconciler) stands(a *nomadish.Allocation, tg *nomadish.TaskGroup) (standing, absence) {
	moved := a.ServerTerminal() && nomadish.Val(a.DesiredTransition.Migrate) // it was stopped before it was done
	if r.batch && !moved && a.ClientStatus == nomadish.AllocClientComplete && r.current(a) && succeeded(a) {
		return ended, absence{}
	}
	if a.ServerTerminal() {
		return gone, absence{}
	}
	switch a.ClientStatus {
	case nomadish.AllocClientComplete, nomadish.AllocClientLost:
		return gone, absence{}
	case nomadish.AllocClientFailed:
		return r.standsFailed(a, tg), absence{}
	}
	at := r.where(a.NodeID)
	switch {
	case !at.alive:
		return r.standsAway(a, tg, at)
	case a.ClientStatus == nomadish.AllocClientUnknown: // its node is back, and has yet to say what became of it
		return away, absence{alloc: a}
	case nomadish.Val(a.DesiredTransition.Migrate):
		return leaving, absence{}
	}
	return live, absence{}
}

func (r *reconciler) standsFailed(a *nomadish.Allocation, tg *nomadish.TaskGroup) standing {
	if a.NextAllocation != "" {
		return gone
	}
	if !r.current(a) {
		if r.batch {
			return gone
		}
		return failed // a new version of the job is a new chance, at once
	}
	if nomadish.Val(a.DesiredTransition.ForceReschedule) {
		return failed
	}
	at, _, ok := r.reschedule(tg, a)
	switch {
	case !ok:
		return ended
	case a.FollowupEvalID == r.evalID, !at.After(r.now):
		return failed
	}
	return due
}

// current says that an allocation runs the job's newest version.
func (r *reconciler) current(a *nomadish.Allocation) bool {
	return a.JobVersion == nomadish.Val(r.job.Version) && a.CreateIndex >= nomadish.Val(r.job.CreateIndex)
}

// succeeded says that all tasks of an allocation ended well.
func succeeded(a *nomadish.Allocation) bool {
	for _, s := range a.TaskStates {
		if s != nil && s.Failed {
			return false
		}
	}
	return true
}

// budget is how many running allocations may be replaced by the new version now: for a
// service with an update block at most max_parallel, less those that are not healthy yet.
func (r *reconciler) budget(tg *nomadish.TaskGroup, best []*nomadish.Allocation) int {
	u := tg.Update
	if r.batch || u == nil || nomadish.Val(u.MaxParallel) <= 0 {
		return len(best)
	}
	n := nomadish.Val(u.MaxParallel)
	for _, a := range best {
		if a != nil && r.current(a) && !r.healthy(a, u) {
			n--
		}
	}
	return max(n, 0)
}

// healthy says that an allocation counts as updated: its deployment says so or, without one,
// all of its tasks have run for min_healthy_time.
func (r *reconciler) healthy(a *nomadish.Allocation, u *nomadish.UpdateStrategy) bool {
	if a.DeploymentStatus != nil && a.DeploymentStatus.Healthy != nil {
		return *a.DeploymentStatus.Healthy
	}
	if a.ClientStatus != nomadish.AllocClientRunning {
		return false
	}
	since := r.now.Add(-nomadish.Val(u.MinHealthyTime))
	for _, s := range a.TaskStates {
		if s != nil && s.State == nomadish.TaskStateRunning && s.StartedAt.After(since) {
			return false
		}
	}
	return true
}

// slowRoll is how soon a rolling update looks again when there is no telling when the
// allocations before are healthy.
const slowRoll = 30 * time.Second

// again says how soon the next step of a rolling update may be possible.
func (r *reconciler) again(c *changes, best []*nomadish.Allocation) time.Duration {
	u := c.group.Update
	soon := nomadish.Val(u.MinHealthyTime) + time.Second // for the start itself
	if c.counts.DestructiveUpdate > 0 {
		return soon
	}
	wait := slowRoll
	for _, a := range best {
		if a == nil || !r.current(a) || r.healthy(a, u) || a.DeploymentStatus != nil && a.DeploymentStatus.Healthy != nil {
			continue
		}
		switch a.ClientStatus {
		case nomadish.AllocClientPending:
			wait = min(wait, soon)
		case nomadish.AllocClientRunning:
			left := time.Second
			for _, s := range a.TaskStates {
				if s != nil && s.State == nomadish.TaskStateRunning {
					left = max(left, s.StartedAt.Add(nomadish.Val(u.MinHealthyTime)).Sub(r.now))
				}
			}
			wait = min(wait, left)
		}
	}
	return wait
}

// settle decides what happens at one index of the group.
func (r *reconciler) settle(c *changes, i int, a *nomadish.Allocation, s standing, budget *int) {
	p := placement{index: i, predecessor: a}
	switch s {
	case ended:
		c.counts.Ignore++
		return
	case due:
		at, _, _ := r.reschedule(c.group, a)
		c.later = append(c.later, delayed{alloc: a, at: at})
		c.counts.RescheduleLater++
		return
	case live:
		r.update(c, p, budget)
		return
	case lost:
		c.stop = append(c.stop, stop{alloc: a, reason: descLost, lost: true})
		c.counts.Stop++
	case failed:
		p.stop, p.failed = descRescheduled, true
		_, p.delay, _ = r.reschedule(c.group, a)
		c.counts.RescheduleNow++
	case leaving:
		if nomadish.Val(a.DesiredTransition.MigrateDisablePlacement) {
			c.end(a, descMigrating, false)
			return
		}
		p.stop = descMigrating
		if r.forced(a.NodeID) {
			p.stop = ""
			c.stop = append(c.stop, stop{alloc: a, reason: descMigrating})
		}
		c.counts.Migrate++
		c.place = append(c.place, p)
		return
	}
	c.counts.Place++
	c.place = append(c.place, p)
}

// update brings a running allocation to the job's version.
func (r *reconciler) update(c *changes, p placement, budget *int) {
	a := p.predecessor
	if r.current(a) {
		c.counts.Ignore++
		return
	}
	if r.updatable(a, c.group) {
		c.inPlace = append(c.inPlace, a)
		c.counts.InPlaceUpdate++
		return
	}
	if *budget == 0 {
		c.waiting++
		c.counts.Ignore++
		return
	}
	*budget--
	p.stop = descUpdating
	c.place = append(c.place, p)
	c.counts.DestructiveUpdate++
}

// updatable says that an allocation can take the job's new version while it runs.
func (r *reconciler) updatable(a *nomadish.Allocation, tg *nomadish.TaskGroup) bool {
	old := r.older(a)
	if old == nil {
		return false
	}
	was := group(old, a.TaskGroup)
	return was != nil && !needsReplacement(old, was, r.job, tg) && r.fits(a, tg) == nil
}

// allocName is an allocation's name: job.group[index].
func allocName(jobID, group string, index int) string {
	return jobID + "." + group + "[" + strconv.Itoa(index) + "]"
}

// nameIndex reads the index out of an allocation's name.
func nameIndex(name string) (int, bool) {
	open := strings.LastIndexByte(name, '[')
	if open < 0 || !strings.HasSuffix(name, "]") {
		return 0, false
	}
	i, err := strconv.Atoi(name[open+1 : len(name)-1])
	return i, err == nil && i >= 0
}
